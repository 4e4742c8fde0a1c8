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
)

// metrics is what the server says of itself to Prometheus, under upstream's names. Each Server has its own registry.
type metrics struct {
	registry    *prometheus.Registry
	requests    *prometheus.CounterVec
	durations   *prometheus.HistogramVec
	longRunning *prometheus.GaugeVec
	watchEvents *prometheus.CounterVec
	refused     *prometheus.CounterVec
	handler     http.Handler
}

// requestLabels are the labels of a request, in the order in which labelsOf returns their values.
func requestLabels() []string {
	return []string{"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"}
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_total",
			Help: "Requests by verb, dry run, group, version, resource, scope, component and HTTP response code.",
		}, append(requestLabels(), "code")),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "apiserver_request_duration_seconds",
			Help:    "Time from the arrival of a request to its end, in seconds.",
			Buckets: []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60},
		}, requestLabels()),
		longRunning: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "apiserver_longrunning_requests",
			Help: "Watches and other streams that are open.",
		}, []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}),
		watchEvents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_watch_events_total",
			Help: "Events sent to watchers.",
		}, []string{"group", "version", "resource"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_request_terminations_total",
			Help: "Requests that were refused so that the server protects itself.",
		}, requestLabelsOfRefusals()),
	}
	m.registry.MustRegister(m.requests, m.durations, m.longRunning, m.watchEvents, m.refused,
		&stateCollector{server: s,
			objects: prometheus.NewDesc("apiserver_storage_objects", "Stored objects by resource.", []string{"resource"}, nil),
			inFlight: prometheus.NewDesc("apiserver_current_inflight_requests",
				"Requests that are carried out now, streams left out.", []string{"request_kind"}, nil),
		},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m
}

func requestLabelsOfRefusals() []string {
	return []string{"verb", "group", "version", "resource", "subresource", "scope", "component", "code"}
}

// stateCollector reads what need not be counted along.
type stateCollector struct {
	server            *Server
	objects, inFlight *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.objects; ch <- c.inFlight }

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	snap := c.server.cache.snapshot()
	for _, k := range c.server.cfg.Kinds.All() {
		ch <- prometheus.MustNewConstMetric(c.objects, prometheus.GaugeValue, float64(snap.Len(k.ID)), string(k.ID))
	}
	f := c.server.inFlight
	ch <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(f.readOnly.now.Load()), "readOnly")
	ch <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(f.mutating.now.Load()), "mutating")
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
func (m *metrics) done(x measured, code int, took time.Duration) {
	labels := [...]string{x.verb, x.dryRun, x.group, x.version, x.resource, x.subresource, x.scope, "apiserver", strconv.Itoa(code)}
	m.requests.WithLabelValues(labels[:]...).Inc()
	m.durations.WithLabelValues(labels[:len(labels)-1]...).Observe(took.Seconds())
}

// refuse counts a request that was not begun.
func (m *metrics) refuse(x measured, code int) {
	m.refused.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, "apiserver", strconv.Itoa(code)).Inc()
}

// recorder is a ResponseWriter that remembers how the response began. It may be read while the response is written.
type recorder struct {
	http.ResponseWriter
	status atomic.Int32
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
	return w.ResponseWriter.Write(data)
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
