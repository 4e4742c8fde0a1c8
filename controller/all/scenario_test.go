package all_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/apiservertest"
	"sampan/client"
	"sampan/controller"
	"sampan/controller/all"
	"sampan/controller/volume"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/view"
)

// bubble is an API server with every controller, in virtual time.
type bubble struct {
	t *testing.T
	client.Client
}

func run(t *testing.T, story func(b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		c := apiservertest.NewMemory(t).Client(apiservertest.Admin())
		runner := controller.New(controller.Config{
			Client: c, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Controllers: all.All(all.Config{Kinds: registry.New(), CABundle: []byte("PEM"), Volume: volume.Config{Root: "/vol"}}),
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = runner.Run(ctx) })
		synctest.Wait()
		story(&bubble{t, c})
	})
}

func (b *bubble) create(obj kind.Object) kind.Object {
	b.t.Helper()
	created, err := b.Create(b.t.Context(), obj, metav1.CreateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return created
}

func (b *bubble) status(obj kind.Object) {
	b.t.Helper()
	if _, err := b.Update(b.t.Context(), obj, "status", metav1.UpdateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) delete(id kind.ID, namespace, name string, how metav1.DeletionPropagation) {
	b.t.Helper()
	if _, err := b.Delete(b.t.Context(), view.Key{Kind: id, Namespace: namespace, Name: name}, metav1.DeleteOptions{PropagationPolicy: &how}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bubble) namespace(name string) {
	b.t.Helper()
	b.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	synctest.Wait() // for its ServiceAccount
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: meta(name),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "web"}}}},
		},
	}
}

// count returns how many objects of a kind the namespace has.
func (b *bubble) count(id kind.ID, namespace string) (n int) {
	for range b.Snapshot().All(id, namespace) {
		n++
	}
	return n
}

func TestNamespaceIsFurnishedAndEmptied(t *testing.T) {
	run(t, func(b *bubble) {
		b.namespace("shop")
		if b.count(kind.ServiceAccounts, "shop") != 1 || b.count(kind.ConfigMaps, "shop") != 1 {
			t.Error("the namespace is not furnished")
		}
		b.create(deployment("web", 3))
		b.create(&corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}})
		held := &corev1.Secret{ObjectMeta: meta("held")}
		held.Finalizers = []string{"example.com/x"}
		b.create(held)
		synctest.Wait()
		if b.count(kind.Pods, "shop") != 3 {
			t.Fatalf("%d pods", b.count(kind.Pods, "shop"))
		}
		b.delete(kind.Namespaces, "", "shop", metav1.DeletePropagationBackground)
		synctest.Wait()
		left := 0
		for _, k := range registry.New().All() {
			if k.Namespaced {
				left += b.count(k.ID, "shop")
			}
		}
		if left != 1 {
			t.Errorf("%d objects are left, want the held one", left)
		}
		open, _ := view.Get[*corev1.Secret](b.Snapshot(), kind.Secrets, "shop", "held")
		open = open.DeepCopy()
		open.Finalizers = nil
		if _, err := b.Update(t.Context(), open, "", metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if ns := b.Snapshot().Get(view.Key{Kind: kind.Namespaces, Name: "shop"}); ns != nil {
			t.Errorf("the namespace stays: %+v", ns.(*corev1.Namespace).Status)
		}
	})
}

func TestDeletionCascades(t *testing.T) {
	for how, left := range map[metav1.DeletionPropagation]int{
		metav1.DeletePropagationBackground: 0, metav1.DeletePropagationForeground: 0, metav1.DeletePropagationOrphan: 3,
	} {
		t.Run(string(how), func(t *testing.T) {
			run(t, func(b *bubble) {
				b.namespace("shop")
				b.create(deployment("web", 3))
				synctest.Wait()
				b.delete(kind.Deployments, "shop", "web", how)
				synctest.Wait()
				if n := b.count(kind.Deployments, "shop"); n != 0 {
					t.Errorf("%d deployments", n)
				}
				if n := b.count(kind.Pods, "shop"); n != left {
					t.Errorf("%d pods, want %d", n, left)
				}
				if n := b.count(kind.ReplicaSets, "shop"); n != min(1, left) {
					t.Errorf("%d replica sets, want %d", n, min(1, left))
				}
			})
		})
	}
}

// TestSilentNodeLosesItsPods shows that traffic leaves a silent node, and that an idle cluster makes no writes.
func TestSilentNodeLosesItsPods(t *testing.T) {
	run(t, func(b *bubble) {
		b.namespace("shop")
		b.create(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
		synctest.Wait()
		node := b.Snapshot().Get(view.Key{Kind: kind.Nodes, Name: "n1"}).(*corev1.Node).DeepCopy()
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
		b.status(node)
		at := metav1.NewMicroTime(time.Now())
		lease := b.create(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "n1"}, Spec: coordinationv1.LeaseSpec{RenewTime: &at}})
		b.create(&corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}}})
		pod := &corev1.Pod{ObjectMeta: meta("web-0"), Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "main", Image: "web"}}}}
		pod.Labels = map[string]string{"app": "web"}
		pod = b.create(pod).(*corev1.Pod).DeepCopy()
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
		b.status(pod)
		ready := func() (n int) {
			for s := range view.All[*discoveryv1.EndpointSlice](b.Snapshot(), kind.EndpointSlices, "shop") {
				for _, e := range s.Endpoints {
					if *e.Conditions.Ready {
						n++
					}
				}
			}
			return n
		}
		synctest.Wait()
		before := b.Snapshot().Revision()
		for range 6 {
			time.Sleep(10 * time.Second)
			at = metav1.NewMicroTime(time.Now())
			next := lease.DeepCopyObject().(*coordinationv1.Lease)
			next.Spec.RenewTime = &at
			var err error
			if lease, err = b.Update(t.Context(), next, "", metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := b.Snapshot().Revision() - before; got != 6 {
			t.Errorf("6 renewals made %d writes", got)
		}
		if ready() != 1 {
			t.Errorf("%d ready endpoints", ready())
		}
		time.Sleep(41 * time.Second)
		synctest.Wait()
		if ready() != 0 {
			t.Error("the endpoint of the silent node is still ready")
		}
		time.Sleep(301 * time.Second) // the toleration that admission gives every pod
		synctest.Wait()
		if p, ok := view.Get[*corev1.Pod](b.Snapshot(), kind.Pods, "shop", "web-0"); ok && p.DeletionTimestamp == nil {
			t.Error("the pod was not evicted")
		}
	})
}
