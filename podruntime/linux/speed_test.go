package linux_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// BenchmarkPodStart is one pod from nothing to a running container, and away again. The figures "sandbox",
// "create" and "start" are the parts of its way up, and "best" is the fastest way up, which says more than a
// mean does on a machine that has other work.
func BenchmarkPodStart(b *testing.B) {
	m := newMachine(b)
	s := m.suite()
	var sandbox, create, start, up time.Duration
	best := time.Hour
	for b.Loop() {
		t0 := time.Now()
		p := s.RunPodOnly(b)
		t1 := time.Now()
		id := p.Create("c", "exec sleep 1000")
		t2 := time.Now()
		p.Start(id)
		t3 := time.Now()
		sandbox, create, start, up = sandbox+t1.Sub(t0), create+t2.Sub(t1), start+t3.Sub(t2), up+t3.Sub(t0)
		best = min(best, t3.Sub(t0))
		if _, err := s.CRI.RemovePodSandbox(b.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
			b.Fatal(err)
		}
	}
	n := time.Duration(b.N)
	for name, d := range map[string]time.Duration{"sandbox": sandbox / n, "create": create / n, "start": start / n, "up": up / n, "best": best} {
		b.ReportMetric(float64(d.Microseconds())/1000, name+"-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPodsAtOnce is fifty pods of one container each, all asked for at the same time.
func BenchmarkPodsAtOnce(b *testing.B) {
	m := newMachine(b)
	s := m.suite()
	const pods = 50
	for b.Loop() {
		ids := make([]string, pods)
		start := time.Now()
		var all sync.WaitGroup
		for i := range pods {
			all.Go(func() {
				p := s.RunPodOnly(b, func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Attempt = uint32(i) })
				p.Run("c"+strconv.Itoa(i), "exec sleep 1000")
				ids[i] = p.ID
			})
		}
		all.Wait()
		b.ReportMetric(float64(time.Since(start).Milliseconds())/pods, "ms/pod")
		for _, id := range ids {
			if _, err := s.CRI.RemovePodSandbox(b.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}
