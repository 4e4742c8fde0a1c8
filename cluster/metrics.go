package cluster

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"sampan/controller"
	"sampan/scheduler"
	"sampan/store/sealed"
)

// partMetrics is what the parts beside the API server say of themselves at its /metrics.
type partMetrics struct {
	controllers *controller.Metrics
	scheduler   *scheduler.Metrics
	leading     *prometheus.GaugeVec // by the name of the Lease

	encryptions     *prometheus.CounterVec
	encryptionTimes *prometheus.HistogramVec
}

func newPartMetrics(registry *prometheus.Registry) partMetrics {
	m := partMetrics{
		controllers: controller.NewMetrics(),
		scheduler:   scheduler.NewMetrics(),
		leading: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leader_election_master_status", Help: "Whether this server does what only one of a cluster does: 1 or 0.",
		}, []string{"name"}),
		encryptions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_storage_transformation_operations_total", Help: "Values that were encrypted or decrypted on their way to or from the store.",
		}, []string{"resource", "transformation_type", "transformer_prefix", "status"}),
		encryptionTimes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "apiserver_storage_transformation_duration_seconds", Help: "Time to encrypt or decrypt a value, in seconds.",
			Buckets: prometheus.ExponentialBuckets(5e-6, 2, 25),
		}, []string{"transformation_type", "transformer_prefix"}),
	}
	registry.MustRegister(m.controllers, m.scheduler, m.leading, m.encryptions, m.encryptionTimes)
	return m
}

// encrypted counts a value that was encrypted or decrypted.
func (m partMetrics) encrypted(op sealed.Operation) {
	direction, status := "from_storage", "OK"
	if op.Sealing {
		direction = "to_storage"
	}
	if op.Err != nil {
		status = "Unknown" // what upstream calls an error of no code
	}
	resource, _, _ := strings.Cut(strings.TrimPrefix(op.Key, "/"), "/")
	m.encryptions.WithLabelValues(resource, direction, sealed.Prefix, status).Inc()
	m.encryptionTimes.WithLabelValues(direction, sealed.Prefix).Observe(op.Took.Seconds())
}
