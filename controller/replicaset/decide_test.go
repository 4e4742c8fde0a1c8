package replicaset

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

var key = view.Key{Kind: kind.ReplicaSets, Namespace: "default", Name: "web"}

func at(seconds int) time.Time { return time.Unix(1_800_000_000+int64(seconds), 0) }

func set(n int32, change ...func(*appsv1.ReplicaSet)) *appsv1.ReplicaSet {
	s := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "set-uid"},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: &n,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}},
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func slotName(i int) string { return plan.ChildName("web-", "set-uid", i) }

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": "web"},
		CreationTimestamp: metav1.NewTime(at(-100)),
	}}
	p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set(0), gvk())}
	p.Status.Phase = corev1.PodPending
	for _, f := range change {
		f(p)
	}
	return p
}

func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func phase(ph corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = ph }
}

func ready(since int) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Phase = corev1.PodRunning
		p.Spec.NodeName = "n1"
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at(since)),
		}}
	}
}

func terminating(p *corev1.Pod) {
	t := metav1.NewTime(at(0))
	p.DeletionTimestamp = &t
}

func orphan(p *corev1.Pod) { p.OwnerReferences = nil }

func label(k, v string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Labels[k] = v } }

func decide(t *testing.T, objects ...kind.Object) (plan.Plan, string) {
	t.Helper()
	p, _ := New().Decide(plantest.New(at(0), objects...).Snapshot(), key, at(0), nil)
	text := plantest.Text(p, at(0))
	for i := range 10 {
		text = strings.ReplaceAll(text, slotName(i), fmt.Sprintf("slot%d", i))
	}
	return p, text
}

// lines returns the lines of text that begin with one of the words.
func lines(text string, words ...string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		for _, w := range words {
			if strings.HasPrefix(line, w+" ") {
				out = append(out, strings.ReplaceAll(line, "pods/default/", ""))
			}
		}
	}
	return strings.Join(out, ", ")
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		name    string
		objects []kind.Object
		want    string // writes to pods
	}{
		{"missing pods are made in the lowest slots", []kind.Object{set(2)}, "create slot0, create slot1"},
		{"enough pods are left alone", []kind.Object{set(1), pod(slotName(0))}, ""},
		{"a failed pod is replaced, not counted", []kind.Object{set(1), pod(slotName(0), phase(corev1.PodFailed))}, "create slot1"},
		{"a terminating pod keeps its slot", []kind.Object{set(1), pod(slotName(0), terminating)}, "create slot1"},
		{"a foreign pod's name is not a free slot", []kind.Object{set(1), pod(slotName(0), orphan, label("app", "other"))}, "create slot1"},
		{"an orphan that matches is adopted and counted", []kind.Object{set(1), pod("loose", orphan)}, "update loose"},
		{"a pod that no longer matches is released and replaced", []kind.Object{set(1), pod("odd", label("app", "debug"))}, "update odd, create slot0"},
		{"a pod without node goes before a ready one", []kind.Object{set(1), pod("a", ready(-50)), pod("b")}, "delete b"},
		{"an unready pod goes before a ready one", []kind.Object{set(1), pod("a", ready(-50)), pod("b", on("n1"), phase(corev1.PodRunning))}, "delete b"},
		{"a cheap pod goes first", []kind.Object{set(1), pod("a", ready(-50)), pod("b", ready(-50), func(p *corev1.Pod) {
			p.Annotations = map[string]string{corev1.PodDeletionCost: "100"}
		})}, "delete a"},
		{"a pod on a crowded node goes first", []kind.Object{set(2), pod("a", ready(-50), on("n2")), pod("b", ready(-50)), pod("c", ready(-500))}, "delete b"},
		{"the pod that is ready for less goes first", []kind.Object{set(1), pod("a", ready(-5000)), pod("b", ready(-1))}, "delete b"},
		{"a set that is being deleted makes nothing", []kind.Object{set(3, func(s *appsv1.ReplicaSet) {
			now := metav1.NewTime(at(0))
			s.DeletionTimestamp = &now
		})}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, text := decide(t, tt.objects...)
			if got := lines(text, "create", "delete", "update"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			plantest.Check(t, New(), key, at(0), tt.objects...)
		})
	}
}

func TestStatusCountsWhatIsThere(t *testing.T) {
	p, _ := decide(t, set(5, func(s *appsv1.ReplicaSet) { s.Spec.MinReadySeconds = 10; s.Generation = 7 }),
		pod("a", ready(-50)), pod("b", ready(-4)), pod("c"), pod("d", ready(-50), terminating), pod("e", phase(corev1.PodFailed)))
	var got appsv1.ReplicaSetStatus
	for _, a := range p.Actions {
		if u, ok := a.(plan.UpdateStatus); ok {
			got = u.Object.(*appsv1.ReplicaSet).Status
		}
	}
	if got.Replicas != 3 || got.ReadyReplicas != 2 || got.AvailableReplicas != 1 || *got.TerminatingReplicas != 1 || got.ObservedGeneration != 7 || got.FullyLabeledReplicas != 3 {
		t.Errorf("status is %+v", got)
	}
	if want := at(6); !p.WakeAt.Equal(want) {
		t.Errorf("wakes at %v, want %v, when b becomes available", p.WakeAt, want)
	}
}

func TestFailedCreationIsReportedBeforeTheNextTry(t *testing.T) {
	c := New()
	mem := c.Failed(nil, plan.Failure{Action: plan.Create{}, Err: errors.New("exceeded quota")})
	p, _ := c.Decide(plantest.New(at(0), set(1)).Snapshot(), key, at(0), mem)
	u, ok := p.Actions[0].(plan.UpdateStatus)
	if !ok {
		t.Fatalf("the first action is %T, not the status", p.Actions[0])
	}
	cond := u.Object.(*appsv1.ReplicaSet).Status.Conditions
	if len(cond) != 1 || cond[0].Type != appsv1.ReplicaSetReplicaFailure || cond[0].Reason != "FailedCreate" || cond[0].Message != "exceeded quota" {
		t.Errorf("conditions are %+v", cond)
	}
	if text := plantest.Text(p, at(0)); !strings.Contains(text, "warning FailedCreate: Error creating: exceeded quota") {
		t.Errorf("no event in:\n%s", text)
	}
}

func TestOnePlanIsBounded(t *testing.T) {
	p, _ := decide(t, set(2000))
	if n := len(p.Actions); n != burst+1 {
		t.Errorf("a plan has %d actions, want %d creations and a status", n, burst)
	}
}
