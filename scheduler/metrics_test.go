package scheduler_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"sampan/client"
	"sampan/scheduler"
)

// counted returns the values of metrics by name and labels; of a histogram, how much it has seen.
func counted(t *testing.T, m *scheduler.Metrics) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, s := range f.GetMetric() {
			name := f.GetName()
			for _, l := range s.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			values[name] = s.GetGauge().GetValue() + s.GetCounter().GetValue() + float64(s.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestMetricsTellWhatBecameOfPods(t *testing.T) {
	var last *scheduler.Metrics
	run(t, func(c client.Client) client.Client {
		f := &flaky{Client: c}
		f.left.Store(1)
		return f
	}, func(b *bubble) {
		last = b.metrics
		b.node("n1", "4")
		b.create(pod("gated", "1", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}} }))
		b.create(pod("other", "1", func(p *corev1.Pod) { p.Spec.SchedulerName = "mine" }))
		b.create(pod("fits", "1"))
		synctest.Wait()
		want := map[string]float64{
			"scheduler_pending_pods queue=active": 0, "scheduler_pending_pods queue=backoff": 1,
			"scheduler_pending_pods queue=unschedulable": 0, "scheduler_pending_pods queue=gated": 1,
			"scheduler_schedule_attempts_total profile=default-scheduler result=error":             1,
			"scheduler_scheduling_attempt_duration_seconds profile=default-scheduler result=error": 1,
			"scheduler_scheduling_algorithm_duration_seconds":                                      1, "scheduler_pod_scheduling_attempts": 0,
		}
		if d := cmp.Diff(want, counted(t, b.metrics)); d != "" {
			t.Errorf("after a write that failed: %s", d)
		}
		time.Sleep(time.Second) // virtual: the back-off
		b.create(pod("large", "9"))
		synctest.Wait()
		want["scheduler_pending_pods queue=backoff"], want["scheduler_pending_pods queue=unschedulable"] = 0, 1
		want["scheduler_scheduling_algorithm_duration_seconds"] = 3
		want["scheduler_pod_scheduling_attempts"] = 1
		want["scheduler_pod_scheduling_sli_duration_seconds attempts=2"] = 1
		for _, result := range []string{"scheduled", "unschedulable"} {
			want["scheduler_schedule_attempts_total profile=default-scheduler result="+result] = 1
			want["scheduler_scheduling_attempt_duration_seconds profile=default-scheduler result="+result] = 1
		}
		if d := cmp.Diff(want, counted(t, b.metrics)); d != "" {
			t.Errorf("after all was tried: %s", d)
		}
	})
	if _, ok := counted(t, last)["scheduler_pending_pods queue=gated"]; ok {
		t.Error("a scheduler that has stopped still tells of pending pods")
	}
}
