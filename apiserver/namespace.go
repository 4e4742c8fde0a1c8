package apiserver

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// A Namespace is deleted in two steps, as upstream does it: DELETE marks it Terminating, its content is removed by
// the namespace controller, and the finalize subresource then takes "kubernetes" from spec.finalizers, which lets
// it go. These finalizers are in the spec, so they need a place of their own here.

// specFinalizers returns the finalizers that an object has outside its metadata.
func specFinalizers(obj kind.Object) []corev1.FinalizerName {
	if ns, ok := obj.(*corev1.Namespace); ok {
		return ns.Spec.Finalizers
	}
	return nil
}

// markTerminating puts the deletion into the phase of a Namespace that is a private copy.
func markTerminating(obj kind.Object) {
	if ns, ok := obj.(*corev1.Namespace); ok {
		ns.Status.Phase = corev1.NamespaceTerminating
	}
}

// prepareFinalize makes next the stored Namespace with next's spec.finalizers, in place, and returns what is wrong with
// them.
func prepareFinalize(r request, next, cur kind.Object) (field.ErrorList, error) {
	ns, ok := next.(*corev1.Namespace)
	if !ok {
		return nil, errNoSubresource(r)
	}
	old := cur.(*corev1.Namespace)
	finalizers := slices.Clone(ns.Spec.Finalizers)
	old.DeepCopyInto(ns)
	ns.Spec.Finalizers = finalizers
	return core.ValidateFinalize(ns), nil
}
