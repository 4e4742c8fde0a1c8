package deployment

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of the condition Progressing and Available, as Kubernetes documents them.
const (
	reasonCreated     = "NewReplicaSetCreated"
	reasonCreateError = "ReplicaSetCreateError"
	reasonFound       = "FoundNewReplicaSet"
	reasonUpdated     = "ReplicaSetUpdated"
	reasonComplete    = "NewReplicaSetAvailable"
	reasonTimedOut    = "ProgressDeadlineExceeded"
	reasonPaused      = "DeploymentPaused"
	reasonResumed     = "DeploymentResumed"
	reasonEnough      = "MinimumReplicasAvailable"
	reasonTooFew      = "MinimumReplicasUnavailable"
)

// conditions is a list of conditions under construction, at a time.
type conditions struct {
	list []appsv1.DeploymentCondition
	now  metav1.Time
}

func newConditions(have []appsv1.DeploymentCondition, now time.Time) *conditions {
	return &conditions{list: slices.Clone(have), now: metav1.NewTime(now.Truncate(time.Second))}
}

func (c *conditions) get(t appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range c.list {
		if c.list[i].Type == t {
			return &c.list[i]
		}
	}
	return nil
}

func (c *conditions) remove(t appsv1.DeploymentConditionType) {
	c.list = slices.DeleteFunc(c.list, func(x appsv1.DeploymentCondition) bool { return x.Type == t })
}

// set sets a condition; one of the same status and reason stays as it is.
func (c *conditions) set(t appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, format string, args ...any) {
	if have := c.get(t); have != nil && have.Status == status && have.Reason == reason {
		return
	}
	c.renew(t, status, reason, format, args...)
}

// renew sets a condition, and its update time whatever was there.
func (c *conditions) renew(t appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, format string, args ...any) {
	next := appsv1.DeploymentCondition{
		Type: t, Status: status, LastUpdateTime: c.now, LastTransitionTime: c.now,
		Reason: reason, Message: fmt.Sprintf(format, args...),
	}
	if have := c.get(t); have != nil && have.Status == status {
		next.LastTransitionTime = have.LastTransitionTime
	}
	c.remove(t)
	c.list = append(c.list, next)
}

// hasDeadline reports whether the Deployment reports progress at all.
func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

// deadline returns when the rollout times out if it makes no progress; zero: never.
func deadline(d *appsv1.Deployment, c *conditions) time.Time {
	progressing := c.get(appsv1.DeploymentProgressing)
	if !hasDeadline(d) || progressing == nil {
		return time.Time{}
	}
	switch progressing.Reason {
	case reasonComplete, reasonTimedOut, reasonPaused:
		return time.Time{}
	}
	return progressing.LastUpdateTime.Add(time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second)
}

// complete reports whether the rollout is done, by a status.
func complete(d *appsv1.Deployment, s *appsv1.DeploymentStatus) bool {
	want := replicas(d)
	return s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want && s.ObservedGeneration >= d.Generation
}

// progressed reports whether the rollout came forward between two statuses.
func progressed(was, is *appsv1.DeploymentStatus) bool {
	return is.UpdatedReplicas > was.UpdatedReplicas ||
		is.Replicas-is.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		is.ReadyReplicas > was.ReadyReplicas ||
		is.AvailableReplicas > was.AvailableReplicas
}

// pausing notes in the condition Progressing that the Deployment was paused or resumed, so that the time in
// between does not count against the deadline.
func pausing(d *appsv1.Deployment, c *conditions) {
	if !hasDeadline(d) {
		return
	}
	have := c.get(appsv1.DeploymentProgressing)
	paused := have != nil && have.Reason == reasonPaused
	switch {
	case have != nil && have.Reason == reasonTimedOut:
	case d.Spec.Paused && !paused:
		c.set(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case !d.Spec.Paused && paused:
		c.set(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonResumed, "Deployment is resumed")
	}
}

// progress brings the condition Progressing up to date with a new status.
func progress(d *appsv1.Deployment, current *appsv1.ReplicaSet, is *appsv1.DeploymentStatus, c *conditions, now time.Time) {
	if !hasDeadline(d) {
		c.remove(appsv1.DeploymentProgressing)
		return
	}
	have := c.get(appsv1.DeploymentProgressing)
	if is.Replicas == is.UpdatedReplicas && have != nil && have.Reason == reasonComplete {
		return
	}
	who := fmt.Sprintf("Deployment %q", d.Name)
	if current != nil {
		who = fmt.Sprintf("ReplicaSet %q", current.Name)
	}
	switch {
	case complete(d, is):
		c.set(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonComplete, "%s has successfully progressed.", who)
	case progressed(&d.Status, is):
		c.renew(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonUpdated, "%s is progressing.", who)
	default:
		if at := deadline(d, c); !at.IsZero() && at.Before(now) {
			c.set(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, "%s has timed out progressing.", who)
		}
	}
}

// availability brings the condition Available up to date.
func availability(d *appsv1.Deployment, is *appsv1.DeploymentStatus, c *conditions) {
	if is.AvailableReplicas >= replicas(d)-maxUnavailable(d) {
		c.set(appsv1.DeploymentAvailable, corev1.ConditionTrue, reasonEnough, "Deployment has minimum availability.")
	} else {
		c.set(appsv1.DeploymentAvailable, corev1.ConditionFalse, reasonTooFew, "Deployment does not have minimum availability.")
	}
}

// failures copies the condition ReplicaFailure from the current set, or else from any set.
func failures(current *appsv1.ReplicaSet, old []*appsv1.ReplicaSet, c *conditions) {
	sets := old
	if current != nil {
		sets = append([]*appsv1.ReplicaSet{current}, old...)
	}
	for _, s := range sets {
		for _, f := range s.Status.Conditions {
			if f.Type == appsv1.ReplicaSetReplicaFailure {
				c.set(appsv1.DeploymentReplicaFailure, f.Status, f.Reason, "%s", f.Message)
				return
			}
		}
	}
	c.remove(appsv1.DeploymentReplicaFailure)
}
