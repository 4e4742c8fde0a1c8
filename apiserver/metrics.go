package apiserver

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/store"
)

// metrics is what the server says of itself to Prometheus, under upstream's names.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	requests, aborted, refused *prometheus.CounterVec
	durations, sli, sizes      *prometheus.HistogramVec
	longRunning                *prometheus.GaugeVec
	deprecated                 *prometheus.GaugeVec
	answers                    memo[answered, answerSeries]

	watchEvents *prometheus.CounterVec
	watchSizes  *prometheus.HistogramVec
	watchLists  *prometheus.HistogramVec

	handshakeErrors       prometheus.Counter
	authentication        *prometheus.CounterVec
	authenticationTimes   *prometheus.HistogramVec
	authenticatedUsers    *prometheus.CounterVec
	certificateExpiration prometheus.Observer
	authorization         *prometheus.CounterVec
	authorizationTimes    *prometheus.HistogramVec

	lastingTokens, timelyTokens, staleTokens prometheus.Counter

	admission      *prometheus.HistogramVec
	admissionSteps *prometheus.HistogramVec
	admitted       memo[admittedBy, prometheus.Observer]

	storeTimes              *prometheus.HistogramVec
	storeTotal, storeErrors *prometheus.CounterVec
	writes                  memo[written, writeSeries]

	health       *prometheus.GaugeVec
	healthChecks *prometheus.CounterVec
}

// component is the label of this server among those that a cluster may have behind one address.
const component = "apiserver"

