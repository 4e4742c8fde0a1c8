package namespace

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// deletesMax bounds the deletions of one plan; what is left follows when those are seen.
const deletesMax = 500

// in is everything that a decision about one namespace may know.
type in struct {
	namespace *corev1.Namespace // nil if it is gone or not being deleted
	content   []objects         // by kind, pods first; kinds without objects are left out
	now       time.Time
}

// objects is what a namespace has of one kind, by name.
type objects struct {
	kind kind.ID
	list []kind.Object
}

// none is the memory of decisions that remember nothing.
type none struct{}

// New returns the controller that empties terminating namespaces of the registry's namespaced kinds.
func New(kinds *kind.Registry) plan.Controller {
	watches := []plan.Watch{{Kind: kind.Namespaces, Keys: terminating}}
	var content []kind.ID
	for _, k := range kinds.All() {
		if k.Namespaced {
			content = append(content, k.ID)
			watches = append(watches, plan.Watch{Kind: k.ID, Keys: container})
		}
	}
	return plan.Define("namespace-controller", watches,
		func(snap *view.Snapshot, key view.Key, now time.Time) in { return gather(content, snap, key, now) }, decide)
}

func terminating(_ *view.Snapshot, c view.Change) []view.Key {
	if c.New == nil || c.New.GetDeletionTimestamp() == nil {
		return nil
	}
	return []view.Key{c.Key}
}

// container returns the namespace of an object if it is being deleted.
func container(snap *view.Snapshot, c view.Change) []view.Key {
	key := view.Key{Kind: kind.Namespaces, Name: c.Key.Namespace}
	if ns := snap.Get(key); ns == nil || ns.GetDeletionTimestamp() == nil {
		return nil
	}
	return []view.Key{key}
}

func gather(content []kind.ID, snap *view.Snapshot, key view.Key, now time.Time) in {
	ns, ok := view.Get[*corev1.Namespace](snap, kind.Namespaces, "", key.Name)
	if !ok || ns.DeletionTimestamp == nil {
		return in{}
	}
	i := in{namespace: ns, now: now}
	add := func(id kind.ID) {
		var list []kind.Object
		for obj := range snap.All(id, ns.Name) {
			list = append(list, obj)
		}
		if len(list) > 0 {
			i.content = append(i.content, objects{id, list})
		}
	}
	add(kind.Pods)
	for _, id := range content {
		if id != kind.Pods {
			add(id)
		}
	}
	return i
}
