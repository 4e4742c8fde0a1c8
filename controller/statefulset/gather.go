package statefulset

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

// In is what a decision about a StatefulSet may know.
type In struct {
	Key       view.Key
	Set       *appsv1.StatefulSet // nil: it is gone
	Now       time.Time
	Pods      pods.Claim[*corev1.Pod]
	Revisions pods.Claim[*appsv1.ControllerRevision]
	// Claims are the existing claims that the set's pods use or will use, by name.
	Claims map[string]*corev1.PersistentVolumeClaim
	// Taken are pods of others that have the name of one of the set's pods, by name.
	Taken map[string]*corev1.Pod
	// Invalid says why the selector cannot be used.
	Invalid error
}

// New returns the controller.
func New() plan.Controller {
	c := plan.Define("statefulset-controller", []plan.Watch{
		{Kind: kind.StatefulSets, Keys: plan.Self},
		{Kind: kind.Pods, Keys: ownersOf},
		{Kind: kind.PersistentVolumeClaims, Keys: claimants},
	}, Gather, Decide)
	c.Failed = failed
	return c
}

func ownersOf(snap *view.Snapshot, c view.Change) []view.Key {
	keys := pods.OwnerKeys(snap, c, kind.StatefulSets, "StatefulSet",
		func(s *appsv1.StatefulSet) *metav1.LabelSelector { return s.Spec.Selector })
	if c.New != nil {
		return keys
	}
	// A name that a foreign pod had is free now.
	if set, _, ok := ordinalOf(c.Key.Name); ok && len(keys) == 0 {
		return existing(snap, c.Key.Namespace, set)
	}
	return keys
}

// claimants maps a claim that is gone, or is being deleted, to the set whose pods wait for that.
func claimants(snap *view.Snapshot, c view.Change) []view.Key {
	if c.New != nil && c.Old != nil && c.New.GetDeletionTimestamp() == nil {
		return nil
	}
	name, _, ok := ordinalOf(c.Key.Name)
	if !ok {
		return nil
	}
	var keys []view.Key
	for i := range name { // <template>-<set>: both may have dashes
		if name[i] == '-' {
			keys = append(keys, existing(snap, c.Key.Namespace, name[i+1:])...)
		}
	}
	return keys
}

func existing(snap *view.Snapshot, namespace, name string) []view.Key {
	key := view.Key{Kind: kind.StatefulSets, Namespace: namespace, Name: name}
	if snap.Get(key) == nil {
		return nil
	}
	return []view.Key{key}
}

// Gather collects what the decision about a StatefulSet may know.
func Gather(snap *view.Snapshot, key view.Key, now time.Time) In {
	in := In{Key: key, Now: now}
	set, ok := view.Get[*appsv1.StatefulSet](snap, kind.StatefulSets, key.Namespace, key.Name)
	if !ok {
		return in
	}
	in.Set = set
	selector, err := pods.Selector(set.Spec.Selector)
	if err != nil {
		in.Invalid = err
		return in
	}
	var candidates []*corev1.Pod
	for _, p := range pods.Candidates[*corev1.Pod](snap, kind.Pods, set) {
		// A pod with a foreign name has no ordinal: it is never adopted.
		if name, _, ok := ordinalOf(p.Name); ok && name == set.Name || metav1.GetControllerOfNoCopy(p) != nil {
			candidates = append(candidates, p)
		}
	}
	in.Pods = pods.Claims(set, gvk(), selector, candidates)
	in.Revisions = pods.Claims(set, gvk(), selector, pods.Candidates[*appsv1.ControllerRevision](snap, kind.ControllerRevisions, set))

	mine := make(map[string]bool)
	in.Claims = make(map[string]*corev1.PersistentVolumeClaim)
	for _, p := range in.Pods.Owned {
		mine[p.Name] = true
		if _, ordinal, ok := ordinalOf(p.Name); ok {
			in.gatherClaims(snap, ordinal)
		}
	}
	in.Taken = make(map[string]*corev1.Pod)
	for i := range replicas(set) {
		ordinal := start(set) + i
		in.gatherClaims(snap, ordinal)
		if name := podName(set, ordinal); !mine[name] {
			if p, ok := view.Get[*corev1.Pod](snap, kind.Pods, set.Namespace, name); ok {
				in.Taken[name] = p
			}
		}
	}
	return in
}

func (in *In) gatherClaims(snap *view.Snapshot, ordinal int) {
	for i := range in.Set.Spec.VolumeClaimTemplates {
		name := claimName(in.Set, &in.Set.Spec.VolumeClaimTemplates[i], ordinal)
		if claim, ok := view.Get[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, in.Set.Namespace, name); ok {
			in.Claims[name] = claim
		}
	}
}
