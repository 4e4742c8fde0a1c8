package disruption

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// deletionTimeout is how long an evicted pod may take until its deletion is seen; then it counts again.
const deletionTimeout = 2 * time.Minute

// memory is what was said about a budget already, so that it is not said with every change of a pod.
type memory struct{ said string }

// Decide brings the status of a budget up to date.
func Decide(in In, m memory) (plan.Plan, memory) {
	var p plan.Plan
	pdb := in.Budget
	if pdb == nil || pdb.DeletionTimestamp != nil {
		return p, memory{}
	}
	about := view.KeyOf(kind.PodDisruptionBudgets, pdb)
	say := func(reason string, warning bool, message string) {
		if m.said != reason+message {
			m.said = reason + message
			p.Say(plan.Reason{About: about, EventReason: reason, Warning: warning, Message: message})
		}
	}
	expected, desired, unmanaged, err := in.count()
	switch {
	case err != nil:
		say("CalculateExpectedPodCountFailed", true, fmt.Sprintf("Failed to calculate the number of expected pods: %v", err))
	case len(in.Pods) == 0:
		say("NoPods", false, "No matching pods found")
	case len(unmanaged) > 0 && !absolute(pdb):
		say("UnmanagedPods", true, fmt.Sprintf("Pods selected by this PodDisruptionBudget (selector: %v) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.", metav1.FormatLabelSelector(pdb.Spec.Selector)))
	default:
		m.said = ""
	}

	next := pdb.DeepCopy()
	st := &next.Status
	st.ObservedGeneration = pdb.Generation
	if err != nil {
		st.DisruptionsAllowed = 0
		in.condition(next, metav1.ConditionFalse, policyv1.SyncFailedReason, err.Error())
		return write(p, pdb, next), m
	}
	disrupted := in.disrupted(&p, about)
	healthy := int32(0)
	for _, pod := range in.Pods {
		if _, leaving := disrupted[pod.Name]; !leaving && pod.DeletionTimestamp == nil && pods.Ready(pod) {
			healthy++
		}
	}
	st.DisruptedPods = disrupted
	st.ExpectedPods, st.DesiredHealthy, st.CurrentHealthy = expected, desired, healthy
	st.DisruptionsAllowed = 0
	if expected > 0 {
		st.DisruptionsAllowed = max(healthy-desired, 0)
	}
	if st.DisruptionsAllowed > 0 {
		in.condition(next, metav1.ConditionTrue, policyv1.SufficientPodsReason, "")
	} else {
		in.condition(next, metav1.ConditionFalse, policyv1.InsufficientPodsReason, "")
	}
	return write(p, pdb, next), m
}

func write(p plan.Plan, pdb, next *policyv1.PodDisruptionBudget) plan.Plan {
	if !equality.Semantic.DeepEqual(pdb.Status, next.Status) {
		p.Do(plan.UpdateStatus{Object: next})
	}
	return p
}

func (in In) condition(pdb *policyv1.PodDisruptionBudget, status metav1.ConditionStatus, reason, message string) {
	c := metav1.Condition{
		Type: policyv1.DisruptionAllowedCondition, Status: status, Reason: reason, Message: message,
		ObservedGeneration: pdb.Generation, LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
	}
	if have := meta.FindStatusCondition(pdb.Status.Conditions, c.Type); have != nil && have.Status == status {
		c.LastTransitionTime = have.LastTransitionTime
	}
	meta.SetStatusCondition(&pdb.Status.Conditions, c)
}

// absolute reports whether a budget names a number of pods, whoever wants them.
func absolute(pdb *policyv1.PodDisruptionBudget) bool {
	return pdb.Spec.MinAvailable != nil && pdb.Spec.MinAvailable.Type == intstr.Int
}

// count returns how many pods there should be, and how many of them must be healthy.
func (in In) count() (expected, desired int32, unmanaged []string, err error) {
	if in.Invalid != nil {
		return 0, 0, nil, in.Invalid
	}
	spec := &in.Budget.Spec
	switch {
	case spec.MaxUnavailable != nil:
		if expected, unmanaged, err = in.wanted(); err != nil {
			return 0, 0, nil, err
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, int(expected), true)
		if err != nil {
			return 0, 0, nil, err
		}
		desired = max(expected-int32(n), 0)
	case absolute(in.Budget):
		desired, expected = spec.MinAvailable.IntVal, int32(len(in.Pods))
	case spec.MinAvailable != nil:
		if expected, unmanaged, err = in.wanted(); err != nil {
			return 0, 0, nil, err
		}
		n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, int(expected), true)
		if err != nil {
			return 0, 0, nil, err
		}
		desired = int32(n)
	}
	return expected, desired, unmanaged, nil
}

// wanted sums up the replicas of the pods' controllers.
func (in In) wanted() (sum int32, unmanaged []string, err error) {
	counted := map[types.UID]bool{}
	for _, pod := range in.Pods {
		owner := metav1.GetControllerOfNoCopy(pod)
		if owner == nil {
			unmanaged = append(unmanaged, pod.Name)
			continue
		}
		scale, ok := in.Replicas[owner.UID]
		if !ok {
			return 0, nil, fmt.Errorf("found no controllers for pod %q: %s %q does not say how many pods it wants", pod.Name, owner.Kind, owner.Name)
		}
		if !counted[scale.UID] {
			counted[scale.UID] = true
			sum += scale.Replicas
		}
	}
	return sum, unmanaged, nil
}

// disrupted returns the pods that were evicted and whose deletion is still to be seen.
func (in In) disrupted(p *plan.Plan, about view.Key) map[string]metav1.Time {
	out := maps.Clone(in.Budget.Status.DisruptedPods)
	here := map[string]*corev1.Pod{}
	for _, pod := range in.Pods {
		here[pod.Name] = pod
	}
	for _, name := range slices.Sorted(maps.Keys(out)) {
		pod := here[name]
		end := out[name].Add(deletionTimeout)
		switch {
		case pod == nil || pod.DeletionTimestamp != nil:
			delete(out, name)
		case !in.Now.Before(end):
			delete(out, name)
			p.Say(plan.Reason{
				About: view.KeyOf(kind.Pods, pod), EventReason: "NotDeleted", Warning: true,
				Message: fmt.Sprintf("Pod was expected by PDB %s/%s to be deleted but it wasn't", about.Namespace, about.Name),
			})
		default:
			p.Wake(end)
		}
	}
	return out
}
