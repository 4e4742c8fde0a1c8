package apiserver_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/client"
	"sampan/kind"
	"sampan/store/memory"
	"sampan/view"
)

// limited creates a quota whose controller has counted nothing yet but knows so.
func limited(t testing.TB, c client.Client, hard map[corev1.ResourceName]string) {
	t.Helper()
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{}}}
	for name, n := range hard {
		q.Spec.Hard[name] = resource.MustParse(n)
	}
	q = must(t, c, q).DeepCopy()
	q.Status = corev1.ResourceQuotaStatus{Hard: q.Spec.Hard, Used: corev1.ResourceList{}}
	for name := range hard {
		q.Status.Used[name] = resource.MustParse("0")
	}
	if _, err := c.Update(t.Context(), q, "status", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func used(t testing.TB, c client.Client, name corev1.ResourceName) int64 {
	t.Helper()
	q, ok := view.Get[*corev1.ResourceQuota](c.Snapshot(), kind.ResourceQuotas, "default", "q")
	if !ok {
		t.Fatal("the quota is gone")
	}
	n := q.Status.Used[name]
	return n.Value()
}

func TestQuotaIsExactHoweverManyWriteAtOnce(t *testing.T) {
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	// Two servers on one store, as with etcd.
	servers := []*apiserver.Server{newServer(t, st)}
	limited(t, servers[0].Client(masters()), map[corev1.ResourceName]string{"count/configmaps": "10"})
	servers = append(servers, newServer(t, st))
	var made, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		c := servers[i%2].Client(masters())
		all.Go(func() {
			for j := range 5 {
				switch _, err := c.Create(t.Context(), configMap(fmt.Sprintf("m-%d-%d", i, j)), metav1.CreateOptions{}); {
				case err == nil:
					made.Add(1)
				case apierrors.IsForbidden(err):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if made.Load() != 10 || refused.Load() != 30 {
		t.Errorf("%d were made and %d refused, want 10 and 30", made.Load(), refused.Load())
	}
	if n := used(t, servers[0].Client(masters()), "count/configmaps"); n != 10 {
		t.Errorf("used is %d", n)
	}
}

func TestNothingIsChargedForWhatIsNotMade(t *testing.T) {
	c := newMemory(t).Client(masters())
	limited(t, c, map[corev1.ResourceName]string{"count/configmaps": "2", "services.nodeports": "1"})
	if _, err := c.Create(t.Context(), configMap("dry"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		t.Fatal(err)
	}
	must(t, c, configMap("a"))
	if _, err := c.Create(t.Context(), configMap("a"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("twice: %v", err)
	}
	if n := used(t, c, "count/configmaps"); n != 1 {
		t.Errorf("used is %d, want 1", n)
	}

	svc := must(t, c, service("s")).DeepCopy()
	svc.Spec.Type = corev1.ServiceTypeNodePort
	if _, err := c.Update(t.Context(), svc, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := used(t, c, "services.nodeports"); n != 1 {
		t.Errorf("a change of type used %d node ports, want 1", n)
	}
	if _, err := c.Create(t.Context(), service("t", ofType(corev1.ServiceTypeNodePort)), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("one node port too many: %v", err)
	}
}
