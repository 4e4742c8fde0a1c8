package pods

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Finished reports whether the pod ran to its end, well or not.
func Finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// Active reports whether the pod counts as a replica: it is neither finished nor being deleted.
func Active(p *corev1.Pod) bool { return !Finished(p) && p.DeletionTimestamp == nil }

// Terminating reports whether the pod is being deleted and still may run.
func Terminating(p *corev1.Pod) bool { return !Finished(p) && p.DeletionTimestamp != nil }

// Condition returns the pod's condition of the type, or nil.
func Condition(p *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// Ready reports whether the pod's Ready condition is true.
func Ready(p *corev1.Pod) bool {
	c := Condition(p, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}

// Available reports whether the pod has been ready for minReady. If it is ready but not for long enough,
// at is the time at which it will be available.
func Available(p *corev1.Pod, minReady time.Duration, now time.Time) (ok bool, at time.Time) {
	c := Condition(p, corev1.PodReady)
	if c == nil || c.Status != corev1.ConditionTrue {
		return false, time.Time{}
	}
	if minReady == 0 {
		return true, time.Time{}
	}
	if c.LastTransitionTime.IsZero() {
		return false, time.Time{}
	}
	at = c.LastTransitionTime.Add(minReady)
	if at.After(now) {
		return false, at
	}
	return true, time.Time{}
}

// Seconds is a number of seconds of the API as a duration.
func Seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
