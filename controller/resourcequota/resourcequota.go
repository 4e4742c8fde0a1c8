// Package resourcequota keeps the status of ResourceQuotas: the limits that are in force and what the namespace's
// objects use of them. The API server charges a quota as it admits an object; this controller counts everything anew
// whenever something that counts changes, and so gives back what deleted and finished objects used.
//
// Both write with the quota's resourceVersion, and a charge is in the same transaction as the object, so a count from
// a view never overwrites a charge that the view does not show.
//
// The controller is pure; package controller runs it.
package resourcequota

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"sampan/kind"
	"sampan/kind/quota"
	"sampan/plan"
	"sampan/view"
)

// In is what a decision about a quota may know.
type In struct {
	Quota *corev1.ResourceQuota // nil: it is gone
	Now   time.Time
	// Tracked are the limits that some kind counts towards, ordered.
	Tracked []corev1.ResourceName
	// Used is what the objects that the quota selects use, of everything.
	Used corev1.ResourceList
	// Over is when the next of the pods that are being deleted stops to count; zero if there is none.
	Over time.Time
}

// none is the memory of decisions that remember nothing.
type none struct{}

// New returns the controller. kinds are the kinds whose objects are counted; those that are not namespaced do not
// matter.
func New(kinds *kind.Registry) plan.Controller {
	watches := []plan.Watch{}
	for _, k := range kinds.All() {
		switch {
		case k.ID == kind.ResourceQuotas:
			watches = append(watches, plan.Watch{Kind: k.ID, Keys: func(snap *view.Snapshot, c view.Change) []view.Key {
				return append(affected(k.ID, snap, c), c.Key)
			}})
		case k.Namespaced:
			watches = append(watches, plan.Watch{Kind: k.ID, Keys: func(snap *view.Snapshot, c view.Change) []view.Key {
				return affected(k.ID, snap, c)
			}})
		}
	}
	gather := func(snap *view.Snapshot, key view.Key, now time.Time) In { return Gather(kinds, snap, key, now) }
	return plan.Define("resourcequota-controller", watches, gather, func(in In, _ none) (plan.Plan, none) { return Decide(in), none{} })
}

// affected maps a changed object to the quotas that count something else of it now.
func affected(id kind.ID, snap *view.Snapshot, c view.Change) []view.Key {
	if snap.Len(kind.ResourceQuotas) == 0 {
		return nil
	}
	var keys []view.Key
	for q := range view.All[*corev1.ResourceQuota](snap, kind.ResourceQuotas, c.Key.Namespace) {
		for name := range q.Spec.Hard {
			if quota.Tracks(id, name) && !same(id, q, c) {
				keys = append(keys, view.KeyOf(kind.ResourceQuotas, q))
				break
			}
		}
	}
	return keys
}

// same reports whether an object costs before and after a change what it costs for ever, in the eyes of a quota.
// Pods that are being deleted are always looked at, because their cost ends with time.
func same(id kind.ID, q *corev1.ResourceQuota, c view.Change) bool {
	if c.Old == nil || c.New == nil {
		return false
	}
	if pod, ok := c.New.(*corev1.Pod); ok && pod.DeletionTimestamp != nil {
		return false
	}
	if quota.Selects(q, c.Old) != quota.Selects(q, c.New) {
		return false
	}
	var never time.Time // no pod is being deleted here
	return equality.Semantic.DeepEqual(quota.Usage(id, c.Old, never), quota.Usage(id, c.New, never))
}

// Gather counts what a quota's namespace uses.
func Gather(kinds *kind.Registry, snap *view.Snapshot, key view.Key, now time.Time) In {
	in := In{Now: now}
	q, ok := view.Get[*corev1.ResourceQuota](snap, kind.ResourceQuotas, key.Namespace, key.Name)
	if !ok {
		return in
	}
	in.Quota, in.Used = q, corev1.ResourceList{}
	tracked := map[corev1.ResourceName]bool{}
	for _, k := range kinds.All() {
		if !k.Namespaced {
			continue
		}
		var names []corev1.ResourceName
		for _, name := range quota.Names(q.Spec.Hard) {
			if quota.Tracks(k.ID, name) {
				names = append(names, name)
				tracked[name] = true
			}
		}
		if len(names) == 0 {
			continue
		}
		for obj := range snap.All(k.ID, key.Namespace) {
			if quota.Selects(q, obj) {
				in.add(k.ID, obj, names)
			}
		}
	}
	for _, name := range quota.Names(q.Spec.Hard) {
		if tracked[name] {
			in.Tracked = append(in.Tracked, name)
		}
	}
	return in
}

func (in *In) add(id kind.ID, obj kind.Object, names []corev1.ResourceName) {
	usage := quota.Usage(id, obj, in.Now)
	for _, name := range names {
		if more, ok := usage[name]; ok {
			sum := in.Used[name]
			sum.Add(more)
			in.Used[name] = sum
		}
	}
	if pod, ok := obj.(*corev1.Pod); ok {
		over := quota.Over(pod)
		if !over.IsZero() && !in.Now.After(over) && (in.Over.IsZero() || over.Before(in.Over)) {
			in.Over = over
		}
	}
}

// Decide brings a quota's status in step with its spec and what is used.
func Decide(in In) plan.Plan {
	var p plan.Plan
	q := in.Quota
	if q == nil || q.DeletionTimestamp != nil {
		return p
	}
	if !in.Over.IsZero() {
		p.Wake(in.Over.Add(time.Nanosecond))
	}
	status := corev1.ResourceQuotaStatus{Hard: q.Spec.Hard.DeepCopy(), Used: corev1.ResourceList{}}
	for _, name := range in.Tracked {
		used, ok := in.Used[name]
		if !ok {
			used = *resource.NewQuantity(0, format(q.Spec.Hard[name]))
		}
		status.Used[name] = used
	}
	if !equality.Semantic.DeepEqual(status, q.Status) {
		next := q.DeepCopy()
		next.Status = status
		p.Do(plan.UpdateStatus{Object: next})
	}
	return p
}

// format is how a number is written beside another.
func format(q resource.Quantity) resource.Format {
	if q.Format == "" {
		return resource.DecimalSI
	}
	return q.Format
}
