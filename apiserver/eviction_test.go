package apiserver_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/client"
	"sampan/kind"
	"sampan/view"
)

// guarded creates a budget that allows some disruptions, and pods that run under it.
func guarded(t *testing.T, c client.Client, allowed int32, names ...string) {
	t.Helper()
	pdb := must(t, c, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "b"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}).DeepCopy()
	pdb.Status = policyv1.PodDisruptionBudgetStatus{
		ObservedGeneration: pdb.Generation, DisruptionsAllowed: allowed, CurrentHealthy: int32(len(names)), DesiredHealthy: int32(len(names)) - allowed, ExpectedPods: int32(len(names)),
	}
	if _, err := c.Update(t.Context(), pdb, "status", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		running(t, c, name, corev1.ConditionTrue)
	}
}

func running(t *testing.T, c client.Client, name string, ready corev1.ConditionStatus) {
	t.Helper()
	p := pod(name)
	p.Labels = map[string]string{"app": "web"}
	must(t, c, p)
	if err := c.Bind(t.Context(), podKey(name), "", "n1"); err != nil {
		t.Fatal(err)
	}
	obj, err := c.Get(t.Context(), podKey(name))
	if err != nil {
		t.Fatal(err)
	}
	p = obj.DeepCopyObject().(*corev1.Pod)
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready})
	if _, err := c.Update(t.Context(), p, "status", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func budgetNow(c client.Client) *policyv1.PodDisruptionBudget {
	b, _ := view.Get[*policyv1.PodDisruptionBudget](c.Snapshot(), kind.PodDisruptionBudgets, "default", "b")
	return b
}

func TestEvictionTakesFromTheBudget(t *testing.T) {
	c := newMemory(t).Client(masters())
	guarded(t, c, 1, "a", "b", "c")
	if err := c.Evict(t.Context(), podKey("a"), metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil || budgetNow(c).Status.DisruptionsAllowed != 1 {
		t.Errorf("a dry run: %v, %+v", err, budgetNow(c).Status)
	}
	for _, impossible := range []metav1.DeleteOptions{
		{DryRun: []string{"Some"}}, {PropagationPolicy: new(metav1.DeletionPropagation("Nobody"))}, {IgnoreStoreReadErrorWithClusterBreakingPotential: new(true)},
	} {
		err := c.Evict(t.Context(), podKey("a"), impossible)
		if p, _ := view.Get[*corev1.Pod](c.Snapshot(), kind.Pods, "default", "a"); !apierrors.IsInvalid(err) || budgetNow(c).Status.DisruptionsAllowed != 1 || len(p.Status.Conditions) != 2 {
			t.Errorf("an eviction with %+v: %v, the budget is %+v and the pod's conditions are %v", impossible, err, budgetNow(c).Status, p.Status.Conditions)
		}
	}
	if err := c.Evict(t.Context(), podKey("a"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p, _ := view.Get[*corev1.Pod](c.Snapshot(), kind.Pods, "default", "a")
	if p == nil || p.DeletionTimestamp == nil {
		t.Fatalf("the pod is %v", p)
	}
	marked := false
	for _, cond := range p.Status.Conditions {
		marked = marked || cond.Type == corev1.DisruptionTarget && cond.Status == corev1.ConditionTrue && cond.Reason == "EvictionByEvictionAPI"
	}
	if !marked {
		t.Errorf("the pod does not say why it goes: %v", p.Status.Conditions)
	}
	st := budgetNow(c).Status
	if _, noted := st.DisruptedPods["a"]; !noted || st.DisruptionsAllowed != 0 || len(st.Conditions) != 1 || st.Conditions[0].Reason != "InsufficientPods" {
		t.Errorf("the budget is %+v", st)
	}

	err := c.Evict(t.Context(), podKey("b"), metav1.DeleteOptions{})
	if !apierrors.IsTooManyRequests(err) || err.Error() != "Cannot evict pod as it would violate the pod's disruption budget." || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
		t.Errorf("one too many: %v", err)
	}
	if causes := err.(*apierrors.StatusError).ErrStatus.Details.Causes; causes[0].Message != "The disruption budget b does not allow evicting pods currently" {
		t.Errorf("the cause is %v", causes)
	}
	if err := c.Evict(t.Context(), podKey("a"), metav1.DeleteOptions{}); err != nil {
		t.Errorf("a pod that goes already: %v", err)
	}
}

func TestBudgetHoldsHoweverManyEvictAtOnce(t *testing.T) {
	c := newMemory(t).Client(masters())
	names := strings.Split("abcdefghij", "")
	guarded(t, c, 3, names...)
	if gone := evictAll(t, names, c); gone != 3 {
		t.Errorf("%d pods were evicted, want 3", gone)
	}
}

// evictAll evicts pods at once, by turns through the clients, and returns how many went.
func evictAll(t *testing.T, names []string, clients ...client.Client) int64 {
	var gone atomic.Int64
	var all sync.WaitGroup
	for i, name := range names {
		c := clients[i%len(clients)]
		all.Go(func() {
			switch err := c.Evict(t.Context(), podKey(name), metav1.DeleteOptions{}); {
			case err == nil:
				gone.Add(1)
			case !apierrors.IsTooManyRequests(err):
				t.Error(err)
			}
		})
	}
	all.Wait()
	return gone.Load()
}

func TestPodsThatServeNobodyAreEvicted(t *testing.T) {
	c := newMemory(t).Client(masters())
	guarded(t, c, 0, "a", "b")
	pending := pod("pending")
	pending.Labels = map[string]string{"app": "web"}
	must(t, c, pending)
	running(t, c, "unready", corev1.ConditionFalse)
	for _, name := range []string{"pending", "unready"} {
		if err := c.Evict(t.Context(), podKey(name), metav1.DeleteOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Evict(t.Context(), podKey("none"), metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that is not there: %v", err)
	}
	if err := c.Evict(t.Context(), podKey("a"), metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions("other")}); !apierrors.IsConflict(err) {
		t.Errorf("another pod of the name: %v", err)
	}
}

func TestBudgetThatIsNotCountedYetHoldsEveryPod(t *testing.T) {
	c := newMemory(t).Client(masters())
	guarded(t, c, 1, "a", "b")
	b := budgetNow(c).DeepCopy()
	b.Spec.MinAvailable = new(intstr.FromInt32(2))
	if _, err := c.Update(t.Context(), b, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	err := c.Evict(t.Context(), podKey("a"), metav1.DeleteOptions{})
	if seconds, ok := apierrors.SuggestsClientDelay(err); !ok || seconds != 10 {
		t.Errorf("the answer is %v", err)
	}

	second := budgetNow(c).DeepCopy()
	second.ObjectMeta = metav1.ObjectMeta{Namespace: "default", Name: "second"}
	must(t, c, second)
	if err := c.Evict(t.Context(), podKey("a"), metav1.DeleteOptions{}); !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "more than one PodDisruptionBudget") {
		t.Errorf("two budgets: %v", err)
	}
}

func TestBudgetSaysWhyItHoldsAPod(t *testing.T) {
	const refused = "Cannot evict pod as it would violate the pod's disruption budget."
	because := func(reason, message string) []metav1.Condition {
		return []metav1.Condition{{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}}
	}
	for _, c := range []struct {
		name       string
		status     policyv1.PodDisruptionBudgetStatus
		err, cause string
	}{
		{"too few", policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 2, DesiredHealthy: 2, Conditions: because("InsufficientPods", "few")}, refused,
			"The disruption budget b needs 2 healthy pods and has 2 currently"},
		{"not counted", policyv1.PodDisruptionBudgetStatus{DesiredHealthy: 2, Conditions: because("SyncFailed", "no scale")}, refused,
			"The disruption budget b does not allow evicting pods currently because it failed sync: no scale"},
		{"another reason", policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2, Conditions: because("Odd", "why not")}, refused,
			"The disruption budget b does not allow evicting pods currently (Odd): why not"},
		{"no reason", policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, DesiredHealthy: 2}, refused, "The disruption budget b does not allow evicting pods currently"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newMemory(t).Client(masters())
			guarded(t, s, 0, "a")
			b := budgetNow(s).DeepCopy()
			c.status.ObservedGeneration = b.Generation
			b.Status = c.status
			if _, err := s.Update(t.Context(), b, "status", metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			err := s.Evict(t.Context(), podKey("a"), metav1.DeleteOptions{})
			status, ok := err.(*apierrors.StatusError)
			if !ok || status.Error() != c.err || len(status.ErrStatus.Details.Causes) != 1 || status.ErrStatus.Details.Causes[0].Message != c.cause {
				t.Errorf("%v, %+v", err, status)
			}
		})
	}
}
