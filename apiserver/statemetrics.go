package apiserver

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sizeTimeout is how long a look at the metrics waits for a store in another process to say how large it is.
const sizeTimeout = time.Second

// stateCollector reads what need not be counted along.
type stateCollector struct {
	server *Server

	resources, objects, events            *prometheus.Desc
	size, inFlight, build                 *prometheus.Desc
	auditEvents, auditErrors, auditLevels *prometheus.Desc
}

func newStateCollector(s *Server) *stateCollector {
	return &stateCollector{
		server:    s,
		resources: prometheus.NewDesc("apiserver_resource_objects", "Stored objects by group and resource.", []string{"group", "resource"}, nil),
		objects:   prometheus.NewDesc("apiserver_storage_objects", "Stored objects by resource; apiserver_resource_objects is its successor.", []string{"resource"}, nil),
		events:    prometheus.NewDesc("apiserver_storage_events_received_total", "Events that came from the store.", []string{"group", "resource"}, nil),
		size:      prometheus.NewDesc("apiserver_storage_size_bytes", "Size of the files of the store, in bytes.", []string{"storage_cluster_id"}, nil),
		inFlight:  prometheus.NewDesc("apiserver_current_inflight_requests", "The most requests that were carried out at the same time in the last second, streams left out.", []string{"request_kind"}, nil),
		build: prometheus.NewDesc("kubernetes_build_info", "The version of the API, as labels of the number 1.",
			[]string{"major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "go_version", "compiler", "platform"}, nil),
		auditEvents: prometheus.NewDesc("apiserver_audit_event_total", "Events of the audit log, with those that could not be written.", nil, nil),
		auditErrors: prometheus.NewDesc("apiserver_audit_error_total", "Events of the audit log that could not be written.", []string{"plugin"}, nil),
		auditLevels: prometheus.NewDesc("apiserver_audit_level_total", "Requests by the level that the audit policy gives them.", []string{"level"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.resources, c.objects, c.events, c.size, c.inFlight, c.build, c.auditEvents, c.auditErrors, c.auditLevels} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	snap := c.server.cache.snapshot()
	for _, k := range c.server.cfg.Kinds.All() {
		n, gr := float64(snap.Len(k.ID)), k.GroupResource()
		gauge(c.objects, n, string(k.ID))
		gauge(c.resources, n, gr.Group, gr.Resource)
		if n := c.server.cache.received(k.ID); n > 0 {
			ch <- prometheus.MustNewConstMetric(c.events, prometheus.CounterValue, float64(n), gr.Group, gr.Resource)
		}
	}
	f, now := c.server.inFlight, time.Now()
	gauge(c.inFlight, float64(f.readOnly.most(now)), "readOnly")
	gauge(c.inFlight, float64(f.mutating.most(now)), "mutating")
	ctx, cancel := context.WithTimeout(context.Background(), sizeTimeout)
	defer cancel()
	if size, err := c.server.cfg.Store.Size(ctx); err != nil {
		c.server.cfg.Log.Debug("size of the store not known", "error", err)
	} else {
		gauge(c.size, float64(size), "etcd-0") // as upstream names the first of its clusters
	}
	v := c.server.cfg.Version
	gauge(c.build, 1, v.Major, v.Minor, v.GitVersion, v.GitCommit, v.GitTreeState, v.BuildDate, v.GoVersion, v.Compiler, v.Platform)
	if log := c.server.cfg.Audit; log != nil {
		counts := log.Counts()
		ch <- prometheus.MustNewConstMetric(c.auditEvents, prometheus.CounterValue, float64(counts.Events))
		ch <- prometheus.MustNewConstMetric(c.auditErrors, prometheus.CounterValue, float64(counts.Dropped), "log")
		for level, n := range counts.Chosen {
			ch <- prometheus.MustNewConstMetric(c.auditLevels, prometheus.CounterValue, float64(n), string(level))
		}
	}
}
