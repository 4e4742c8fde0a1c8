package namespace_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/namespace"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

func now() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func shop(deleting bool) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{corev1.FinalizerKubernetes}}}
	if deleting {
		at := metav1.NewTime(now())
		ns.DeletionTimestamp = &at
	}
	return ns
}

func key() view.Key { return view.Key{Kind: kind.Namespaces, Name: "shop"} }

func meta(name string, finalizers ...string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, Finalizers: finalizers}
}

func TestDecide(t *testing.T) {
	elsewhere := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "a"}}
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    []string // plans, one after the other
	}{
		{"active", []kind.Object{shop(false), &corev1.ConfigMap{ObjectMeta: meta("a")}}, []string{"nothing"}},
		{"empty", []kind.Object{shop(true), elsewhere}, []string{"finalize namespaces/shop", "nothing"}},
		{"pods before all else", []kind.Object{shop(true), &corev1.ConfigMap{ObjectMeta: meta("a")}, &corev1.Pod{ObjectMeta: meta("p")}}, []string{
			"delete pods/shop/p; status namespaces/shop; waiting: remaining: configmaps. has 1 resource instances, pods. has 1 resource instances",
			"delete configmaps/shop/a; status namespaces/shop; waiting: remaining: configmaps. has 1 resource instances",
			"finalize namespaces/shop", "nothing"}},
		{"held by a finalizer", []kind.Object{shop(true), &corev1.ConfigMap{ObjectMeta: meta("a", "example.com/x")}}, []string{
			"delete configmaps/shop/a; status namespaces/shop; waiting: remaining: configmaps. has 1 resource instances",
			"waiting: remaining: configmaps. has 1 resource instances"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			controller := namespace.New(registry.New())
			plantest.Check(t, controller, key(), now(), c.objects...)
			cluster := plantest.New(now(), c.objects...)
			for n, want := range c.want {
				p, _ := controller.Decide(cluster.Snapshot(), key(), now(), nil)
				if got := strings.ReplaceAll(strings.TrimSpace(plantest.Text(p, now())), "\n", "; "); got != want {
					t.Fatalf("plan %d: got %q, want %q", n, got, want)
				}
				for _, a := range p.Actions {
					if err := cluster.Apply(a); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

func TestConditionsSayWhatRemains(t *testing.T) {
	cluster := plantest.New(now(), shop(true), &corev1.ConfigMap{ObjectMeta: meta("a", "example.com/x")}, &corev1.Secret{ObjectMeta: meta("b", "example.com/x")})
	p, _ := namespace.New(registry.New()).Decide(cluster.Snapshot(), key(), now(), nil)
	status := p.Actions[len(p.Actions)-1].(plan.UpdateStatus).Object.(*corev1.Namespace).Status
	want := map[corev1.NamespaceConditionType]string{
		corev1.NamespaceDeletionDiscoveryFailure: "False ResourcesDiscovered: All resources successfully discovered",
		corev1.NamespaceDeletionGVParsingFailure: "False ParsedGroupVersions: All legacy kube types successfully parsed",
		corev1.NamespaceDeletionContentFailure:   "False ContentDeleted: All content successfully deleted, may be waiting on finalization",
		corev1.NamespaceContentRemaining:         "True SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances, secrets. has 1 resource instances",
		corev1.NamespaceFinalizersRemaining:      "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/x in 2 resource instances",
	}
	if len(status.Conditions) != len(want) {
		t.Errorf("%d conditions", len(status.Conditions))
	}
	for _, c := range status.Conditions {
		if got := string(c.Status) + " " + c.Reason + ": " + c.Message; got != want[c.Type] {
			t.Errorf("%s: got %q, want %q", c.Type, got, want[c.Type])
		}
	}
}

func TestContentOfActiveNamespacesWakesNobody(t *testing.T) {
	for _, deleting := range []bool{false, true} {
		cluster := plantest.New(now(), shop(deleting))
		n := 0
		for _, w := range namespace.New(registry.New()).Watches {
			if w.Kind == kind.Pods {
				pod := &corev1.Pod{ObjectMeta: meta("p")}
				n += len(w.Keys(cluster.Snapshot(), view.Change{Key: view.KeyOf(kind.Pods, pod), New: pod}))
			}
		}
		if (n == 1) != deleting {
			t.Errorf("deleting %t: %d keys", deleting, n)
		}
	}
}
