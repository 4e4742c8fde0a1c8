package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"

	"sampan/apiserver/admit"
	"sampan/kind"
	"sampan/view"
)

// disruptedPodsMax is how many evictions of one budget may be unconfirmed by its controller.
const disruptedPodsMax = 2000

// evict deletes a pod on behalf of someone who would rather have it elsewhere, as far as the disruption budget that
// selects it allows. The budget's rest is taken first, so that of many evictions at once no more than it allows go
// through; the controller gives back what no deletion followed.
func (s *Server) evict(ctx context.Context, r request, opts metav1.DeleteOptions) error {
	if r.kind.ID != kind.Pods {
		return errNoSubresource(r)
	}
	r.subresource = "eviction"
	dry := len(opts.DryRun) > 0
	snap := s.cache.snapshot()
	pod, ok := snap.Get(r.key).(*corev1.Pod)
	if !ok {
		return r.notFound()
	}
	if err := checkPreconditions(r, pod, opts.Preconditions); err != nil {
		return err
	}
	if err := s.admission(r, admit.Create, nil, pod, snap); err != nil {
		return err
	}
	wanted := opts.Preconditions
	opts.Preconditions = &metav1.Preconditions{UID: &pod.UID}
	if wanted != nil {
		opts.Preconditions.ResourceVersion = wanted.ResourceVersion
	}
	if err := invalidOptions("DeleteOptions", validation.ValidateDeleteOptions(&opts)); err != nil {
		return err // before the budget pays for a deletion that cannot be
	}
	ended := pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	idle := pod.Status.Phase == corev1.PodPending
	if !ended && !idle {
		budget, err := s.budgetOf(pod, snap)
		if err != nil {
			return err
		}
		if budget != nil {
			idle = ignores(budget, pod)
		}
		if budget != nil && !idle {
			if err := s.takeDisruption(ctx, r, budget, pod.Name, dry); err != nil {
				return err
			}
		}
	}
	if !idle || opts.Preconditions.ResourceVersion != nil {
		return s.deleteEvicted(ctx, r, pod, opts, dry)
	}
	// The pod serves nobody now; should it begin to in this moment, its budget counts again.
	opts.Preconditions.ResourceVersion = &pod.ResourceVersion
	err := s.deleteEvicted(ctx, r, pod, opts, dry)
	if apierrors.IsConflict(err) && ctx.Err() == nil {
		opts.Preconditions = wanted
		return s.evict(ctx, r, opts)
	}
	return err
}

// budgetOf returns the disruption budget that selects a pod, or nil.
func (s *Server) budgetOf(pod *corev1.Pod, snap *view.Snapshot) (*policyv1.PodDisruptionBudget, error) {
	var found *policyv1.PodDisruptionBudget
	for pdb := range view.All[*policyv1.PodDisruptionBudget](snap, kind.PodDisruptionBudgets, pod.Namespace) {
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err != nil || !selector.Matches(labels.Set(pod.Labels)) {
			continue // validation lets no unreadable selector in
		}
		if found != nil {
			return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError,
				Message: "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
			}}
		}
		found = pdb
	}
	return found, nil
}

// ignores reports whether a budget lets a pod go that is not ready, and so is not counted.
func ignores(pdb *policyv1.PodDisruptionBudget, pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	if p := pdb.Spec.UnhealthyPodEvictionPolicy; p != nil && *p == policyv1.AlwaysAllow {
		return true
	}
	return pdb.Status.CurrentHealthy >= pdb.Status.DesiredHealthy && pdb.Status.DesiredHealthy > 0
}

