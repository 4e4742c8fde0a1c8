package apiserver

import (
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

// prepareFinalize keeps the status of the Namespace whose successor next is, and returns what is wrong with next's
// spec.finalizers.
func prepareFinalize(r request, next, cur kind.Object) (field.ErrorList, error) {
	ns, ok := next.(*corev1.Namespace)
	if !ok {
		return nil, errNoSubresource(r)
	}
	cur.(*corev1.Namespace).Status.DeepCopyInto(&ns.Status)
	return core.ValidateFinalize(ns), nil
}
