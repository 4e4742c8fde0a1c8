package apiserver

import (
	"bufio"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/store"
)

// metrics is what the server says of itself to Prometheus, under upstream's names. Each Server has its own registry.
type metrics struct {
	registry        *prometheus.Registry
	requests        *prometheus.CounterVec
	durations       *prometheus.HistogramVec
	sizes           *prometheus.HistogramVec
	longRunning     *prometheus.GaugeVec
	watchEvents     *prometheus.CounterVec
	watchSizes      *prometheus.HistogramVec
	refused         *prometheus.CounterVec
	handshakeErrors prometheus.Counter
	authentication  *prometheus.CounterVec
	authorization   *prometheus.CounterVec
	lastingTokens   prometheus.Counter
	timelyTokens    prometheus.Counter
	staleTokens     prometheus.Counter
	deprecated      *prometheus.GaugeVec
	health          *prometheus.GaugeVec
	healthChecks    *prometheus.CounterVec
	store           *prometheus.HistogramVec
	handler         http.Handler
}

// requestLabels are the labels of a request, in the order in which labelsOf returns their values.
func requestLabels() []string {
	return []string{"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"}
}

// shortRequestLabels are those of metrics that do not tell dry runs.
func shortRequestLabels() []string {
	return []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.requests = counter("apiserver_request_total",
		"Requests by verb, dry run, group, version, resource, scope, component and HTTP response code.", append(requestLabels(), "code")...)
	m.durations = histogram("apiserver_request_duration_seconds", "Time from the arrival of a request to its end, in seconds.",
		[]float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60}, requestLabels()...)
	m.sizes = histogram("apiserver_response_sizes", "Size of the answers to gets and lists, in bytes.",
		prometheus.ExponentialBuckets(1000, 10, 7), shortRequestLabels()...)
	m.longRunning = gauge("apiserver_longrunning_requests", "Watches and other streams that are open.", shortRequestLabels()...)
	m.watchEvents = counter("apiserver_watch_events_total", "Events sent to watchers.", "group", "version", "resource")
	m.watchSizes = histogram("apiserver_watch_events_sizes", "Size of the events sent to watchers, in bytes.",
		prometheus.ExponentialBuckets(1024, 2, 8), "group", "version", "resource")
	m.refused = counter("apiserver_request_terminations_total", "Requests that were refused so that the server protects itself.",
		append(shortRequestLabels(), "code")...)
	m.handshakeErrors = counter("apiserver_tls_handshake_errors_total", "Connections whose TLS handshake failed.").WithLabelValues()
	m.authentication = counter("authentication_attempts", "Requests by whether their sender was found out: success, failure.", "result")
	m.authorization = counter("authorization_attempts_total", "Requests by whether somebody allowed them: allowed, no-opinion.", "result")
	m.lastingTokens = counter("serviceaccount_legacy_tokens_total", "Uses of tokens without an end.").WithLabelValues()
	m.timelyTokens = counter("serviceaccount_valid_tokens_total", "Uses of pods' tokens before their renewal was due.").WithLabelValues()
	m.staleTokens = counter("serviceaccount_stale_tokens_total", "Uses of pods' tokens after their renewal was due.").WithLabelValues()
	m.deprecated = gauge("apiserver_requested_deprecated_apis", "Deprecated APIs that somebody has asked for, with the release that drops them.",
		"group", "version", "resource", "subresource", "removed_release")
	m.health = gauge("kubernetes_healthcheck", "Whether a health check passed when it was made last.", "name", "type")
	m.healthChecks = counter("kubernetes_healthchecks_total", "Health checks by their result: success, error.", "name", "type", "status")
	m.store = histogram("etcd_request_duration_seconds", "Time of a write to the store, be it etcd or the embedded one, in seconds.",
		[]float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60}, "operation", "group", "resource")
	m.registry.MustRegister(newStateCollector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m
}

// measured is a request as metrics name it. The values of its labels come from routes that exist, never from what a
// client makes up.
type measured struct {
	verb, dryRun, group, version, resource, subresource, scope string
}

