package scheduler

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is what schedulers say of their work to Prometheus, under upstream's names. Make it with [NewMetrics];
// schedulers that follow each other may share one.
type Metrics struct {
	attempts     *prometheus.CounterVec
	durations    *prometheus.HistogramVec
	algorithm    prometheus.Histogram
	podAttempts  prometheus.Histogram
	podDurations *prometheus.HistogramVec

	pending     *prometheus.Desc
	pendingPods atomic.Pointer[Pending]
}

// NewMetrics returns the metrics of schedulers; they are a prometheus.Collector.
func NewMetrics() *Metrics {
	milliseconds := prometheus.ExponentialBuckets(0.001, 2, 15)
	return &Metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scheduler_schedule_attempts_total",
			Help: "Attempts to find a node for a pod by their result: scheduled, unschedulable (fits nowhere), error (a write failed).",
		}, []string{"result", "profile"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "scheduler_scheduling_attempt_duration_seconds", Help: "Time to decide about a pod and to write the decision, in seconds.",
			Buckets: milliseconds,
		}, []string{"result", "profile"}),
		algorithm: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "scheduler_scheduling_algorithm_duration_seconds", Help: "Time to decide about a pod, in seconds.", Buckets: milliseconds,
		}),
		podAttempts: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "scheduler_pod_scheduling_attempts", Help: "How many attempts pods needed that have got a node.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 5),
		}),
		podDurations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "scheduler_pod_scheduling_sli_duration_seconds", Help: "Time from the first attempt for a pod until it has got a node, in seconds.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 20),
		}, []string{"attempts"}),
		pending: prometheus.NewDesc("scheduler_pending_pods",
			"Pods without a node: active are to be decided about, backoff wait because a write failed, unschedulable fit nowhere for now, gated must not be decided about yet.",
			[]string{"queue"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.counted() {
		c.Describe(ch)
	}
	ch <- m.pending
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.counted() {
		c.Collect(ch)
	}
	p := m.pendingPods.Load()
	if p == nil {
		return
	}
	for _, q := range []struct {
		name string
		pods int
	}{{"active", p.Active}, {"backoff", p.Backoff}, {"unschedulable", p.Unschedulable}, {"gated", p.Gated}} {
		ch <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(q.pods), q.name)
	}
}

func (m *Metrics) counted() []prometheus.Collector {
	return []prometheus.Collector{m.attempts, m.durations, m.algorithm, m.podAttempts, m.podDurations}
}

// waits shows how many pods have no node. nil is of a scheduler that does not run.
func (m *Metrics) waits(p *Pending) {
	if m != nil {
		m.pendingPods.Store(p)
	}
}

// decided counts a decision.
func (m *Metrics) decided(took time.Duration) {
	if m != nil {
		m.algorithm.Observe(took.Seconds())
	}
}

// carriedOut counts what became of a decision. took is the time for deciding and writing.
func (m *Metrics) carriedOut(profile string, d Decision, err error, took time.Duration, now time.Time) {
	if m == nil || d.Verb == Give && err == nil { // the pod is bound when its claims are
		return
	}
	result := "unschedulable"
	switch {
	case err != nil:
		result = "error"
	case d.Verb == Bind:
		result = "scheduled"
		m.podAttempts.Observe(float64(d.Attempts))
		m.podDurations.WithLabelValues(attemptsLabel(d.Attempts)).Observe(now.Sub(d.First).Seconds())
	}
	m.attempts.WithLabelValues(result, profile).Inc()
	m.durations.WithLabelValues(result, profile).Observe(took.Seconds())
}

// attemptsLabel returns a number of attempts as upstream's metrics tell them apart: 15 and more are one.
func attemptsLabel(n int) string {
	if n >= 15 {
		return "15+"
	}
	return strconv.Itoa(n)
}
