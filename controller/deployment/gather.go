package deployment

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// In is what a decision about a Deployment may know.
type In struct {
	Key        view.Key
	Deployment *appsv1.Deployment // nil: it is gone
	Now        time.Time
	Claim      pods.Claim[*appsv1.ReplicaSet]
	// OldPodsRun says that a pod of a ReplicaSet with another template may still run. It is looked up for
	// the strategy Recreate only.
	OldPodsRun bool
	// Occupied is what has the name that a ReplicaSet of the current template would get, or nil.
	Occupied *appsv1.ReplicaSet
	// Invalid says why the selector cannot be used, "" if it can.
	Invalid string
}

// New returns the controller.
func New() plan.Controller {
	c := plan.Define("deployment-controller", []plan.Watch{
		{Kind: kind.Deployments, Keys: plan.Self},
		{Kind: kind.ReplicaSets, Keys: ownersOf},
		{Kind: kind.Pods, Keys: recreatedBy},
	}, Gather, Decide)
	c.Failed = failed
	return c
}

func ownersOf(snap *view.Snapshot, c view.Change) []view.Key {
	return pods.OwnerKeys(snap, c, kind.Deployments, "Deployment",
		func(d *appsv1.Deployment) *metav1.LabelSelector { return d.Spec.Selector })
}

// recreatedBy maps a pod that is gone or finished to the Deployment with strategy Recreate that may wait for it.
func recreatedBy(snap *view.Snapshot, c view.Change) []view.Key {
	if pod, ok := c.New.(*corev1.Pod); ok && pod != nil && !pods.Finished(pod) {
		return nil
	}
	ref := metav1.GetControllerOfNoCopy(c.Latest())
	if ref == nil || ref.Kind != "ReplicaSet" {
		return nil
	}
	set, ok := view.Get[*appsv1.ReplicaSet](snap, kind.ReplicaSets, c.Key.Namespace, ref.Name)
	if !ok {
		return nil
	}
	owner := metav1.GetControllerOfNoCopy(set)
	if owner == nil || owner.Kind != "Deployment" {
		return nil
	}
	d, ok := view.Get[*appsv1.Deployment](snap, kind.Deployments, c.Key.Namespace, owner.Name)
	if !ok || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		return nil
	}
	return []view.Key{view.KeyOf(kind.Deployments, d)}
}

// Gather collects what the decision about a Deployment may know.
func Gather(snap *view.Snapshot, key view.Key, now time.Time) In {
	in := In{Key: key, Now: now}
	d, ok := view.Get[*appsv1.Deployment](snap, kind.Deployments, key.Namespace, key.Name)
	if !ok {
		return in
	}
	in.Deployment = d
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil || selector.Empty() {
		in.Invalid = selectsAll
		if err != nil {
			in.Invalid = err.Error()
		}
		return in
	}
	in.Claim = pods.Claims(d, gvk(), selector, pods.Candidates[*appsv1.ReplicaSet](snap, kind.ReplicaSets, d))
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		in.OldPodsRun = oldPodsRun(snap, d, in.Claim.Owned)
	}
	in.Occupied, _ = view.Get[*appsv1.ReplicaSet](snap, kind.ReplicaSets, d.Namespace, childName(d))
	return in
}

func oldPodsRun(snap *view.Snapshot, d *appsv1.Deployment, sets []*appsv1.ReplicaSet) bool {
	current, _ := split(d, sets)
	for _, set := range sets {
		if current != nil && set.UID == current.UID {
			continue
		}
		for p := range view.OwnedBy[*corev1.Pod](snap, kind.Pods, set.UID) {
			if !pods.Finished(p) {
				return true
			}
		}
	}
	return false
}