// measured names the request of the exchange.
func (x *exchange) measured() measured {
	s, r, rt := x.server, x.r, x.route
	m := measured{verb: knownMethod(r.Method)}
	k := s.kindOf(rt)
	if k == nil {
		if rt.resource == "" {
			m.subresource = knownPath(r.URL.Path)
		}
		return m
	}
	switch rt.verb {
	case "list", "watch", "deletecollection":
		m.verb = strings.ToUpper(rt.verb)
	case "patch":
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch") {
			m.verb = "APPLY"
		}
	}
	if isStream(k.ID, rt.subresource) && rt.subresource != "log" {
		m.verb = "CONNECT"
	}
	if x.query.Get("dryRun") == metav1.DryRunAll {
		m.dryRun = "All"
	}
	m.group, m.version, m.resource, m.subresource = rt.gv.Group, rt.gv.Version, rt.resource, knownSubresource(k, rt.subresource)
	switch {
	case rt.name != "" || rt.verb == "create":
		m.scope = "resource"
	case rt.namespace != "":
		m.scope = "namespace"
	default:
		m.scope = "cluster"
	}
	return m
}

// knownMethod returns an HTTP method that is served, or "other".
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// knownSubresource returns the name of a subresource if the kind has such a one.
func knownSubresource(k *kind.Kind, name string) string {
	if name == "" {
		return ""
	}
	for _, sub := range subresourcesOf(k) {
		if sub.name == name {
			return name
		}
	}
	return ""
}

// serveMetrics answers a request for the metrics; it returns false if the path is another.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/metrics" {
		return false
	}
	s.metrics.handler.ServeHTTP(w, r)
	return true
}

// knownPath returns the first element of a path that is no resource's, if there is such a one.
func knownPath(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "api", "apis", "healthz", "livez", "readyz", "metrics", "openapi", "sampan", "version":
		return "/" + first
	}
	return ""
}

// begin counts a stream that opens; the result counts its end.
func (m *metrics) begin(x measured) (end func()) {
	g := m.longRunning.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, "apiserver")
	g.Inc()
	return g.Dec
}

// done counts a request that has ended.
func (m *metrics) done(x measured, w *recorder, took time.Duration) {
	labels := [...]string{x.verb, x.dryRun, x.group, x.version, x.resource, x.subresource, x.scope, "apiserver", strconv.Itoa(w.code())}
	m.requests.WithLabelValues(labels[:]...).Inc()
	m.durations.WithLabelValues(labels[:len(labels)-1]...).Observe(took.Seconds())
	if x.verb == http.MethodGet || x.verb == "LIST" {
		m.sizes.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, "apiserver").Observe(float64(w.size.Load()))
	}
}

// authenticated counts whether it was found out who sends a request.
func (m *metrics) authenticated(err error) {
	if err != nil {
		m.authentication.WithLabelValues("failure").Inc()
		return
	}
	m.authentication.WithLabelValues("success").Inc()
}

// token counts the use of a token that is good.
func (m *metrics) token(known identity) {
	switch {
	case known.lasting:
		m.lastingTokens.Inc()
	case known.stale > 0:
		m.staleTokens.Inc()
	case known.timely:
		m.timelyTokens.Inc()
	}
}

// authorized counts a decision. Nobody here forbids: who has nothing to say has no opinion.
func (m *metrics) authorized(allowed bool) {
	if allowed {
		m.authorization.WithLabelValues("allowed").Inc()
		return
	}
	m.authorization.WithLabelValues("no-opinion").Inc()
}

// deprecatedUsed notes that somebody uses a deprecated kind.
func (m *metrics) deprecatedUsed(x measured, d deprecated) {
	m.deprecated.WithLabelValues(x.group, x.version, x.resource, x.subresource, d.removed).Set(1)
}

// checked counts a health check. typ is where it was asked for: livez, readyz, healthz.
func (m *metrics) checked(name, typ string, err error) {
	passed, status := 1.0, "success"
	if err != nil {
		passed, status = 0, "error"
	}
	m.health.WithLabelValues(name, typ).Set(passed)
	m.healthChecks.WithLabelValues(name, typ, status).Inc()
}

// stored counts a write to the store, which is named after its last key: what goes with it comes before.
func (m *metrics) stored(writes []store.Write, took time.Duration) {
	if len(writes) == 0 {
		return
	}
	w := &writes[len(writes)-1]
	operation := "update"
	switch {
	case w.Value == nil:
		operation = "delete"
	case w.Expect == 0:
		operation = "create"
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(w.Key, "/"), "/")
	resource, group, _ := strings.Cut(id, ".")
	m.store.WithLabelValues(operation, group, resource).Observe(took.Seconds())
}

// refuse counts a request that was not begun.
func (m *metrics) refuse(x measured, code int) {
	m.refused.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, "apiserver", strconv.Itoa(code)).Inc()
}

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
