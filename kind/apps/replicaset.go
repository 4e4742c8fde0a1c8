package apps

import (
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// ReplicaSet returns the kind ReplicaSet.
func ReplicaSet() *kind.Kind {
	return core.GatePods(kind.Typed[*appsv1.ReplicaSet]{
		ID: kind.ReplicaSets, Version: appsv1.SchemeGroupVersion, Name: "ReplicaSet", Singular: "replicaset",
		ShortNames: []string{"rs"}, Categories: []string{"all"},
		New:     func() *appsv1.ReplicaSet { return new(appsv1.ReplicaSet) },
		NewList: func() runtime.Object { return new(appsv1.ReplicaSetList) },

		Default: func(rs *appsv1.ReplicaSet) {
			core.DefaultPodTemplate(&rs.Spec.Template)
			if rs.Spec.Replicas == nil {
				rs.Spec.Replicas = new(int32(1))
			}
		},
		Counted:       func(rs *appsv1.ReplicaSet) any { return &rs.Spec },
		PrepareCreate: func(rs *appsv1.ReplicaSet) { rs.Status = appsv1.ReplicaSetStatus{} },
		PrepareUpdate: func(rs, old *appsv1.ReplicaSet) { rs.Status = *old.Status.DeepCopy() },

		Validate: func(rs *appsv1.ReplicaSet) field.ErrorList {
			return validateReplicaSetSpec(&rs.Spec, field.NewPath("spec"))
		},
		ValidateUpdate: func(rs, old *appsv1.ReplicaSet) field.ErrorList {
			path := field.NewPath("spec")
			return append(validateReplicaSetSpec(&rs.Spec, path),
				apivalidation.ValidateImmutableField(rs.Spec.Selector, old.Spec.Selector, path.Child("selector"))...)
		},

		Warnings: func(rs *appsv1.ReplicaSet) []string {
			return append(core.HostNameWarnings(rs.Name), templateWarnings(&rs.Spec.Template)...)
		},
		UpdateWarnings: func(rs, old *appsv1.ReplicaSet) []string {
			return updateWarnings(rs.Generation, old.Generation, &rs.Spec.Template)
		},

		PrepareStatus:  func(rs, old *appsv1.ReplicaSet) { rs.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateReplicaSetStatus,

		Scale: &kind.TypedScale[*appsv1.ReplicaSet]{
			Get: func(rs *appsv1.ReplicaSet) (int32, int32, string) {
				return number(rs.Spec.Replicas), rs.Status.Replicas, selectorText(rs.Spec.Selector)
			},
			Set: func(rs *appsv1.ReplicaSet, replicas int32) { rs.Spec.Replicas = &replicas },
		},

		Columns: append(workloadColumns(
			kind.Column("Desired", "integer", "Pods wanted."),
			kind.Column("Current", "integer", "Pods that exist."),
			kind.Column("Ready", "integer", "Pods that are ready."),
		), selectorColumn()),
		Row: replicaSetRow,
		Fields: func(rs *appsv1.ReplicaSet) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(rs.Status.Replicas))}
		},
	}, field.NewPath("spec", "template", "spec"), func(rs *appsv1.ReplicaSet) *corev1.PodSpec { return &rs.Spec.Template.Spec }).Kind()
}

func validateReplicaSetSpec(spec *appsv1.ReplicaSetSpec, path *field.Path) field.ErrorList {
	errs := core.NonNegative(path.Child("replicas"), spec.Replicas)
	errs = append(errs, core.NonNegative(path.Child("minReadySeconds"), &spec.MinReadySeconds)...)
	return append(errs, validateSelected(spec.Selector, &spec.Template, path)...)
}

func validateReplicaSetStatus(rs, _ *appsv1.ReplicaSet) field.ErrorList {
	path, s := field.NewPath("status"), &rs.Status
	errs := validateCounts(path, count{"replicas", s.Replicas},
		count{"fullyLabeledReplicas", s.FullyLabeledReplicas}, count{"readyReplicas", s.ReadyReplicas}, count{"availableReplicas", s.AvailableReplicas})
	errs = append(errs, apivalidation.ValidateNonnegativeField(s.ObservedGeneration, path.Child("observedGeneration"))...)
	errs = append(errs, core.NonNegative(path.Child("terminatingReplicas"), s.TerminatingReplicas)...)
	if s.AvailableReplicas > s.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), s.AvailableReplicas, "cannot be greater than readyReplicas"))
	}
	return errs
}

func replicaSetRow(rs *appsv1.ReplicaSet, now time.Time) []any {
	names, images := core.ContainerCells(&rs.Spec.Template.Spec)
	return []any{
		rs.Name,
		int64(number(rs.Spec.Replicas)), int64(rs.Status.Replicas), int64(rs.Status.ReadyReplicas),
		kind.Age(rs, now),
		names, images, metav1.FormatLabelSelector(rs.Spec.Selector),
	}
}
