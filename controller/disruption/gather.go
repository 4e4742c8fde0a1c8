package disruption

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// In is what a decision about a budget may know.
type In struct {
	Budget *policyv1.PodDisruptionBudget // nil: it is gone
	Now    time.Time
	Pods   []*corev1.Pod // that the budget selects, ordered by name
	// Replicas is how many pods the controllers of those pods want, by the UID of a pod's controller. Pods whose controller
	// wants no number of pods, or is gone, have none.
	Replicas map[types.UID]Scale
	Invalid  error // says why the selector cannot be used
}

// Scale is a controller of pods as a budget sees it. Several ReplicaSets of one Deployment are one.
type Scale struct {
	UID      types.UID
	Replicas int32
}

// New returns the controller.
func New() plan.Controller {
	watches := []plan.Watch{
		{Kind: kind.PodDisruptionBudgets, Keys: plan.Self},
		{Kind: kind.Pods, Keys: ofPod},
	}
	for _, id := range []kind.ID{kind.ReplicaSets, kind.Deployments, kind.StatefulSets, kind.ReplicationControllers} {
		watches = append(watches, plan.Watch{Kind: id, Keys: ofController})
	}
	return plan.Define("disruption-controller", watches, Gather, Decide)
}

// ofPod maps a pod to the budgets that select it, before or after the change.
func ofPod(snap *view.Snapshot, c view.Change) []view.Key {
	if snap.Len(kind.PodDisruptionBudgets) == 0 {
		return nil
	}
	var keys []view.Key
	for pdb := range view.All[*policyv1.PodDisruptionBudget](snap, kind.PodDisruptionBudgets, c.Key.Namespace) {
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err != nil {
			continue
		}
		for _, obj := range []kind.Object{c.Old, c.New} {
			if obj != nil && selector.Matches(labels.Set(obj.GetLabels())) {
				keys = append(keys, view.KeyOf(kind.PodDisruptionBudgets, pdb))
				break
			}
		}
	}
	return keys
}

// ofController maps a controller of pods whose number of replicas changes to the budgets of its namespace.
func ofController(snap *view.Snapshot, c view.Change) []view.Key {
	if snap.Len(kind.PodDisruptionBudgets) == 0 {
		return nil
	}
	was, had := replicasOf(c.Old)
	is, has := replicasOf(c.New)
	if had == has && was == is {
		return nil
	}
	var keys []view.Key
	for pdb := range snap.All(kind.PodDisruptionBudgets, c.Key.Namespace) {
		keys = append(keys, view.KeyOf(kind.PodDisruptionBudgets, pdb))
	}
	return keys
}

func replicasOf(obj kind.Object) (n int32, ok bool) {
	var p *int32
	switch o := obj.(type) {
	case *appsv1.ReplicaSet:
		p = o.Spec.Replicas
	case *appsv1.Deployment:
		p = o.Spec.Replicas
	case *appsv1.StatefulSet:
		p = o.Spec.Replicas
	case *corev1.ReplicationController:
		p = o.Spec.Replicas
	default:
		return 0, false
	}
	if p == nil {
		return 1, true
	}
	return *p, true
}

// Gather collects what the decision about a budget may know.
func Gather(snap *view.Snapshot, key view.Key, now time.Time) In {
	in := In{Now: now}
	pdb, ok := view.Get[*policyv1.PodDisruptionBudget](snap, kind.PodDisruptionBudgets, key.Namespace, key.Name)
	if !ok {
		return in
	}
	in.Budget = pdb
	selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
	if err != nil {
		in.Invalid = err
		return in
	}
	in.Replicas = map[types.UID]Scale{}
	for pod := range view.All[*corev1.Pod](snap, kind.Pods, key.Namespace) {
		if !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		in.Pods = append(in.Pods, pod)
		owner := metav1.GetControllerOfNoCopy(pod)
		if owner == nil {
			continue
		}
		if _, known := in.Replicas[owner.UID]; !known {
			if scale, ok := scaleOf(snap, key.Namespace, owner); ok {
				in.Replicas[owner.UID] = scale
			}
		}
	}
	return in
}

// scaleOf follows a pod's controller to the one whose number of replicas counts.
func scaleOf(snap *view.Snapshot, namespace string, owner *metav1.OwnerReference) (Scale, bool) {
	var id kind.ID
	switch owner.Kind {
	case "ReplicaSet":
		id = kind.ReplicaSets
	case "StatefulSet":
		id = kind.StatefulSets
	case "ReplicationController":
		id = kind.ReplicationControllers
	case "Deployment":
		id = kind.Deployments
	default:
		return Scale{}, false
	}
	obj := snap.Get(view.Key{Kind: id, Namespace: namespace, Name: owner.Name})
	if obj == nil || obj.GetUID() != owner.UID {
		return Scale{}, false
	}
	if id == kind.ReplicaSets {
		if above := metav1.GetControllerOfNoCopy(obj); above != nil && above.Kind == "Deployment" {
			return scaleOf(snap, namespace, above)
		}
	}
	n, ok := replicasOf(obj)
	return Scale{UID: obj.GetUID(), Replicas: n}, ok
}
