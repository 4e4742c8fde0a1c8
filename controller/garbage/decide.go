package garbage

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/plan"
)

// updatesMax bounds the writes of one plan; what is left follows when those are seen.
const updatesMax = 500

// none is the memory of decisions that remember nothing.
type none struct{}

func decide(i in, _ none) (plan.Plan, none) {
	var p plan.Plan
	switch {
	case i.object == nil:
	case held(i.object) && slices.Contains(i.object.GetFinalizers(), metav1.FinalizerOrphanDependents):
		i.orphan(&p)
	case held(i.object):
		i.foreground(&p)
	case i.object.GetDeletionTimestamp() == nil:
		i.collect(&p)
	}
	return p, none{}
}

// orphan takes the references out of the dependents, then lets the object go.
func (i in) orphan(p *plan.Plan) {
	for n, d := range i.dependents {
		if n == updatesMax {
			return
		}
		p.Do(plan.Update{Object: withoutOwners(d.object, i.object.GetUID())})
	}
	if len(i.dependents) == 0 {
		i.release(p, metav1.FinalizerOrphanDependents)
	}
}

// foreground lets the object go when no dependent blocks it. The dependents are deleted by decisions of their own.
func (i in) foreground(p *plan.Plan) {
	blocking := 0
	for _, d := range i.dependents {
		for _, ref := range d.object.GetOwnerReferences() {
			if ref.UID == i.object.GetUID() && blocks(ref) {
				blocking++
			}
		}
	}
	if blocking > 0 {
		p.Say(plan.Reason{About: i.key, Message: fmt.Sprintf("deletion waits for %d dependents", blocking), Waiting: true})
		return
	}
	i.release(p, metav1.FinalizerDeleteDependents)
}

func (i in) release(p *plan.Plan, finalizer string) {
	obj := i.object.DeepCopyObject().(kind.Object)
	obj.SetFinalizers(slices.DeleteFunc(obj.GetFinalizers(), func(f string) bool { return f == finalizer }))
	p.Do(plan.Update{Object: obj})
}

// collect deletes the object if it has had owners and none keeps it; references to owners that are gone are taken
// out of one that is kept.
func (i in) collect(p *plan.Plan) {
	var gone []types.UID
	kept, awaited := false, false
	for _, o := range i.owners {
		switch o.state {
		case solid:
			kept = true
		case waiting:
			awaited = true
			gone = append(gone, o.ref.UID)
		default:
			gone = append(gone, o.ref.UID)
		}
	}
	switch {
	case len(gone) == 0:
	case kept:
		p.Do(plan.Update{Object: withoutOwners(i.object, gone...)})
	case awaited && slices.ContainsFunc(i.dependents, func(d dependent) bool { return held(d.object) }):
		// The object and a dependent of it own each other, and the dependent is waiting for this one: it must not
		// wait in return.
		p.Do(plan.Update{Object: withoutBlocking(i.object)})
	case awaited && len(i.dependents) > 0:
		i.delete(p, metav1.DeletePropagationForeground)
	default:
		i.delete(p, i.propagation())
	}
}

// propagation is how an object that nobody asked to delete is deleted: as its finalizers say.
func (i in) propagation() metav1.DeletionPropagation {
	switch f := i.object.GetFinalizers(); {
	case slices.Contains(f, metav1.FinalizerOrphanDependents):
		return metav1.DeletePropagationOrphan
	case slices.Contains(f, metav1.FinalizerDeleteDependents):
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}

// delete names the revision too: the references that were judged must still be the object's.
func (i in) delete(p *plan.Plan, how metav1.DeletionPropagation) {
	p.Do(plan.Delete{Key: i.key, UID: i.object.GetUID(), Revision: i.object.GetResourceVersion(), Propagation: string(how)},
		plan.Reason{About: i.key, Message: "deleted: its owners are gone"})
}

func withoutOwners(obj kind.Object, uids ...types.UID) kind.Object {
	obj = obj.DeepCopyObject().(kind.Object)
	obj.SetOwnerReferences(slices.DeleteFunc(obj.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		return slices.Contains(uids, ref.UID)
	}))
	return obj
}

func withoutBlocking(obj kind.Object) kind.Object {
	obj = obj.DeepCopyObject().(kind.Object)
	refs := obj.GetOwnerReferences()
	for n := range refs {
		no := false
		refs[n].BlockOwnerDeletion = &no
	}
	obj.SetOwnerReferences(refs)
	return obj
}
