package controller

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/plan"
)

func TestQueuesTellWhatIsDueAndWhatWasTriedAgain(t *testing.T) {
	b := newBench(t)
	queue := func(now time.Time) Queue { return b.loop.Queues(now)[0] }
	b.put("a")
	b.put("a") // due already
	b.put("b")
	if d := cmp.Diff(Queue{Controller: "test", Depth: 2, Adds: 2}, queue(at(3))); d != "" {
		t.Errorf("two keys are due: %s", d)
	}
	first, second := b.due(at(3)), b.due(at(4))
	if first.Waited != 3*time.Millisecond || second.Waited != 4*time.Millisecond {
		t.Errorf("they waited %v and %v", first.Waited, second.Waited)
	}
	if d := cmp.Diff(Queue{Controller: "test", Adds: 2, Unfinished: 3 * time.Millisecond, Longest: 2 * time.Millisecond}, queue(at(5))); d != "" {
		t.Errorf("two keys are in flight: %s", d)
	}
	b.done(first, Outcome{Failed: plan.Create{}, Err: errors.New("no")}, at(5))
	b.done(second, Outcome{}, at(5))
	b.idle(at(6))
	if d := cmp.Diff(Queue{Controller: "test", Adds: 3, Retries: 1}, queue(at(6))); d != "" {
		t.Errorf("one backs off: %s", d)
	}
	if again := b.due(at(12)); again.Waited != 2*time.Millisecond {
		t.Errorf("after a back-off until 10 ms it waited %v", again.Waited)
	}
}

func TestMetricsAreThoseOfTheRunnerThatRuns(t *testing.T) {
	metrics := NewMetrics()
	if values := gathered(t, metrics, ""); len(values) != 0 {
		t.Errorf("before a runner runs there is %v", values)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		_, _ = s.Create(t.Context(), configMap("a"), metav1.CreateOptions{})
		run(t, s, copier(0), func(cfg *Config) { cfg.Metrics = metrics })
		synctest.Wait()
		// "a" makes "a-copy", which is looked at too.
		want := map[string]float64{"workqueue_depth": 0, "workqueue_adds_total": 2, "workqueue_retries_total": 0,
			"workqueue_queue_duration_seconds": 2, "workqueue_work_duration_seconds": 2,
			"workqueue_unfinished_work_seconds": 0, "workqueue_longest_running_processor_seconds": 0}
		if d := cmp.Diff(want, gathered(t, metrics, "copier")); d != "" {
			t.Error(d)
		}
	})
	want := map[string]float64{"workqueue_queue_duration_seconds": 2, "workqueue_work_duration_seconds": 2}
	if d := cmp.Diff(want, gathered(t, metrics, "copier")); d != "" {
		t.Errorf("after the runner has stopped: %s", d)
	}
}

// gathered returns the values of the metrics of a controller; of a histogram, how much it has seen.
func gathered(t *testing.T, c prometheus.Collector, name string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); len(l) != 1 || l[0].GetName() != "name" || l[0].GetValue() != name {
				t.Errorf("%s has the labels %v", f.GetName(), l)
			}
			values[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
