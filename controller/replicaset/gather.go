package replicaset

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

// burst is how many pods one plan creates or deletes at most.
const burst = 500

// In is what a decision about a ReplicaSet may know.
type In struct {
	Key   view.Key
	Set   *appsv1.ReplicaSet // nil: it is gone
	Now   time.Time
	Claim pods.Claim[*corev1.Pod]
	// Free are the lowest free slots, as many as pods are missing (at most burst).
	Free []Slot
	// Crowd is, by node, the number of active pods of the set and of its sisters, those with the same
	// controller. It is filled only if there are too many pods.
	Crowd map[string]int
	// Invalid says why the selector cannot be used.
	Invalid error
}

// Slot is a place for a pod.
type Slot struct {
	Number int
	Name   string
}

// New returns the controller.
func New() plan.Controller {
	c := plan.Define("replicaset-controller", []plan.Watch{
		{Kind: kind.ReplicaSets, Keys: plan.Self},
		{Kind: kind.Pods, Keys: ownersOf},
	}, Gather, Decide)
	c.Failed = failed
	return c
}

func ownersOf(snap *view.Snapshot, c view.Change) []view.Key {
	return pods.OwnerKeys(snap, c, kind.ReplicaSets, "ReplicaSet",
		func(s *appsv1.ReplicaSet) *metav1.LabelSelector { return s.Spec.Selector })
}

// Gather collects what the decision about a ReplicaSet may know.
func Gather(snap *view.Snapshot, key view.Key, now time.Time) In {
	in := In{Key: key, Now: now}
	set, ok := view.Get[*appsv1.ReplicaSet](snap, kind.ReplicaSets, key.Namespace, key.Name)
	if !ok {
		return in
	}
	in.Set = set
	selector, err := pods.Selector(set.Spec.Selector)
	if err != nil {
		in.Invalid = err
		return in
	}
	in.Claim = pods.Claims(set, gvk(), selector, pods.Candidates[*corev1.Pod](snap, kind.Pods, set))
	missing := int(replicas(set)) - len(active(in.Claim.Owned))
	switch {
	case set.DeletionTimestamp != nil:
	case missing > 0:
		in.Free = freeSlots(snap, set, min(missing, burst))
	case missing < 0:
		in.Crowd = crowd(snap, set, in.Claim.Owned)
	}
	return in
}

// freeSlots returns the n lowest slots whose name no pod has.
func freeSlots(snap *view.Snapshot, set *appsv1.ReplicaSet, n int) []Slot {
	free := make([]Slot, 0, n)
	for i := 0; len(free) < n; i++ {
		name := plan.ChildName(set.Name+"-", set.UID, i)
		if _, taken := view.Get[*corev1.Pod](snap, kind.Pods, set.Namespace, name); !taken {
			free = append(free, Slot{i, name})
		}
	}
	return free
}

// crowd counts the active pods by node of the set and its sisters.
func crowd(snap *view.Snapshot, set *appsv1.ReplicaSet, own []*corev1.Pod) map[string]int {
	n := make(map[string]int)
	count := func(p *corev1.Pod) {
		if pods.Active(p) {
			n[p.Spec.NodeName]++
		}
	}
	for _, p := range own {
		count(p)
	}
	ref := metav1.GetControllerOfNoCopy(set)
	if ref == nil {
		return n
	}
	for sister := range view.OwnedBy[*appsv1.ReplicaSet](snap, kind.ReplicaSets, ref.UID) {
		if sister.UID == set.UID {
			continue
		}
		for p := range view.OwnedBy[*corev1.Pod](snap, kind.Pods, sister.UID) {
			count(p)
		}
	}
	return n
}
