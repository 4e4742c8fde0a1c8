package namespace_test

import (
	"fmt"
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
	others := shop(true)
	others.Spec.Finalizers = []corev1.FinalizerName{"example.com/x", corev1.FinalizerKubernetes, "example.com/y"}
	held := shop(true)
	held.Finalizers = []string{"example.com/x"}
	held.Spec.Finalizers = nil
	over := shop(true)
	over.Spec.Finalizers = nil
	going := &corev1.ConfigMap{ObjectMeta: meta("going", "example.com/x")}
	at := metav1.NewTime(now())
	going.DeletionTimestamp = &at
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
		{"others have to finalize it too", []kind.Object{others}, []string{"finalize namespaces/shop", "status namespaces/shop", "nothing"}},
		{"held itself", []kind.Object{held}, []string{"status namespaces/shop", "nothing"}},
		{"held by nobody", []kind.Object{over}, []string{"nothing"}},
		{"goes already", []kind.Object{shop(true), going}, []string{
			"status namespaces/shop; waiting: remaining: configmaps. has 1 resource instances", "waiting: remaining: configmaps. has 1 resource instances"}},
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

func TestOthersFinalizersOfANamespaceStay(t *testing.T) {
	ns := shop(true)
	ns.Spec.Finalizers = []corev1.FinalizerName{"example.com/x", corev1.FinalizerKubernetes, "example.com/y"}
	p, _ := namespace.New(registry.New()).Decide(plantest.New(now(), ns).Snapshot(), key(), now(), nil)
	if got := p.Actions[0].(plan.Finalize).Object.(*corev1.Namespace).Spec.Finalizers; len(got) != 2 || got[0] != "example.com/x" || got[1] != "example.com/y" {
		t.Errorf("finalizers %v", got)
	}
}

func TestMuchContentIsDeletedInPortions(t *testing.T) {
	objects := []kind.Object{shop(true), &corev1.Secret{ObjectMeta: meta("s")}}
	for i := range 501 {
		objects = append(objects, &corev1.ConfigMap{ObjectMeta: meta(fmt.Sprint("a-", i))})
	}
	p, _ := namespace.New(registry.New()).Decide(plantest.New(now(), objects...).Snapshot(), key(), now(), nil)
	if len(p.Actions) != 501 { // and the status
		t.Errorf("%d actions in a plan", len(p.Actions))
	}
	if d, ok := p.Actions[0].(plan.Delete); !ok || d.Propagation != string(metav1.DeletePropagationBackground) || d.UID == "" {
		t.Errorf("%+v", p.Actions[0])
	}
}

// A condition that stays as it is keeps its time; one that turns gets the time of the decision.
func TestConditionsTurnWhenTheContentIsGone(t *testing.T) {
	ns := shop(true)
	ns.Spec.Finalizers = []corev1.FinalizerName{"example.com/x"}
	a := &corev1.ConfigMap{ObjectMeta: meta("a", "example.com/x")}
	cluster := plantest.New(now(), ns, a)
	controller := namespace.New(registry.New())
	conditions := func(at time.Time) map[corev1.NamespaceConditionType]corev1.NamespaceCondition {
		p, _ := controller.Decide(cluster.Snapshot(), key(), at, nil)
		status := p.Actions[len(p.Actions)-1].(plan.UpdateStatus).Object.(*corev1.Namespace)
		if status.Status.Phase != corev1.NamespaceTerminating {
			t.Errorf("phase %s", status.Status.Phase)
		}
		cluster.Put(status)
		out := make(map[corev1.NamespaceConditionType]corev1.NamespaceCondition)
		for _, c := range status.Status.Conditions {
			out[c.Type] = c
		}
		return out
	}
	conditions(now())
	cluster.Remove(view.KeyOf(kind.ConfigMaps, a))
	later := now().Add(90*time.Second + time.Millisecond)
	got := conditions(later)
	turned := metav1.NewTime(later.Truncate(time.Second))
	for _, want := range []corev1.NamespaceCondition{
		{Type: corev1.NamespaceContentRemaining, Status: corev1.ConditionFalse, Reason: "ContentRemoved", Message: "All content successfully removed", LastTransitionTime: turned},
		{Type: corev1.NamespaceFinalizersRemaining, Status: corev1.ConditionFalse, Reason: "ContentHasNoFinalizers", Message: "All content-preserving finalizers finished", LastTransitionTime: turned},
		{Type: corev1.NamespaceDeletionContentFailure, Status: corev1.ConditionFalse, Reason: "ContentDeleted",
			Message: "All content successfully deleted, may be waiting on finalization", LastTransitionTime: metav1.NewTime(now())},
	} {
		if got[want.Type] != want {
			t.Errorf("got %+v, want %+v", got[want.Type], want)
		}
	}
}

func TestNamespacesWakeTheirEmptierWhenTheyGo(t *testing.T) {
	for name, c := range map[string]struct {
		change view.Change
		want   int
	}{
		"active": {view.Change{Key: key(), New: shop(false)}, 0},
		"going":  {view.Change{Key: key(), Old: shop(false), New: shop(true)}, 1},
		"gone":   {view.Change{Key: key(), Old: shop(true)}, 0},
	} {
		var keys []view.Key
		for _, w := range namespace.New(registry.New()).Watches {
			if w.Kind == kind.Namespaces {
				keys = append(keys, w.Keys(plantest.New(now()).Snapshot(), c.change)...)
			}
		}
		if len(keys) != c.want || c.want == 1 && keys[0] != key() {
			t.Errorf("%s: %v", name, keys)
		}
	}
}

func TestConditionsSayWhatRemains(t *testing.T) {
	cluster := plantest.New(now(), shop(true), &corev1.ConfigMap{ObjectMeta: meta("a", "example.com/x")}, &corev1.Secret{ObjectMeta: meta("b", "example.com/y", "example.com/x")})
	p, _ := namespace.New(registry.New()).Decide(cluster.Snapshot(), key(), now(), nil)
	if len(p.Actions) != 3 { // all kinds at once, when there are no pods
		t.Errorf("%d actions", len(p.Actions))
	}
	status := p.Actions[len(p.Actions)-1].(plan.UpdateStatus).Object.(*corev1.Namespace).Status
	want := map[corev1.NamespaceConditionType]string{
		corev1.NamespaceDeletionDiscoveryFailure: "False ResourcesDiscovered: All resources successfully discovered",
		corev1.NamespaceDeletionGVParsingFailure: "False ParsedGroupVersions: All legacy kube types successfully parsed",
		corev1.NamespaceDeletionContentFailure:   "False ContentDeleted: All content successfully deleted, may be waiting on finalization",
		corev1.NamespaceContentRemaining:         "True SomeResourcesRemain: Some resources are remaining: configmaps. has 1 resource instances, secrets. has 1 resource instances",
		corev1.NamespaceFinalizersRemaining:      "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/x in 2 resource instances, example.com/y in 1 resource instances",
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
				keys := w.Keys(cluster.Snapshot(), view.Change{Key: view.KeyOf(kind.Pods, pod), New: pod})
				if n += len(keys); len(keys) > 0 && keys[0] != key() {
					t.Errorf("wakes %v", keys)
				}
				if keys := w.Keys(plantest.New(now()).Snapshot(), view.Change{Key: view.KeyOf(kind.Pods, pod), New: pod}); len(keys) != 0 {
					t.Errorf("a pod of a namespace that is gone wakes %v", keys)
				}
			}
		}
		if (n == 1) != deleting {
			t.Errorf("deleting %t: %d keys", deleting, n)
		}
	}
}
