package apiserver

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"sampan/kind"
)

// A list is never built as one value, nor as one run of bytes: it is written while it is encoded, in chunks, from the
// forms that lists and watches share. So a client that asks for a million objects costs a pointer for each.

// writeList writes a list.
func (x *exchange) writeList(a accepted, l listed) error {
	v := x.viewer(a)
	meta := metav1.ListMeta{
		ResourceVersion:    strconv.FormatInt(l.revision, 10),
		Continue:           l.continu,
		RemainingItemCount: l.remaining,
	}
	x.audit.shownList(v, l, meta)
	out := &listSink{w: x.w, r: x.r, media: a.media}
	var err error
	switch {
	case a.media == mediaYAML:
		err = yamlList(v, l, meta, out)
	case a.media == mediaProto:
		err = protoList(v, l, meta, out)
	default:
		err = jsonList(v, l, meta, wantsPretty(x.r), out)
	}
	switch {
	case err == nil:
		out.close()
		return nil
	case out.begun:
		if out.err == nil { // else the client is gone
			x.server.cfg.Log.Error("write a list", "kind", x.req.kind.ID, "error", err)
		}
		panic(http.ErrAbortHandler) // the client must not take the part for the whole
	}
	return apierrors.NewInternalError(err)
}

// jsonParts returns what a list, or a Table, has beside its items, as JSON; the name of the items; and what makes JSON
// of an item.
func jsonParts(v *viewer, meta metav1.ListMeta) (head []byte, items string, item func(kind.Object) ([]byte, error), err error) {
	if v.accepts.as == asTable {
		head, err = json.Marshal(struct {
			metav1.TypeMeta
			Meta    metav1.ListMeta                `json:"metadata"`
			Columns []metav1.TableColumnDefinition `json:"columnDefinitions"`
		}{typeMeta(v), meta, v.kind.Columns})
		now := v.now()
		return head, "rows", func(obj kind.Object) ([]byte, error) { return marshalJSON(obj, v.row(obj, now)) }, err
	}
	head, err = json.Marshal(struct {
		metav1.TypeMeta
		Meta metav1.ListMeta `json:"metadata"`
	}{typeMeta(v), meta})
	return head, "items", v.json, err
}

