package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"sigs.k8s.io/yaml"

	"sampan/kind"
)

// statusGVK is the kind of every error, and of answers that are no object.
var statusGVK = schema.GroupVersionKind{Version: "v1", Kind: "Status"}

// writeStatus writes an error, or any other Status, in the form that the client accepts.
func writeStatus(w http.ResponseWriter, r *http.Request, err error) {
	var status metav1.Status
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		status = known.Status()
	} else {
		status = apierrors.NewInternalError(err).ErrStatus
	}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	a, negErr := negotiate(r.Header.Get("Accept"), false)
	if negErr != nil {
		a = accepted{media: mediaJSON}
	}
	writeRuntimeObject(w, r, int(status.Code), a, statusGVK, &status)
}

// writeRuntimeObject writes an object that is no published one: a Status, a Table.
func writeRuntimeObject(w http.ResponseWriter, r *http.Request, code int, a accepted, gvk schema.GroupVersionKind, obj runtime.Object) {
	setGVK(obj, gvk)
	auditOf(w).response(gvk, obj)
	if m, ok := obj.(protoMessage); ok && a.media == mediaProto {
		data, err := marshalEnvelope(gvk, m)
		if err == nil {
			writeBytes(w, r, code, mediaProto, data)
			return
		}
	}
	data, err := json.Marshal(obj)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	media := mediaJSON
	if a.media == mediaYAML {
		if y, err := yaml.JSONToYAML(data); err == nil {
			data, media = y, mediaYAML
		}
	} else if wantsPretty(r) {
		data = indented(data)
	}
	writeBytes(w, r, code, media, data)
}

// wantsPretty reports whether a person reads the answer: one who says so, or uses curl, wget or a browser and does not
// say no.
func wantsPretty(r *http.Request) bool {
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "pretty") &&
		slices.ContainsFunc(parseAccept(accept), func(m mediaRange) bool { return m.params["pretty"] == "1" }) {
		return true
	}
	if strings.Contains(r.URL.RawQuery, "pretty") {
		if value := r.URL.Query().Get("pretty"); value != "" {
			pretty, err := strconv.ParseBool(value)
			return err == nil && pretty
		}
	}
	agent := r.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

// indented returns JSON for people.
func indented(data []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, data, "", "  ") != nil {
		return data
	}
	return append(out.Bytes(), '\n')
}

// writeBytes writes a whole response, whose parts follow each other.
func writeBytes(w http.ResponseWriter, r *http.Request, code int, media string, parts ...[]byte) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	h := w.Header()
	h["Content-Type"] = []string{media}
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache, private"}
	}
	var out io.Writer = w
	if size >= compressMin && wantsCompression(r) {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // the level is a valid one
		defer zip.Close()
		out = zip
	} else {
		h["Content-Length"] = []string{strconv.Itoa(size)}
	}
	w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return
	}
	if size >= compressMin {
		// A client that stops reading must not hold what it asked for in memory for ever.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(requestTimeout))
	}
	for _, p := range parts {
		if _, err := out.Write(p); err != nil {
			return // the client is gone
		}
	}
}

// compressMin is the size from which a response is worth compressing, as in upstream.
const compressMin = 128 << 10

// wantsCompression reports whether a response should be compressed: the client must accept it, and the way to it
// must not be faster than the compressor, as the loopback interface is.
func wantsCompression(r *http.Request) bool {
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		return false
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	peer, err := netip.ParseAddr(host)
	if err != nil || peer.Unmap().IsLoopback() {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return true
	}
	here, err := netip.ParseAddrPort(local.String())
	return err != nil || here.Addr().Unmap() != peer.Unmap() // our own address: the same machine
}

// writeObject writes an object as the client wants to see it. shared says that the object is published, so that
// its encoded form is worth keeping.
func (x *exchange) writeObject(code int, a accepted, obj kind.Object, shared bool) error {
	v := x.viewer(a)
	v.keep = shared
	return x.writeView(code, v, obj)
}

// writeView writes an object as a viewer shows it.
func (x *exchange) writeView(code int, v *viewer, obj kind.Object) error {
	a := v.accepts
	x.audit.shownObject(v, obj)
	if a.media == mediaYAML {
		data, err := v.json(obj)
		if err != nil {
			return apierrors.NewInternalError(err)
		}
		if data, err = yaml.JSONToYAML(data); err != nil {
			return apierrors.NewInternalError(fmt.Errorf("convert to YAML: %w", err))
		}
		writeBytes(x.w, x.r, code, mediaYAML, data)
		return nil
	}
	head, body, tail, err := v.message(obj)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if a.media == mediaJSON && wantsPretty(x.r) {
		body, tail = indented(body), nil
	}
	writeBytes(x.w, x.r, code, a.media, head, body, tail)
	return nil
}

// addWarning adds a warning that is not there yet. Headers must stay small: as upstream does, warnings that would make
// them large are cut, and then no more are added.
func addWarning(h http.Header, text string) {
	const allMost, oneMost = 4 << 10, 256
	const name = "Warning"
	cut := func(text string) string { return strings.ToValidUTF8(text[:min(len(text), oneMost)], "") }
	add := func(text string) {
		if header, err := utilnet.NewWarningHeader(299, "-", text); err == nil {
			h.Add(name, header)
		}
	}
	had, _ := utilnet.ParseWarningHeaders(h[name]) // they are ours
	total := len(text)
	for _, w := range had {
		if total += len(w.Text); w.Text == text || w.Text == cut(text) {
			return
		}
	}
	if total <= allMost {
		add(text)
		return
	}
	h.Del(name)
	total = len(cut(text))
	for _, w := range had {
		total += len(cut(w.Text))
		add(cut(w.Text))
	}
	if total <= allMost {
		add(cut(text))
	}
}
