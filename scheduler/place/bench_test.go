package place_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/scheduler/place"
	"sampan/view"
)

// BenchmarkPlainPods places plain pods on 5,000 nodes, the case of the budget of 10,000 pods a second.
func BenchmarkPlainPods(b *testing.B) {
	c := place.NewCluster()
	for i := range 5000 {
		c.SetNode(node(fmt.Sprintf("node-%04d", i), offers("cpu", "64", "memory", "256Gi", "pods", "10000")))
	}
	snap := new(view.Snapshot)
	yes := true
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p := pod(fmt.Sprintf("p-%d", i), asks("cpu", "100m", "memory", "64Mi"))
		p.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(fmt.Sprintf("rs-%d", i/100)), Controller: &yes}}
		r := place.NewRequest(p)
		d := c.Decide(snap, r)
		if d.Node == "" {
			b.Fatal(d.Message)
		}
		c.Hold(r, d.Node)
		if i >= 10000 {
			c.Release(types.UID(fmt.Sprintf("p-%d", i-10000)))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pods/s")
}