// yamlList writes a list, or a Table, as one YAML document.
func yamlList(v *viewer, l listed, meta metav1.ListMeta, out io.Writer) error {
	head, items, item, err := jsonParts(v, meta)
	if err != nil {
		return err
	}
	head, err = yaml.JSONToYAML(head)
	if err != nil {
		return err
	}
	if len(l.items) == 0 {
		items += ": []\n"
	} else {
		items += ":\n"
	}
	if _, err := out.Write(append(head, items...)); err != nil {
		return err
	}
	var text []byte // of one item after the other
	for _, obj := range l.items {
		data, err := item(obj)
		if err != nil {
			return err
		}
		if data, err = yaml.JSONToYAML(data); err != nil {
			return err
		}
		text = text[:0]
		start := "- "
		for line := range bytes.Lines(data) {
			if len(line) > 1 { // an empty line is one of a text, and may stay so
				text = append(text, start...)
			}
			text, start = append(text, line...), "  "
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// jsonList writes a list, or a Table, as JSON; pretty is for people.
func jsonList(v *viewer, l listed, meta metav1.ListMeta, pretty bool, out io.Writer) error {
	data, items, item, err := jsonParts(v, meta)
	if err != nil {
		return err
	}
	start, comma, end := fmt.Sprintf(`%s,"%s":[`, data[:len(data)-1], items), []byte(","), "]}\n"
	if pretty {
		start = fmt.Sprintf("%s,\n  %q: [\n    ", bytes.TrimSuffix(indented(data), []byte("\n}\n")), items)
		comma, end = []byte(",\n    "), "\n  ]\n}\n"
		plain := item
		item = func(obj kind.Object) ([]byte, error) {
			data, err := plain(obj)
			if err != nil {
				return nil, err
			}
			var out bytes.Buffer
			err = json.Indent(&out, data, "    ", "  ")
			return out.Bytes(), err
		}
	}
	if _, err := io.WriteString(out, start); err != nil {
		return err
	}
	for i, obj := range l.items {
		if i > 0 {
			if _, err := out.Write(comma); err != nil {
				return err
			}
		}
		data, err := item(obj)
		if err != nil {
			return err
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
	_, err = io.WriteString(out, end)
	return err
}

// protoList writes the message that all list types share: metadata is field 1, items are field 2. The envelope says
// how long the message is, so the items are measured before the first is written.
func protoList(v *viewer, l listed, meta metav1.ListMeta, out io.Writer) error {
	head, err := meta.Marshal()
	if err != nil {
		return err
	}
	items, err := v.protos(l.items)
	if err != nil {
		return err
	}
	size := 1 + varintSize(len(head)) + len(head)
	for _, n := range items.sizes {
		size += 1 + varintSize(n) + n
	}
	start := append(envelopeHead(v.listGVK(), size), 0x0a)
	start = binary.AppendUvarint(start, uint64(len(head)))
	if _, err := out.Write(append(start, head...)); err != nil {
		return err
	}
	var tag [1 + binary.MaxVarintLen64]byte
	for i, n := range items.sizes {
		if _, err := out.Write(binary.AppendUvarint(append(tag[:0], 0x12), uint64(n))); err != nil {
			return err
		}
		data, err := items.at(i)
		if err != nil {
			return err
		}
		if len(data) != n {
			return notEncoded(l.items[i], fmt.Errorf("it was measured as %d bytes and encoded as %d", n, len(data)))
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
	_, err = io.WriteString(out, envelopeTail)
	return err
}

// measuredItems are the protobuf messages of a list's items, or how long they will be.
type measuredItems struct {
	sizes []int
	data  [][]byte // nil: encode is asked when they are written
	// encode returns the message of an item.
	encode func(i int) ([]byte, error)
}

func (m *measuredItems) at(i int) ([]byte, error) {
	if m.data != nil {
		return m.data[i], nil
	}
	return m.encode(i)
}

// protos measures the messages of objects. Those whose shared forms fit the cache are encoded, or are already; the
// others are encoded when they are written.
func (v *viewer) protos(objs []kind.Object) (*measuredItems, error) {
	m := &measuredItems{sizes: make([]int, len(objs))}
	if v.accepts.as == "" && v.version == nil && v.keep {
		data, err := v.forms.protos(objs)
		if err != nil {
			return nil, err
		}
		if data != nil {
			for i := range data {
				m.sizes[i] = len(data[i])
			}
			m.data = data
			return m, nil
		}
	}
	own := *v
	own.keep = false
	var buf []byte // of one item after the other
	m.encode = func(i int) ([]byte, error) {
		msg, err := own.protoMessage(objs[i])
		if err != nil {
			return nil, err
		}
		if n := msg.Size(); n <= cap(buf) {
			buf = buf[:n]
		} else {
			buf = make([]byte, n)
		}
		if err := marshalExactly(msg, buf); err != nil {
			return nil, notEncoded(objs[i], err)
		}
		return buf, nil
	}
	for i, obj := range objs {
		msg, err := own.protoMessage(obj)
		if err != nil {
			return nil, err
		}
		m.sizes[i] = msg.Size()
	}
	return m, nil
}

func typeMeta(v *viewer) metav1.TypeMeta {
	gvk := v.listGVK()
	return metav1.TypeMeta{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind}
}

// listSink is a response that is written in chunks. A short one is written at its end, as one with a known length; a
// long one is compressed if its client wants that.
type listSink struct {
	w     http.ResponseWriter
	r     *http.Request
	media string

	buf   []byte
	begun bool
	zip   *gzip.Writer
	err   error // of writing to the client
}

// Write implements io.Writer.
func (s *listSink) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		n := min(len(rest), compressMin-len(s.buf))
		s.buf, rest = append(s.buf, rest[:n]...), rest[n:]
		if len(s.buf) == compressMin {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
	}
	return len(data), nil
}

// flush writes what is there, of a response that is a long one.
func (s *listSink) flush() error {
	if s.r.Method == http.MethodHead {
		s.buf = s.buf[:0]
		return nil
	}
	if !s.begun {
		s.begin()
		if wantsCompression(s.r) {
			s.w.Header().Set("Content-Encoding", "gzip")
			s.w.Header().Add("Vary", "Accept-Encoding")
			s.zip, _ = gzip.NewWriterLevel(s.w, gzip.BestSpeed) // the level is a valid one
		}
		s.w.WriteHeader(http.StatusOK)
		// A client that stops reading must not hold what it asked for in memory for ever.
		_ = http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(requestTimeout))
	}
	if s.zip != nil {
		_, s.err = s.zip.Write(s.buf)
	} else {
		s.err = writeFrames(s.w, s.buf)
	}
	s.buf = s.buf[:0]
	return s.err
}

// frame is how much is written at once: with the header of an HTTP/2 frame it just fits a TLS record. One byte more
// would be a record, a system call and a packet of its own for each 16 kB.
const frame = 16<<10 - 9

func writeFrames(w io.Writer, data []byte) error {
	for len(data) > 0 {
		n := min(len(data), frame)
		if _, err := w.Write(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (s *listSink) begin() {
	s.begun = true
	h := s.w.Header()
	h["Content-Type"] = []string{s.media}
	h["Cache-Control"] = []string{"no-cache, private"}
}

// close ends the response.
func (s *listSink) close() {
	if !s.begun {
		s.begin()
		if s.r.Method != http.MethodHead {
			s.w.Header()["Content-Length"] = []string{strconv.Itoa(len(s.buf))}
		}
		s.w.WriteHeader(http.StatusOK)
		if s.r.Method != http.MethodHead {
			_, _ = s.w.Write(s.buf) // an error means that the client is gone
		}
		return
	}
	if s.flush() == nil && s.zip != nil {
		_ = s.zip.Close()
	}
}
