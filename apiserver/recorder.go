package apiserver

import (
	"bufio"
	"net"
	"net/http"
	"sync/atomic"
)

// recorder is a ResponseWriter that remembers how the response began. It may be read while the response is written.
type recorder struct {
	http.ResponseWriter
	status atomic.Int32
	size   atomic.Int64 // bytes of the body
	audit  *audited

	bodyRead bool // the request's body, to its end
}

// begun takes the code with which the response begins.
func (w *recorder) begun(code int) {
	if w.status.CompareAndSwap(0, int32(code)) {
		w.audit.begun(code)
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		w.begun(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(data []byte) (int, error) {
	w.begun(http.StatusOK)
	n, err := w.ResponseWriter.Write(data)
	w.size.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher.
func (w *recorder) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Hijack implements http.Hijacker; HTTP/2 connections cannot be hijacked and give an error.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begun(http.StatusSwitchingProtocols)
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// code returns the status code of the response; 200 if the handler wrote none, as package http has it.
func (w *recorder) code() int {
	if code := w.status.Load(); code != 0 {
		return int(code)
	}
	return http.StatusOK
}
