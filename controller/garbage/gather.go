package garbage

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// in is everything that a decision about one object may know.
type in struct {
	key        view.Key
	object     kind.Object // nil if it is gone
	owners     []owner     // one per owner reference
	dependents []dependent // by kind and name; only if the decision needs them
}

// owner is what has become of an owner that a reference names.
type owner struct {
	ref   metav1.OwnerReference
	state ownerState
}

type ownerState int

const (
	solid   ownerState = iota // is there, or cannot be known (a kind that is not served)
	absent                    // is gone
	waiting                   // is being deleted in the foreground: waits for its dependents to go
)

// dependent is an object that refers to the one decided on.
type dependent struct {
	key    view.Key
	object kind.Object
}

// collector knows the kinds among which references are followed.
type collector struct{ kinds *kind.Registry }

// New returns the controller that follows owner references among the kinds of the registry.
func New(kinds *kind.Registry) plan.Controller {
	c := collector{kinds}
	var watches []plan.Watch
	for _, k := range kinds.All() {
		watches = append(watches, plan.Watch{Kind: k.ID, Keys: c.concerned})
	}
	return plan.Define("garbage-collector-controller", watches, c.gather, decide)
}

// concerned returns the objects that a change can have made garbage, or can have released.
func (c collector) concerned(snap *view.Snapshot, change view.Change) []view.Key {
	var keys []view.Key
	before, after := change.Old, change.New
	if before != nil && after != nil && before.GetUID() != after.GetUID() {
		keys = c.concerned(snap, view.Change{Key: change.Key, Old: before, Revision: change.Revision})
		before = nil
	}
	if before != nil && after != nil && sameReferences(before, after) &&
		(before.GetDeletionTimestamp() == nil) == (after.GetDeletionTimestamp() == nil) &&
		slices.Equal(before.GetFinalizers(), after.GetFinalizers()) {
		return keys
	}
	if after != nil && (len(after.GetOwnerReferences()) > 0 || held(after)) {
		keys = append(keys, change.Key)
	}
	switch {
	case after == nil: // its dependents may have lost their last owner
		keys = c.appendDependents(keys, snap, before.GetUID())
	case after.GetDeletionTimestamp() != nil && slices.Contains(after.GetFinalizers(), metav1.FinalizerDeleteDependents):
		keys = c.appendDependents(keys, snap, after.GetUID())
	}
	if before != nil { // an owner may be waiting for this one to go, or to stop referring to it
		for _, ref := range before.GetOwnerReferences() {
			if key, ok := c.ownerKey(before.GetNamespace(), ref); ok {
				if obj := snap.Get(key); obj != nil && held(obj) {
					keys = append(keys, key)
				}
			}
		}
	}
	return keys
}

func (c collector) appendDependents(keys []view.Key, snap *view.Snapshot, uid types.UID) []view.Key {
	for _, d := range c.dependents(snap, uid) {
		keys = append(keys, d.key)
	}
	return keys
}

func (c collector) dependents(snap *view.Snapshot, uid types.UID) []dependent {
	var out []dependent
	for _, k := range c.kinds.All() {
		for obj := range snap.OwnedBy(k.ID, uid) {
			out = append(out, dependent{view.KeyOf(k.ID, obj), obj})
		}
	}
	return out
}

// held reports whether the object waits for this controller to let it go.
func held(obj kind.Object) bool {
	return obj.GetDeletionTimestamp() != nil && (slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents) ||
		slices.Contains(obj.GetFinalizers(), metav1.FinalizerOrphanDependents))
}

func sameReferences(a, b kind.Object) bool {
	return slices.EqualFunc(a.GetOwnerReferences(), b.GetOwnerReferences(), func(x, y metav1.OwnerReference) bool {
		return x.UID == y.UID && blocks(x) == blocks(y)
	})
}

func blocks(ref metav1.OwnerReference) bool {
	return ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion
}

// ownerKey returns the key of the object that a reference names; ok is false if it cannot be known.
func (c collector) ownerKey(namespace string, ref metav1.OwnerReference) (key view.Key, ok bool) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return key, false
	}
	k := c.kinds.ServedAs(gv.WithKind(ref.Kind))
	if k == nil || k.Namespaced && namespace == "" { // an owner must be in reach of its dependent
		return key, false
	}
	key = view.Key{Kind: k.ID, Name: ref.Name}
	if k.Namespaced {
		key.Namespace = namespace
	}
	return key, true
}

func (c collector) gather(snap *view.Snapshot, key view.Key, _ time.Time) in {
	i := in{key: key, object: snap.Get(key)}
	if i.object == nil {
		return i
	}
	need := held(i.object)
	for _, ref := range i.object.GetOwnerReferences() {
		o := owner{ref: ref}
		if key, ok := c.ownerKey(i.object.GetNamespace(), ref); ok {
			o.state = stateOf(snap.Get(key), ref.UID)
		}
		need = need || o.state == waiting
		i.owners = append(i.owners, o)
	}
	if need {
		i.dependents = c.dependents(snap, i.object.GetUID())
	}
	return i
}

func stateOf(obj kind.Object, uid types.UID) ownerState {
	switch {
	case obj == nil || obj.GetUID() != uid:
		return absent
	case obj.GetDeletionTimestamp() != nil && slices.Contains(obj.GetFinalizers(), metav1.FinalizerDeleteDependents):
		return waiting
	}
	return solid
}
