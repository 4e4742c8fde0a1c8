package controller

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Queue is what a loop knows of the keys of one controller.
type Queue struct {
	Controller string
	Depth      int   // keys that are due
	Adds       int64 // how often a key became due
	Retries    int64 // plans that failed
	// Unfinished is how long the plans that are in flight have taken so far, all together; Longest is the longest of them.
	Unfinished, Longest time.Duration
}

// Queues returns the queue of each controller, in their order.
func (l *Loop) Queues(now time.Time) []Queue {
	queues := make([]Queue, len(l.controllers))
	for i, c := range l.controllers {
		queues[i] = Queue{Controller: c.Name, Adds: l.counts[i].adds, Retries: l.counts[i].retries}
	}
	for _, due := range [][]*item{l.ready, l.fenced} {
		for _, it := range due {
			queues[it.controller].Depth++
		}
	}
	for _, it := range l.flying {
		q := &queues[it.controller]
		took := now.Sub(it.began)
		q.Unfinished += took
		q.Longest = max(q.Longest, took)
	}
	return queues
}

// Metrics is what the runner of the moment says of its queues to Prometheus, by upstream's names for work queues. The
// label is the controller's name. Make it with [NewMetrics]; runners that follow each other may share one.
type Metrics struct {
	waited, worked *prometheus.HistogramVec

	depth, adds, retries, unfinished, longest *prometheus.Desc

	mu     sync.Mutex // guards runner
	runner *Runner    // nil while none runs
}

// NewMetrics returns the metrics of runners; they are a prometheus.Collector.
func NewMetrics() *Metrics {
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(10e-9, 10, 10),
		}, []string{"name"})
	}
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"name"}, nil)
	}
	return &Metrics{
		waited:     histogram("workqueue_queue_duration_seconds", "Time that a key was due before it was decided about, in seconds."),
		worked:     histogram("workqueue_work_duration_seconds", "Time to decide about a key and to carry the plan out, in seconds."),
		depth:      desc("workqueue_depth", "Keys that are due."),
		adds:       desc("workqueue_adds_total", "How often a key became due."),
		retries:    desc("workqueue_retries_total", "Plans that failed, so that their keys became due again."),
		unfinished: desc("workqueue_unfinished_work_seconds", "Time that the plans in flight have taken so far, all together, in seconds."),
		longest:    desc("workqueue_longest_running_processor_seconds", "Time that the longest of the plans in flight has taken so far, in seconds."),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.waited.Describe(ch)
	m.worked.Describe(ch)
	for _, d := range []*prometheus.Desc{m.depth, m.adds, m.retries, m.unfinished, m.longest} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.waited.Collect(ch)
	m.worked.Collect(ch)
	m.mu.Lock()
	r := m.runner
	m.mu.Unlock()
	if r == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, name string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, name)
	}
	for _, q := range r.queues() {
		gauge(m.depth, float64(q.Depth), q.Controller)
		ch <- prometheus.MustNewConstMetric(m.adds, prometheus.CounterValue, float64(q.Adds), q.Controller)
		ch <- prometheus.MustNewConstMetric(m.retries, prometheus.CounterValue, float64(q.Retries), q.Controller)
		gauge(m.unfinished, q.Unfinished.Seconds(), q.Controller)
		gauge(m.longest, q.Longest.Seconds(), q.Controller)
	}
}

// follow shows the queues of a runner, until the result is called.
func (m *Metrics) follow(r *Runner) (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runner = r
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.runner == r {
			m.runner = nil
		}
	}
}

// done counts a task that was carried out.
func (m *Metrics) done(t Task, took time.Duration) {
	m.waited.WithLabelValues(t.Controller).Observe(t.Waited.Seconds())
	m.worked.WithLabelValues(t.Controller).Observe(took.Seconds())
}
