package pods

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan/kind"
	"sampan/view"
)

// Candidates returns the children that an owner controls or might adopt, for [Claims].
func Candidates[T kind.Object](snap *view.Snapshot, id kind.ID, owner metav1.Object) []T {
	var out []T
	for obj := range view.OwnedBy[T](snap, id, owner.GetUID()) {
		if ref := metav1.GetControllerOfNoCopy(obj); ref != nil && ref.UID == owner.GetUID() {
			out = append(out, obj)
		}
	}
	for obj := range snap.Orphans(id, owner.GetNamespace()) {
		out = append(out, obj.(T))
	}
	return out
}

// OwnerKeys maps a changed child to the owners of a kind that must look at it: its controllers before and
// after the change, and for a child without controller every owner that would adopt it, as selector says.
func OwnerKeys[Owner kind.Object](snap *view.Snapshot, c view.Change, owners kind.ID, kindName string,
	selector func(Owner) *metav1.LabelSelector) []view.Key {
	var keys []view.Key
	add := func(name string) {
		k := view.Key{Kind: owners, Namespace: c.Key.Namespace, Name: name}
		for _, have := range keys {
			if have == k {
				return
			}
		}
		keys = append(keys, k)
	}
	for _, obj := range []kind.Object{c.Old, c.New} {
		if obj == nil {
			continue
		}
		if ref := metav1.GetControllerOfNoCopy(obj); ref != nil {
			if ref.Kind == kindName {
				add(ref.Name)
			}
			continue
		}
		if obj.GetDeletionTimestamp() != nil {
			continue
		}
		for owner := range view.All[Owner](snap, owners, c.Key.Namespace) {
			s, err := metav1.LabelSelectorAsSelector(selector(owner))
			if err == nil && !s.Empty() && s.Matches(labels.Set(obj.GetLabels())) {
				add(owner.GetName())
			}
		}
	}
	return keys
}
