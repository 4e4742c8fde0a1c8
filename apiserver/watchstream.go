package apiserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// The times of a watch stream, as upstream has them: how long it lasts if the client does not say (between one and
// two times this), and how often a client that wants bookmarks gets one.
const (
	watchTimeoutMin  = 30 * time.Minute
	bookmarkInterval = time.Minute
)

// watchTimeout returns how long a watch lasts whose client does not say. Streams end so that whoever may no more what he
// might when they began does not see everything for ever, and not all of them in the same moment.
func (s *Server) watchTimeout() time.Duration {
	return watchTimeoutMin + time.Duration(s.random(uint64(watchTimeoutMin)))
}

// watch answers a watch with a stream that ends after its time, when the client goes away, or when the client is so
// slow that the history runs out.
func (x *exchange) watch() error {
	a, err := x.negotiated(true, asTable, asPartial, asList)
	if err != nil {
		return err
	}
	asked, err := x.listOptions(true)
	if err != nil {
		return err
	}
	opts := watchOptions{revision: asked.ResourceVersion, bookmarks: asked.AllowWatchBookmarks, sendInitialEvents: asked.SendInitialEvents}
	if opts.sel, err = newSelection(x.req.kind, x.req.version, asked.LabelSelector, asked.FieldSelector); err != nil {
		return err
	}
	if name := x.req.key.Name; name != "" { // the watch of one object, in the old form
		if opts.sel, err = opts.sel.ofOne(name); err != nil {
			return err
		}
		x.req.key.Name = ""
	}
	timeout := seconds(asked.TimeoutSeconds)
	if timeout == 0 {
		timeout = x.server.watchTimeout()
	}
	w, err := x.server.watch(x.r.Context(), x.req, opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	if x.wantsSocket() {
		x.streamSocket(ctx, w, a)
	} else {
		x.stream(ctx, w, a)
	}
	return nil
}

// stream writes the events of a watch as the body of the answer, until the watch ends.
func (x *exchange) stream(ctx context.Context, w *watcher, a accepted) {
	media := a.media
	if media == mediaProto {
		media += ";stream=watch"
	}
	h := x.w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-cache, private")
	x.w.WriteHeader(http.StatusOK)
	if http.NewResponseController(x.w).Flush() != nil {
		return
	}
	var p patience
	x.sendEvents(ctx, w, &framer{viewer: x.viewer(a), send: func(events []byte) bool { return p.write(x.w, events) }})
}

// sendEvents sends the events of a watch until it ends.
func (x *exchange) sendEvents(ctx context.Context, w *watcher, f *framer) {
	gv := x.req.sentAs().GroupVersion()
	resource := x.req.kind.GroupResource().Resource
	sent := x.server.metrics.watchEvents.WithLabelValues(gv.Group, gv.Version, resource)
	sizes := x.server.metrics.watchSizes.WithLabelValues(gv.Group, gv.Version, resource)
	lists := w.lists()
	for {
		events, ok := w.next()
		sent.Add(float64(len(events)))
		for _, e := range events {
			before := f.buf.Len()
			if err := f.add(e); err != nil {
				x.server.cfg.Log.Error("encode a watch event", "kind", x.req.kind.ID, "error", err)
				return
			}
			sizes.Observe(float64(f.buf.Len() - before))
			if (f.single || f.buf.Len() >= writeChunk) && !f.flush() {
				return
			}
		}
		if !f.flush() || !ok {
			return
		}
		if lists {
			x.server.metrics.listed(x.measured(), time.Since(x.began))
			lists = false
		}
		if !x.waitOrMark(ctx, w, f) {
			return
		}
	}
}

// waitOrMark waits for events. A client that wants bookmarks gets one whenever it had no event for a while but
// others did, so that it can resume from a recent revision.
func (x *exchange) waitOrMark(ctx context.Context, w *watcher, f *framer) bool {
	for {
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if w.opts.bookmarks {
			waiting, cancel = context.WithTimeout(ctx, bookmarkInterval)
		}
		err := w.wait(waiting)
		cancel()
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return false
		}
		if events, ok := w.next(); len(events) > 0 || !ok {
			for _, e := range events {
				if f.add(e) != nil || f.single && !f.flush() {
					return false
				}
			}
			if !ok {
				f.flush()
				return false
			}
		} else if f.add(w.bookmark()) != nil {
			return false
		}
		if !f.flush() {
			return false
		}
	}
}