// newMetrics puts the server's metrics into a registry, which is what /metrics shows.
func newMetrics(s *Server, registry *prometheus.Registry) *metrics {
	m := &metrics{registry: registry, handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}
	short := []string{"verb", "group", "version", "resource", "subresource", "scope", "component"}
	request := append([]string{"dry_run"}, short...)
	// What upstream measures requests by, and those whose promised times begin at 50 ms.
	buckets := []float64{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60}
	promised := buckets[2:]
	milliseconds := prometheus.ExponentialBuckets(0.001, 2, 15)
	admission := []float64{0.005, 0.025, 0.1, 0.5, 1, 2.5}

	m.requests = m.counter("apiserver_request_total",
		"Requests by verb, dry run, group, version, resource, scope, component and HTTP response code.", append(request, "code")...)
	m.durations = m.histogram("apiserver_request_duration_seconds", "Time from the arrival of a request to its end, in seconds.", buckets, request...)
	m.sli = m.histogram("apiserver_request_sli_duration_seconds",
		"Time from the arrival of a request to its end, without what others than the server took of it, in seconds; dry runs are left out.", promised, short...)
	m.sizes = m.histogram("apiserver_response_sizes", "Size of the answers to gets, lists and watches, in bytes.",
		prometheus.ExponentialBuckets(1000, 10, 7), short...)
	m.longRunning = m.gauge("apiserver_longrunning_requests", "Watches and other streams that are open.", short...)
	m.refused = m.counter("apiserver_request_terminations_total", "Requests that were refused so that the server protects itself.", append(short, "code")...)
	m.aborted = m.counter("apiserver_request_aborts_total", "Requests whose answer was broken off.", "verb", "group", "version", "resource", "subresource", "scope")
	m.deprecated = m.gauge("apiserver_requested_deprecated_apis", "Deprecated APIs that somebody has asked for, with the release that drops them.",
		"group", "version", "resource", "subresource", "removed_release")

	m.watchEvents = m.counter("apiserver_watch_events_total", "Events sent to watchers.", "group", "version", "resource")
	m.watchSizes = m.histogram("apiserver_watch_events_sizes", "Size of the events sent to watchers, in bytes.",
		prometheus.ExponentialBuckets(1024, 2, 8), "group", "version", "resource")
	m.watchLists = m.histogram("apiserver_watch_list_duration_seconds",
		"Time from the arrival of a watch that begins with all objects until they are sent, in seconds.",
		append(promised, 90, 120, 180, 300), "group", "version", "resource", "scope")

	m.handshakeErrors = m.counter("apiserver_tls_handshake_errors_total", "Connections whose TLS handshake failed.").WithLabelValues()
	m.authentication = m.counter("authentication_attempts", "Requests by whether their sender was found out: success, error.", "result")
	m.authenticationTimes = m.histogram("authentication_duration_seconds", "Time to find out who sends a request, in seconds.", milliseconds, "result")
	m.authenticatedUsers = m.counter("authenticated_user_requests", "Requests whose sender is known, by a name that many share.", "username")
	m.certificateExpiration = m.histogram("apiserver_client_certificate_expiration_seconds",
		"How long the client certificates of requests are still good, in seconds.", expirationBuckets()).WithLabelValues()
	m.authorization = m.counter("authorization_attempts_total", "Requests by whether somebody allowed them: allowed, no-opinion.", "result")
	m.authorizationTimes = m.histogram("authorization_duration_seconds", "Time to decide whether a request is allowed, in seconds.", milliseconds, "result")

	m.lastingTokens = m.counter("serviceaccount_legacy_tokens_total", "Uses of tokens without an end.").WithLabelValues()
	m.timelyTokens = m.counter("serviceaccount_valid_tokens_total", "Uses of pods' tokens before their renewal was due.").WithLabelValues()
	m.staleTokens = m.counter("serviceaccount_stale_tokens_total", "Uses of pods' tokens after their renewal was due.").WithLabelValues()

	m.admission = m.histogram("apiserver_admission_controller_admission_duration_seconds",
		"Time that a rule of admission took, in seconds.", admission, "name", "type", "operation", "rejected")
	m.admissionSteps = m.histogram("apiserver_admission_step_admission_duration_seconds",
		"Time that all rules of admission of a type took, in seconds.", admission, "type", "operation", "rejected")

	m.storeTimes = m.histogram("etcd_request_duration_seconds", "Time of a write to the store, be it etcd or the embedded one, in seconds.", buckets,
		"operation", "group", "resource")
	m.storeTotal = m.counter("etcd_requests_total", "Writes to the store, be it etcd or the embedded one.", "operation", "group", "resource")
	m.storeErrors = m.counter("etcd_request_errors_total", "Writes that the store failed to carry out; conflicts are none.", "operation", "group", "resource")

	m.health = m.gauge("kubernetes_healthcheck", "Whether a health check passed when it was made last.", "name", "type")
	m.healthChecks = m.counter("kubernetes_healthchecks_total", "Health checks by their result: success, error.", "name", "type", "status")
	registry.MustRegister(newStateCollector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// expirationBuckets are upstream's for how long a certificate is good, in seconds: from none over half an hour to a year.
func expirationBuckets() []float64 {
	const hour, day = 3600, 24 * 3600
	return []float64{0, hour / 2, hour, 2 * hour, 6 * hour, 12 * hour, day, 2 * day, 4 * day, 7 * day, 30 * day, 90 * day, 180 * day, 360 * day}
}

func (m *metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(v)
	return v
}

// serveMetrics answers a request for the metrics; it returns false if the path is another.
func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/metrics" {
		return false
	}
	s.metrics.handler.ServeHTTP(w, r)
	return true
}

// begin counts a stream that opens; the result counts its end.
func (m *metrics) begin(x measured) (end func()) {
	g := m.longRunning.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, component)
	g.Inc()
	return g.Dec
}

// answered is a request with the code of its answer.
type answered struct {
	measured
	code int
}

// answerSeries is what is counted when a request has ended.
type answerSeries struct {
	total    prometheus.Counter
	duration prometheus.Observer
	sli      prometheus.Observer // nil for dry runs
	size     prometheus.Observer // nil for answers whose size says nothing
}

func (m *metrics) answerSeries(x answered) answerSeries {
	s := answerSeries{
		total:    m.requests.WithLabelValues(x.dryRun, x.verb, x.group, x.version, x.resource, x.subresource, x.scope, component, strconv.Itoa(x.code)),
		duration: m.durations.WithLabelValues(x.dryRun, x.verb, x.group, x.version, x.resource, x.subresource, x.scope, component),
	}
	if x.dryRun == "" {
		s.sli = m.sli.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, component)
	}
	switch x.verb {
	case http.MethodGet, "LIST", "WATCH":
		s.size = m.sizes.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, component)
	}
	return s
}

