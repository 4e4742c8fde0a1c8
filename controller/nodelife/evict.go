package nodelife

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// evict deletes the pods that do not tolerate the node's NoExecute taints, or no longer.
func (i in) evict(p *plan.Plan, m memory) memory {
	var taints []corev1.Taint
	for _, t := range i.node.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			taints = append(taints, t)
		}
	}
	m.tainted = since(taints, m.tainted, i.now)
	if len(taints) == 0 || len(p.Actions) > 0 {
		return m // a node that is just being changed is judged when that is done
	}
	for _, pod := range i.pods() {
		if pod.DeletionTimestamp != nil {
			continue
		}
		at, ever := m.endures(pod, taints)
		switch {
		case !ever:
		case at.After(i.now):
			p.Wake(at)
			p.Say(plan.Reason{About: view.KeyOf(kind.Pods, pod), Message: fmt.Sprintf("tolerates the taints of node %s until %s", i.node.Name, at.UTC().Format(time.RFC3339)), Waiting: true})
		default:
			i.remove(p, pod)
		}
	}
	return m
}

// since returns when each taint began, for those that do not say it themselves.
func since(taints []corev1.Taint, seen map[string]time.Time, now time.Time) map[string]time.Time {
	var out map[string]time.Time
	for _, t := range taints {
		if t.TimeAdded != nil {
			continue
		}
		if out == nil {
			out = make(map[string]time.Time)
		}
		at, ok := seen[t.Key+"="+t.Value]
		if !ok {
			at = now
		}
		out[t.Key+"="+t.Value] = at
	}
	if maps.EqualFunc(out, seen, time.Time.Equal) {
		return seen
	}
	return out
}

// endures returns until when a pod may stay; ever is false if that is for good.
func (m memory) endures(pod *corev1.Pod, taints []corev1.Taint) (until time.Time, ever bool) {
	for n := range taints {
		t := &taints[n]
		began := m.tainted[t.Key+"="+t.Value]
		if t.TimeAdded != nil {
			began = t.TimeAdded.Time
		}
		if pod.CreationTimestamp.After(began) {
			began = pod.CreationTimestamp.Time // a pod that came to a tainted node
		}
		seconds, tolerated := toleration(pod, t)
		var end time.Time
		switch {
		case !tolerated:
			end = began
		case seconds == nil:
			continue
		default:
			end = began.Add(time.Duration(max(0, *seconds)) * time.Second)
		}
		if !ever || end.Before(until) {
			until, ever = end, true
		}
	}
	return until, ever
}

// toleration returns the shortest time for which the pod tolerates the taint; nil: for ever.
func toleration(pod *corev1.Pod, taint *corev1.Taint) (seconds *int64, ok bool) {
	for n := range pod.Spec.Tolerations {
		t := &pod.Spec.Tolerations[n]
		if !t.ToleratesTaint(logr.Discard(), taint, true) {
			continue
		}
		ok = true
		if t.TolerationSeconds != nil && (seconds == nil || *t.TolerationSeconds < *seconds) {
			seconds = t.TolerationSeconds
		}
	}
	return seconds, ok
}

// remove says in the pod why it goes, and deletes it.
func (i in) remove(p *plan.Plan, have *corev1.Pod) {
	pod := have.DeepCopy()
	pod.Status.Conditions = append(slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget }),
		corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: pod.Generation,
			LastTransitionTime: metav1.NewTime(i.now.Truncate(time.Second)),
			Reason:             "DeletionByTaintManager", Message: "Taint manager: deleting due to NoExecute taint",
		})
	p.Do(plan.UpdateStatus{Object: pod}, plan.Reason{
		About: view.KeyOf(kind.Pods, pod), EventReason: "TaintManagerEviction",
		Message: fmt.Sprintf("Marking for deletion Pod %s/%s", pod.Namespace, pod.Name),
	})
	p.Do(plan.Delete{Key: view.KeyOf(kind.Pods, pod), UID: pod.UID})
}
