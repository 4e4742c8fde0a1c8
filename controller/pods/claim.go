package pods

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/plan"
)

// Claim is which children an owner has, and which writes make the ownership what the selector says.
type Claim[T kind.Object] struct {
	Owned   []T           // claimed now or by an adoption below, and matching the selector
	Adopt   []kind.Object // copies with a controller reference added
	Release []kind.Object // copies with the controller reference removed
}

// Claims sorts the candidates of an owner: those that it controls, and those without controller.
// A candidate that it controls is kept if it matches the selector, and released if not; one without
// controller is adopted if it matches and neither side is being deleted.
// Adopted children are in Owned as they will be after the adoption.
func Claims[T kind.Object](owner metav1.Object, gvk schema.GroupVersionKind, selector labels.Selector, candidates []T) Claim[T] {
	var c Claim[T]
	for _, child := range candidates {
		ref := metav1.GetControllerOfNoCopy(child)
		matches := selector.Matches(labels.Set(child.GetLabels()))
		switch {
		case ref != nil && ref.UID != owner.GetUID():
		case ref != nil && matches:
			c.Owned = append(c.Owned, child)
		case ref != nil && owner.GetDeletionTimestamp() == nil:
			c.Release = append(c.Release, without(child, owner.GetUID()))
		case ref == nil && matches && owner.GetDeletionTimestamp() == nil && child.GetDeletionTimestamp() == nil:
			adopted := with(child, *metav1.NewControllerRef(owner, gvk))
			c.Adopt = append(c.Adopt, adopted)
			c.Owned = append(c.Owned, adopted)
		}
	}
	return c
}

// Plan appends the writes of the claim to a plan.
func (c Claim[T]) Plan(p *plan.Plan) {
	for _, obj := range c.Release {
		p.Do(plan.Update{Object: obj})
	}
	for _, obj := range c.Adopt {
		p.Do(plan.Update{Object: obj})
	}
}

func with[T kind.Object](child T, ref metav1.OwnerReference) T {
	c := child.DeepCopyObject().(T)
	var refs []metav1.OwnerReference
	for _, r := range c.GetOwnerReferences() {
		if r.UID != ref.UID { // a plain reference becomes the controller's
			refs = append(refs, r)
		}
	}
	c.SetOwnerReferences(append(refs, ref))
	return c
}

func without[T kind.Object](child T, owner types.UID) T {
	c := child.DeepCopyObject().(T)
	var refs []metav1.OwnerReference
	for _, r := range c.GetOwnerReferences() {
		if r.UID != owner {
			refs = append(refs, r)
		}
	}
	c.SetOwnerReferences(refs)
	return c
}
