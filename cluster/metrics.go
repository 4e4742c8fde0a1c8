package cluster

import (
	"github.com/prometheus/client_golang/prometheus"

	"sampan/controller"
	"sampan/scheduler"
)

// partMetrics is what the parts beside the API server say of themselves at its /metrics.
type partMetrics struct {
	controllers *controller.Metrics
	scheduler   *scheduler.Metrics
	leading     *prometheus.GaugeVec // by the name of the Lease
}

func newPartMetrics(registry *prometheus.Registry) partMetrics {
	m := partMetrics{
		controllers: controller.NewMetrics(),
		scheduler:   scheduler.NewMetrics(),
		leading: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leader_election_master_status", Help: "Whether this server does what only one of a cluster does: 1 or 0.",
		}, []string{"name"}),
	}
	registry.MustRegister(m.controllers, m.scheduler, m.leading)
	return m
}
