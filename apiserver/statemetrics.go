package apiserver

import "github.com/prometheus/client_golang/prometheus"

// stateCollector reads what need not be counted along.
type stateCollector struct {
	server *Server

	resources, objects, inFlight, build   *prometheus.Desc
	auditEvents, auditErrors, auditLevels *prometheus.Desc
}

func newStateCollector(s *Server) *stateCollector {
	return &stateCollector{
		server:    s,
		resources: prometheus.NewDesc("apiserver_resource_objects", "Stored objects by group and resource.", []string{"group", "resource"}, nil),
		objects:   prometheus.NewDesc("apiserver_storage_objects", "Stored objects by resource; apiserver_resource_objects is its successor.", []string{"resource"}, nil),
		inFlight:  prometheus.NewDesc("apiserver_current_inflight_requests", "Requests that are carried out now, streams left out.", []string{"request_kind"}, nil),
		build: prometheus.NewDesc("kubernetes_build_info", "The version of the API, as labels of the number 1.",
			[]string{"major", "minor", "git_version", "git_commit", "git_tree_state", "build_date", "go_version", "compiler", "platform"}, nil),
		auditEvents: prometheus.NewDesc("apiserver_audit_event_total", "Events of the audit log, with those that could not be written.", nil, nil),
		auditErrors: prometheus.NewDesc("apiserver_audit_error_total", "Events of the audit log that could not be written.", []string{"plugin"}, nil),
		auditLevels: prometheus.NewDesc("apiserver_audit_level_total", "Requests by the level that the audit policy gives them.", []string{"level"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.resources, c.objects, c.inFlight, c.build, c.auditEvents, c.auditErrors, c.auditLevels} {
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
	}
	f := c.server.inFlight
	gauge(c.inFlight, float64(f.readOnly.now.Load()), "readOnly")
	gauge(c.inFlight, float64(f.mutating.now.Load()), "mutating")
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
