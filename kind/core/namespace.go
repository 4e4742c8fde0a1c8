package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// Namespace returns the kind Namespace. Its spec.finalizers hold a deleted namespace until its content is gone;
// they change through the finalize subresource only.
func Namespace() *kind.Kind {
	return kind.Typed[*corev1.Namespace]{
		ID: kind.Namespaces, Version: corev1.SchemeGroupVersion, Name: "Namespace", Singular: "namespace",
		ShortNames: []string{"ns"}, Cluster: true,
		New:     func() *corev1.Namespace { return new(corev1.Namespace) },
		NewList: func() runtime.Object { return new(corev1.NamespaceList) },

		Default: func(ns *corev1.Namespace) {
			if ns.Status.Phase == "" {
				ns.Status.Phase = corev1.NamespaceActive
			}
			// The name is a label too, so that selectors can find a namespace by name (KEP-2161).
			if ns.Name == "" {
				return
			}
			if ns.Labels == nil {
				ns.Labels = make(map[string]string, 1)
			}
			ns.Labels[corev1.LabelMetadataName] = ns.Name
		},
		PrepareCreate: func(ns *corev1.Namespace) {
			ns.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
			for _, f := range ns.Spec.Finalizers {
				if f == corev1.FinalizerKubernetes {
					return
				}
			}
			ns.Spec.Finalizers = append(ns.Spec.Finalizers, corev1.FinalizerKubernetes)
		},
		PrepareUpdate: func(ns, old *corev1.Namespace) {
			ns.Spec.Finalizers = old.DeepCopy().Spec.Finalizers
			ns.Status = *old.Status.DeepCopy()
		},

		ValidateName: apivalidation.NameIsDNSLabel,
		Validate: func(ns *corev1.Namespace) field.ErrorList {
			path := field.NewPath("spec", "finalizers")
			return validateFinalizers(ns, func(int) *field.Path { return path })
		},

		PrepareStatus: func(ns, old *corev1.Namespace) { ns.Spec.Finalizers = old.DeepCopy().Spec.Finalizers },
		ValidateStatus: func(ns, _ *corev1.Namespace) field.ErrorList {
			path := field.NewPath("status", "Phase")
			switch {
			case ns.DeletionTimestamp.IsZero() && ns.Status.Phase != corev1.NamespaceActive:
				return field.ErrorList{field.Invalid(path, ns.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty")}
			case !ns.DeletionTimestamp.IsZero() && ns.Status.Phase != corev1.NamespaceTerminating:
				return field.ErrorList{field.Invalid(path, ns.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")}
			}
			return nil
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Status", "string", "Active, or Terminating while its content is being deleted."),
			kind.AgeColumn(),
		},
		Row: func(ns *corev1.Namespace, now time.Time) []any {
			return []any{ns.Name, string(ns.Status.Phase), kind.Age(ns, now)}
		},
		Fields: func(ns *corev1.Namespace) fields.Set {
			return fields.Set{"status.phase": string(ns.Status.Phase)}
		},
	}.Kind()
}

// ValidateFinalize checks what may be written through the finalize subresource.
func ValidateFinalize(ns *corev1.Namespace) field.ErrorList {
	return validateFinalizers(ns, field.NewPath("spec", "finalizers").Index)
}

func validateFinalizers(ns *corev1.Namespace, at func(i int) *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, f := range ns.Spec.Finalizers {
		errs = append(errs, apivalidation.ValidateFinalizerName(string(f), at(i))...)
		errs = append(errs, kind.ValidateOwnFinalizer(string(f), at(i))...)
	}
	return errs
}