// done counts a request that has ended. size is that of the body of its answer, in bytes.
func (m *metrics) done(x measured, code int, size int64, took time.Duration) {
	s := m.answers.of(answered{x, code}, m.answerSeries)
	s.total.Inc()
	s.duration.Observe(took.Seconds())
	if s.sli != nil {
		s.sli.Observe(took.Seconds())
	}
	if s.size != nil {
		s.size.Observe(float64(size))
	}
}

// abort counts a request whose answer is broken off.
func (m *metrics) abort(x measured) {
	m.aborted.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope).Inc()
}

// refuse counts a request that was not begun.
func (m *metrics) refuse(x measured, code int) {
	m.refused.WithLabelValues(x.verb, x.group, x.version, x.resource, x.subresource, x.scope, component, strconv.Itoa(code)).Inc()
}

// listed counts a watch that has sent all objects that were there at its beginning.
func (m *metrics) listed(x measured, took time.Duration) {
	m.watchLists.WithLabelValues(x.group, x.version, x.resource, x.scope).Observe(took.Seconds())
}

// deprecatedUsed notes that somebody uses a deprecated kind.
func (m *metrics) deprecatedUsed(x measured, d deprecated) {
	m.deprecated.WithLabelValues(x.group, x.version, x.resource, x.subresource, d.removed).Set(1)
}

// authenticated counts whether it was found out who sends a request. A credential that is not understood is upstream's
// "error"; its "failure" is a request without any where nobody may be anonymous.
func (m *metrics) authenticated(user auth.User, err error, took time.Duration) {
	result := "success"
	if err != nil {
		result = "error"
	} else {
		m.authenticatedUsers.WithLabelValues(commonName(user.Name)).Inc()
	}
	m.authentication.WithLabelValues(result).Inc()
	m.authenticationTimes.WithLabelValues(result).Observe(took.Seconds())
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

// commonName returns one of the few names that upstream tells users apart by: those that it knows, and else that it is
// one of the rest, so that metrics neither grow with the users nor name them.
func commonName(user string) string {
	switch user {
	case "admin", "client", "kube_proxy", "kubelet", auth.ServiceAccountPrefix + "kube-system:default":
		return user
	}
	if strings.Contains(user, "@") {
		return "email_id"
	}
	return "other"
}

// authorized counts a decision. Nobody here forbids: who has nothing to say has no opinion.
func (m *metrics) authorized(allowed bool, took time.Duration) {
	result := "no-opinion"
	if allowed {
		result = "allowed"
	}
	m.authorization.WithLabelValues(result).Inc()
	m.authorizationTimes.WithLabelValues(result).Observe(took.Seconds())
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

// written is a write to the store: what was done, and the kind of what it was done to.
type written struct {
	operation string
	id        kind.ID
}

// writeSeries is what is counted when a write to the store has ended.
type writeSeries struct {
	total    prometheus.Counter
	duration prometheus.Observer
}

func (m *metrics) writeSeries(w written) writeSeries {
	gr := w.id.GroupResource()
	return writeSeries{
		total:    m.storeTotal.WithLabelValues(w.operation, gr.Group, gr.Resource),
		duration: m.storeTimes.WithLabelValues(w.operation, gr.Group, gr.Resource),
	}
}

// stored counts a transaction of the store, which is named after its last key: what goes with it comes before.
func (m *metrics) stored(writes []store.Write, failed bool, took time.Duration) {
	if len(writes) == 0 {
		return
	}
	last := &writes[len(writes)-1]
	w := written{operation: "update"}
	switch {
	case last.Value == nil:
		w.operation = "delete"
	case last.Expect == 0:
		w.operation = "create"
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(last.Key, "/"), "/")
	w.id = kind.ID(id)
	s := m.writes.of(w, m.writeSeries)
	s.total.Inc()
	s.duration.Observe(took.Seconds())
	if failed {
		gr := w.id.GroupResource()
		m.storeErrors.WithLabelValues(w.operation, gr.Group, gr.Resource).Inc()
	}
}