// framer turns watch events into the bytes of a stream: one JSON value per line, or protobuf messages behind their
// length.
type framer struct {
	viewer *viewer
	buf    bytes.Buffer
	single bool              // each event is sent alone
	send   func([]byte) bool // reports whether the client still reads
}

// frameHead is the length of the length in front of a protobuf message.
const frameHead = 4

// writeChunk is how many bytes of events are joined before they are written.
const writeChunk = 32 << 10

// writeTimeout is how long a client may take to read what is sent to it at once. One that takes longer has stopped
// reading; its watch ends, and it finds the reason when it comes back.
const writeTimeout = 30 * time.Second

// flush sends what was added, and reports whether the client still reads.
func (f *framer) flush() bool {
	if f.buf.Len() == 0 {
		return true
	}
	defer f.buf.Reset()
	return f.send(f.buf.Bytes())
}

// patience breaks off a write that takes too long. It is a timer of its own, because each change of a deadline costs
// an HTTP/2 connection a round through its loop, and there are two changes for each event of each watcher.
// The zero value is ready; it belongs to one goroutine.
type patience struct {
	limit time.Duration // 0: writeTimeout
	timer *time.Timer

	mu      sync.Mutex // guards writing: the timer must not touch a response whose handler has returned
	writing http.ResponseWriter
}

// write writes and flushes, and reports whether the client has read it in time.
func (p *patience) write(w http.ResponseWriter, data []byte) bool {
	p.begin(w)
	_, err := w.Write(data)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	return p.end() && err == nil
}

func (p *patience) begin(w http.ResponseWriter) {
	p.mu.Lock()
	p.writing = w
	p.mu.Unlock()
	limit := p.limit
	if limit == 0 {
		limit = writeTimeout
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(limit, p.breakOff)
	} else {
		p.timer.Reset(limit)
	}
}

// end reports whether the write was in time.
func (p *patience) end() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = nil
	return p.timer.Stop()
}

func (p *patience) breakOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writing != nil {
		_ = http.NewResponseController(p.writing).SetWriteDeadline(time.Unix(1, 0)) // recorders in tests have none
	}
}

func (f *framer) add(e watchEvent) error {
	v := f.viewer
	var head, body, tail []byte
	var err error
	switch {
	case e.status != nil:
		head, body, tail, err = statusMessage(v.accepts, e.status)
	case e.typ == watch.Bookmark:
		// A bookmark is nobody's but this watch's.
		own := *v
		own.keep = false
		head, body, tail, err = own.message(e.object)
	default:
		head, body, tail, err = v.message(e.object)
	}
	if err != nil {
		return err
	}
	if v.accepts.media != mediaProto {
		f.buf.WriteString(`{"type":"`)
		f.buf.WriteString(string(e.typ))
		f.buf.WriteString(`","object":`)
		f.buf.Write(body)
		f.buf.WriteString("}\n")
		return nil
	}
	// metav1.WatchEvent: type is field 1; object, a RawExtension whose raw is field 1, is field 2.
	raw := len(head) + len(body) + len(tail)
	ext := 1 + varintSize(raw) + raw
	size := 2 + len(e.typ) + 1 + varintSize(ext) + ext
	b := f.buf.AvailableBuffer()
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = append(b, 0x0a, byte(len(e.typ)))
	b = append(b, e.typ...)
	b = append(b, 0x12)
	b = binary.AppendUvarint(b, uint64(ext))
	b = append(b, 0x0a)
	b = binary.AppendUvarint(b, uint64(raw))
	b = append(b, head...)
	b = append(b, body...)
	f.buf.Write(append(b, tail...))
	return nil
}

func statusMessage(a accepted, err *apierrors.StatusError) (head, body, tail []byte, _ error) {
	status := err.ErrStatus
	setGVK(&status, statusGVK)
	if a.media != mediaProto {
		body, err := json.Marshal(&status)
		return nil, body, nil, err
	}
	body, marshalErr := status.Marshal()
	return envelopeHead(statusGVK, len(body)), body, []byte(envelopeTail), marshalErr
}
