package disruption

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/kind"
	"sampan/plan/plantest"
	"sampan/view"
)

var (
	key = view.Key{Kind: kind.PodDisruptionBudgets, Namespace: "ns", Name: "b"}
	now = time.Unix(1_800_000_000, 0)
)

func budget(minAvailable, maxUnavailable string) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "b", UID: "b", Generation: 1},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	if minAvailable != "" {
		b.Spec.MinAvailable = new(intstr.Parse(minAvailable))
	}
	if maxUnavailable != "" {
		b.Spec.MaxUnavailable = new(intstr.Parse(maxUnavailable))
	}
	return b
}

func pod(name string, ready bool, owner *metav1.OwnerReference) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}}}
	p.Status.Phase = corev1.PodRunning
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	if owner != nil {
		p.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return p
}

func ref(kind, name string) *metav1.OwnerReference {
	return &metav1.OwnerReference{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID(name), Controller: new(true)}
}

// web is a Deployment with an old and a new ReplicaSet.
func web(replicas int32) []kind.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}
	}
	d := &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Replicas: &replicas}}
	old := &appsv1.ReplicaSet{ObjectMeta: meta("web-old"), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(1))}}
	next := &appsv1.ReplicaSet{ObjectMeta: meta("web-new"), Spec: appsv1.ReplicaSetSpec{Replicas: new(int32(3))}}
	old.OwnerReferences, next.OwnerReferences = []metav1.OwnerReference{*ref("Deployment", "web")}, []metav1.OwnerReference{*ref("Deployment", "web")}
	return []kind.Object{d, old, next}
}

func text(b *policyv1.PodDisruptionBudget) string {
	s := b.Status
	c := s.Conditions[0]
	return fmt.Sprintf("expected %d desired %d current %d allowed %d %s=%s(%s)", s.ExpectedPods, s.DesiredHealthy, s.CurrentHealthy, s.DisruptionsAllowed, c.Type, c.Status, c.Reason)
}

func TestStatus(t *testing.T) {
	alone := func(n, ready int) (out []kind.Object) {
		for i := range n {
			out = append(out, pod(fmt.Sprintf("p%d", i), i < ready, nil))
		}
		return out
	}
	owned := func(set string, n, ready int) (out []kind.Object) {
		for i := range n {
			out = append(out, pod(fmt.Sprintf("%s-%d", set, i), i < ready, ref("ReplicaSet", set)))
		}
		return out
	}
	join := func(b *policyv1.PodDisruptionBudget, lists ...[]kind.Object) []kind.Object {
		out := []kind.Object{b}
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	evicted := func(seconds int) *policyv1.PodDisruptionBudget {
		b := budget("2", "")
		b.Status.DisruptedPods = map[string]metav1.Time{"p0": metav1.NewTime(now.Add(-time.Duration(seconds) * time.Second))}
		return b
	}
	for _, c := range []struct {
		name    string
		objects []kind.Object
		want    string
		event   string
	}{
		{"a number of pods", join(budget("2", ""), alone(3, 3)), "expected 3 desired 2 current 3 allowed 1 DisruptionAllowed=True(SufficientPods)", ""},
		{"too few healthy", join(budget("2", ""), alone(3, 1)), "expected 3 desired 2 current 1 allowed 0 DisruptionAllowed=False(InsufficientPods)", ""},
		{"no pods", join(budget("2", "")), "expected 0 desired 2 current 0 allowed 0 DisruptionAllowed=False(InsufficientPods)", "NoPods"},
		{"a share of what a Deployment wants", join(budget("50%", ""), web(4), owned("web-old", 1, 1), owned("web-new", 3, 3)),
			"expected 4 desired 2 current 4 allowed 2 DisruptionAllowed=True(SufficientPods)", ""},
		{"unavailable pods", join(budget("", "1"), web(4), owned("web-new", 4, 4)), "expected 4 desired 3 current 4 allowed 1 DisruptionAllowed=True(SufficientPods)", ""},
		{"a share is rounded up", join(budget("", "30%"), web(4), owned("web-new", 4, 4)), "expected 4 desired 2 current 4 allowed 2 DisruptionAllowed=True(SufficientPods)", ""},
		{"unmanaged pods", join(budget("", "1"), alone(2, 2)), "expected 0 desired 0 current 2 allowed 0 DisruptionAllowed=False(InsufficientPods)", "UnmanagedPods"},
		{"a controller that is gone", join(budget("", "1"), owned("lost", 2, 2)), "expected 0 desired 0 current 0 allowed 0 DisruptionAllowed=False(SyncFailed)", "CalculateExpectedPodCountFailed"},
		{"an evicted pod is healthy no more", join(evicted(60), alone(3, 3)), "expected 3 desired 2 current 2 allowed 0 DisruptionAllowed=False(InsufficientPods)", ""},
		{"unless it stays", join(evicted(120), alone(3, 3)), "expected 3 desired 2 current 3 allowed 1 DisruptionAllowed=True(SufficientPods)", "NotDeleted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := plantest.New(now, c.objects...)
			p, _ := New().Decide(cluster.Snapshot(), key, now, nil)
			var events []string
			for _, r := range p.Reasons {
				events = append(events, r.EventReason)
			}
			if got := strings.Join(events, " "); got != c.event {
				t.Errorf("events %q, want %q", got, c.event)
			}
			plantest.Fixpoint(t, New(), key, cluster, func(*plantest.Cluster) bool { return false })
			b, _ := view.Get[*policyv1.PodDisruptionBudget](cluster.Snapshot(), key.Kind, key.Namespace, key.Name)
			if got := text(b); got != c.want {
				t.Errorf("status is %s\nwant      %s", got, c.want)
			}
			if b.Status.ObservedGeneration != 1 {
				t.Error("the generation is not observed")
			}
			plantest.Check(t, New(), key, now, c.objects...)
		})
	}
}

func TestEvictedPodIsAwaited(t *testing.T) {
	b := budget("1", "")
	b.Status.DisruptedPods = map[string]metav1.Time{"p": metav1.NewTime(now.Add(-time.Minute))}
	p, _ := New().Decide(plantest.New(now, b, pod("p", true, nil)).Snapshot(), key, now, nil)
	if want := now.Add(time.Minute); !p.WakeAt.Equal(want) {
		t.Errorf("woken at %v, want %v", p.WakeAt, want)
	}
}

func TestNothingIsSaidTwice(t *testing.T) {
	snap := plantest.New(now, budget("1", "")).Snapshot()
	_, mem := New().Decide(snap, key, now, nil)
	if p, _ := New().Decide(snap, key, now, mem); len(p.Reasons) > 0 {
		t.Errorf("said again: %v", p.Reasons)
	}
}