// takeDisruption takes one of the disruptions that a budget allows, or says why not.
func (s *Server) takeDisruption(ctx context.Context, r request, pdb *policyv1.PodDisruptionBudget, pod string, dry bool) error {
	own, err := s.own().requestFor(view.KeyOf(kind.PodDisruptionBudgets, pdb), "status")
	if err != nil {
		return err
	}
	now := metav1.NewTime(s.cfg.Now())
	_, err = s.modify(ctx, own, dry, func(cur kind.Object) (kind.Object, error) {
		next := cur.DeepCopyObject().(*policyv1.PodDisruptionBudget)
		if next.UID != pdb.UID {
			return nil, r.conflict("the pod's disruption budget was replaced while the pod was evicted")
		}
		if err := refuseDisruption(next); err != nil {
			return nil, err
		}
		next.Status.DisruptionsAllowed--
		if next.Status.DisruptionsAllowed == 0 {
			meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{
				Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason,
				ObservedGeneration: next.Status.ObservedGeneration, LastTransitionTime: apiTime(now.Time),
			})
		}
		if next.Status.DisruptedPods == nil {
			next.Status.DisruptedPods = map[string]metav1.Time{}
		}
		next.Status.DisruptedPods[pod] = apiTime(now.Time)
		return next, nil
	})
	if apierrors.IsNotFound(err) {
		return nil // the budget is gone, and with it what it forbade
	}
	return err
}

// refuseDisruption returns the error for a budget that has no disruption left.
func refuseDisruption(pdb *policyv1.PodDisruptionBudget) error {
	st := &pdb.Status
	switch {
	case st.ObservedGeneration < pdb.Generation:
		return tooManyDisruptions(10, fmt.Sprintf("The disruption budget %s is still being processed by the server.", pdb.Name))
	case st.DisruptionsAllowed < 0:
		return disruptionForbidden(pdb.Name, "pdb disruptions allowed is negative", "pdb disruptions allowed is negative")
	case len(st.DisruptedPods) > disruptedPodsMax:
		return disruptionForbidden(pdb.Name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
			"too many pending evictions not confirmed by PDB controller")
	case st.DisruptionsAllowed > 0:
		return nil
	}
	c := meta.FindStatusCondition(st.Conditions, policyv1.DisruptionAllowedCondition)
	explained := c != nil && c.Status == metav1.ConditionFalse && c.Message != ""
	why := notNow(pdb.Name)
	switch {
	case explained && c.Reason == policyv1.SyncFailedReason: // and so the numbers say nothing
		why += " because it failed sync: " + c.Message
	case st.CurrentHealthy <= st.DesiredHealthy:
		why = fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", pdb.Name, st.DesiredHealthy, st.CurrentHealthy)
	case explained:
		why += fmt.Sprintf(" (%s): %s", c.Reason, c.Message)
	}
	return tooManyDisruptions(0, why)
}

func notNow(budget string) string {
	return fmt.Sprintf("The disruption budget %s does not allow evicting pods currently", budget)
}

func disruptionForbidden(budget, reason, cause string) error {
	err := apierrors.NewForbidden(policyv1.Resource("poddisruptionbudget"), budget, errors.New(reason))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes,
		metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: notNow(budget) + ": " + cause})
	return err
}

func tooManyDisruptions(retrySeconds int, why string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retrySeconds)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: why})
	return err
}

// deleteEvicted marks a pod as a target of disruption and deletes it.
func (s *Server) deleteEvicted(ctx context.Context, r request, pod *corev1.Pod, opts metav1.DeleteOptions, dry bool) error {
	r.subresource = ""
	if !dry && pod.DeletionTimestamp == nil {
		marked := r
		marked.subresource = "status"
		marked.user = systemUser() // the condition is the server's
		obj, err := s.modify(ctx, marked, false, func(cur kind.Object) (kind.Object, error) {
			if err := checkPreconditions(r, cur, opts.Preconditions); err != nil {
				return nil, err
			}
			next := cur.DeepCopyObject().(*corev1.Pod)
			setPodCondition(&next.Status, corev1.PodCondition{
				Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI", Message: "Eviction API: evicting",
				ObservedGeneration: next.Generation, LastTransitionTime: apiTime(s.cfg.Now()),
			})
			return next, nil
		})
		if err != nil {
			return err
		}
		if opts.Preconditions.ResourceVersion != nil {
			opts.Preconditions.ResourceVersion = new(obj.GetResourceVersion())
		}
	}
	_, _, err := s.delete(ctx, r, opts)
	return err
}
