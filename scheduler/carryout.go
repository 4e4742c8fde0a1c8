package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client/events"
	"sampan/kind"
	"sampan/kind/claim"
	"sampan/view"
)

// carryOut writes a decision and tells users. The error is for [Core.Done].
func (s *Scheduler) carryOut(ctx context.Context, snap *view.Snapshot, d Decision) error {
	pod := view.KeyOf(kind.Pods, d.Pod)
	switch d.Verb {
	case Bind:
		err := s.cfg.Client.Bind(ctx, pod, d.Pod.UID, d.Node)
		if err == nil {
			s.record(d.Pod, false, "Scheduled",
				fmt.Sprintf("Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, d.Node))
			return nil
		}
		return s.failed(ctx, d, fmt.Errorf("binding rejected: %w", err))
	case Give:
		for _, key := range d.Claims {
			if err := s.give(ctx, snap, key, d.Node); err != nil {
				return s.failed(ctx, d, fmt.Errorf("selecting node %s for %s: %w", d.Node, key, err))
			}
		}
		return nil
	default:
		s.record(d.Pod, true, "FailedScheduling", d.Message)
		return s.condition(ctx, d.Pod, corev1.PodReasonUnschedulable, d.Message)
	}
}

// failed tells users of a write that failed for a reason other than that the pod or claim moved on, and returns err.
func (s *Scheduler) failed(ctx context.Context, d Decision, err error) error {
	if ctx.Err() != nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return err
	}
	s.record(d.Pod, true, "FailedScheduling", err.Error())
	if e := s.condition(ctx, d.Pod, corev1.PodReasonSchedulerError, err.Error()); e != nil && !apierrors.IsConflict(e) {
		s.cfg.Log.Warn("condition PodScheduled not written", "pod", d.Pod.Namespace+"/"+d.Pod.Name, "error", e)
	}
	return err
}

// give sets the selected node of a claim, as the decision saw the claim.
func (s *Scheduler) give(ctx context.Context, snap *view.Snapshot, key view.Key, node string) error {
	seen := snap.Get(key)
	if seen == nil {
		return apierrors.NewNotFound(key.Kind.GroupResource(), key.Name)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": seen.GetUID(), "resourceVersion": seen.GetResourceVersion(),
		"annotations": map[string]string{claim.SelectedNode: node},
	}})
	if err != nil {
		return err
	}
	_, err = s.cfg.Client.Patch(ctx, key, types.MergePatchType, patch, "", metav1.PatchOptions{})
	return err
}

// condition writes PodScheduled=False, unless the pod has it already. The pod must still be the version that was
// decided on: a refusal must not overtake a bind.
func (s *Scheduler) condition(ctx context.Context, pod *corev1.Pod, reason, message string) error {
	transition := metav1.NewTime(s.cfg.Now().Truncate(time.Second))
	for i := range pod.Status.Conditions {
		have := &pod.Status.Conditions[i]
		if have.Type != corev1.PodScheduled || have.Status != corev1.ConditionFalse {
			continue
		}
		if have.Reason == reason && have.Message == message {
			return nil
		}
		transition = have.LastTransitionTime
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status": map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, ObservedGeneration: pod.Generation,
			LastTransitionTime: transition, Reason: reason, Message: message,
		}}},
	})
	if err != nil {
		return err
	}
	_, err = s.cfg.Client.Patch(ctx, view.KeyOf(kind.Pods, pod), types.StrategicMergePatchType, patch, "status", metav1.PatchOptions{})
	return err
}

func (s *Scheduler) record(pod *corev1.Pod, warning bool, reason, message string) {
	s.cfg.Events.Record(events.Event{
		About: view.KeyOf(kind.Pods, pod), UID: pod.UID, Revision: pod.ResourceVersion,
		Component: s.cfg.Name, Warning: warning, Reason: reason, Message: message,
	})
}
