package endpointslice_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"sampan/controller/endpointslice"
	"sampan/kind"
	"sampan/plan/plantest"
	"sampan/view"
)

// BenchmarkOneOf5000 decides about a Service that selects 5,000 pods when one of them changed.
func BenchmarkOneOf5000(b *testing.B) {
	cluster := plantest.New(now(), service())
	for n := range 5000 {
		cluster.Put(pod(n))
	}
	c := endpointslice.New()
	p, _ := c.Decide(cluster.Snapshot(), webKey(), now(), nil)
	for _, a := range p.Actions {
		if err := cluster.Apply(a); err != nil {
			b.Fatal(err)
		}
	}
	cluster.Put(pod(77, unready))
	snap := cluster.Snapshot()
	b.ReportAllocs()
	for b.Loop() {
		if p, _ := c.Decide(snap, webKey(), now(), nil); len(p.Actions) != 1 {
			b.Fatal(plantest.Text(p, now()))
		}
	}
}

// BenchmarkPodChangeAmong1000Services finds the Services that a changed pod concerns.
func BenchmarkPodChangeAmong1000Services(b *testing.B) {
	cluster := plantest.New(now(), service())
	for n := range 1000 {
		s := service(func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "other"} })
		s.Name, s.UID = pod(n).Name, pod(n).UID
		cluster.Put(s)
	}
	snap, change := cluster.Snapshot(), view.Change{Key: view.KeyOf(kind.Pods, pod(0)), Old: pod(0), New: pod(0, unready)}
	for b.Loop() {
		for _, w := range endpointslice.New().Watches {
			if w.Kind == kind.Pods && len(w.Keys(snap, change)) != 1 {
				b.Fatal("the Service was not found")
			}
		}
	}
}
