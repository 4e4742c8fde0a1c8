package scheduler_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/apiserver/apiservertest"
	"sampan/client/events"
	"sampan/kind"
	"sampan/scheduler"
	"sampan/view"
)

type noEvents struct{}

func (noEvents) Record(events.Event) {}

// BenchmarkBoundPods measures plain pods from waiting to bound, on 5,000 nodes, with the real API server over a store
// in memory: everything but the disk.
func BenchmarkBoundPods(b *testing.B) {
	server := apiservertest.NewMemory(b, func(cfg *apiserver.Config) { cfg.Admission = nil })
	c := server.Client(apiservertest.Admin())
	create := func(obj kind.Object) {
		if _, err := c.Create(b.Context(), obj, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 5000 {
		name := fmt.Sprintf("node-%04d", i)
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
		create(n)
		obj, _ := view.Get[*corev1.Node](c.Snapshot(), kind.Nodes, "", name)
		n = obj.DeepCopy()
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("1000")}
		n.Status.Capacity = n.Status.Allocatable
		if _, err := c.Update(b.Context(), n, "status", metav1.UpdateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range b.N {
		create(pod(fmt.Sprintf("p-%d", i), "100m"))
	}
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	s := scheduler.New(scheduler.Config{Client: c, Log: slog.New(slog.DiscardHandler), Now: time.Now, Events: noEvents{}})
	after := c.Snapshot().Revision()
	b.ResetTimer()
	running.Go(func() { _ = s.Run(ctx) })
	for bound := 0; bound < b.N; {
		if err := c.Wait(ctx, after); err != nil {
			b.Fatal(err)
		}
		changes, snap, ok := c.Since(after)
		if !ok {
			changes, bound = nil, 0
			for p := range view.All[*corev1.Pod](snap, kind.Pods, "") {
				if p.Spec.NodeName != "" {
					bound++
				}
			}
		}
		for _, change := range changes {
			if p, ok := change.New.(*corev1.Pod); ok && p.Spec.NodeName != "" && change.Old.(*corev1.Pod).Spec.NodeName == "" {
				bound++
			}
		}
		after = snap.Revision()
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pods/s")
	cancel()
	running.Wait()
}
