package apps

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// StatefulSet returns the kind StatefulSet.
func StatefulSet() *kind.Kind {
	return core.GatePods(kind.Typed[*appsv1.StatefulSet]{
		ID: kind.StatefulSets, Version: appsv1.SchemeGroupVersion, Name: "StatefulSet", Singular: "statefulset",
		ShortNames: []string{"sts"}, Categories: []string{"all"},
		New:     func() *appsv1.StatefulSet { return new(appsv1.StatefulSet) },
		NewList: func() runtime.Object { return new(appsv1.StatefulSetList) },

		Default:       defaultStatefulSet,
		Counted:       func(s *appsv1.StatefulSet) any { return &s.Spec },
		PrepareCreate: func(s *appsv1.StatefulSet) { s.Status = appsv1.StatefulSetStatus{} },
		PrepareUpdate: func(s, old *appsv1.StatefulSet) { s.Status = *old.Status.DeepCopy() },

		// The name becomes the host name of pods and part of their label values, so it must be a label.
		ValidateName:   apivalidation.NameIsDNSLabel,
		Validate:       validateStatefulSet,
		ValidateUpdate: validateStatefulSetUpdate,

		Warnings: func(s *appsv1.StatefulSet) []string {
			return append(templateWarnings(&s.Spec.Template), statefulSetWarnings(&s.Spec)...)
		},
		UpdateWarnings: func(s, old *appsv1.StatefulSet) []string {
			return append(updateWarnings(s.Generation, old.Generation, &s.Spec.Template), statefulSetWarnings(&s.Spec)...)
		},

		PrepareStatus:  func(s, old *appsv1.StatefulSet) { s.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateStatefulSetStatus,

		Scale: &kind.TypedScale[*appsv1.StatefulSet]{
			Get: func(s *appsv1.StatefulSet) (int32, int32, string) {
				return number(s.Spec.Replicas), s.Status.Replicas, selectorText(s.Spec.Selector)
			},
			Set: func(s *appsv1.StatefulSet, replicas int32) { s.Spec.Replicas = &replicas },
		},

		Columns: workloadColumns(kind.Column("Ready", "string", "Pods that are ready, of those wanted.")),
		Row: func(s *appsv1.StatefulSet, now time.Time) []any {
			names, images := core.ContainerCells(&s.Spec.Template.Spec)
			return []any{s.Name, fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, number(s.Spec.Replicas)), kind.Age(s, now), names, images}
		},
	}, field.NewPath("spec", "template", "spec"), func(s *appsv1.StatefulSet) *corev1.PodSpec { return &s.Spec.Template.Spec }).Kind()
}

func defaultStatefulSet(s *appsv1.StatefulSet) {
	spec := &s.Spec
	core.DefaultPodTemplate(&spec.Template)
	if spec.PodManagementPolicy == "" {
		spec.PodManagementPolicy = appsv1.OrderedReadyPodManagement
	}
	if spec.UpdateStrategy.Type == "" {
		spec.UpdateStrategy.Type = appsv1.RollingUpdateStatefulSetStrategyType
		if spec.UpdateStrategy.RollingUpdate == nil {
			spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{}
		}
	}
	if r := spec.UpdateStrategy.RollingUpdate; r != nil && spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		if r.Partition == nil {
			r.Partition = new(int32(0))
		}
		if r.MaxUnavailable == nil {
			r.MaxUnavailable = new(intstr.FromInt32(1))
		}
	}
	if spec.PersistentVolumeClaimRetentionPolicy == nil {
		spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{}
	}
	p := spec.PersistentVolumeClaimRetentionPolicy
	if p.WhenDeleted == "" {
		p.WhenDeleted = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if p.WhenScaled == "" {
		p.WhenScaled = appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	if spec.Replicas == nil {
		spec.Replicas = new(int32(1))
	}
	if spec.RevisionHistoryLimit == nil {
		spec.RevisionHistoryLimit = new(int32(10))
	}
	for i := range spec.VolumeClaimTemplates {
		claim := &spec.VolumeClaimTemplates[i]
		// Clients compare what they applied with what they get, and templates are whole objects.
		claim.APIVersion, claim.Kind = "v1", "PersistentVolumeClaim"
		core.DefaultClaim(claim)
	}
}

func validateStatefulSetStatus(s, old *appsv1.StatefulSet) field.ErrorList {
	path, st := field.NewPath("status"), &s.Status
	errs := validateCounts(path, count{"replicas", st.Replicas},
		count{"readyReplicas", st.ReadyReplicas}, count{"currentReplicas", st.CurrentReplicas},
		count{"updatedReplicas", st.UpdatedReplicas}, count{"availableReplicas", st.AvailableReplicas})
	errs = append(errs, apivalidation.ValidateNonnegativeField(st.ObservedGeneration, path.Child("observedGeneration"))...)
	errs = append(errs, core.NonNegative(path.Child("collisionCount"), st.CollisionCount)...)
	if st.AvailableReplicas > st.ReadyReplicas {
		errs = append(errs, field.Invalid(path.Child("availableReplicas"), st.AvailableReplicas, "cannot be greater than status.readyReplicas"))
	}
	return append(errs, neverDecremented(path.Child("collisionCount"), st.CollisionCount, old.Status.CollisionCount)...)
}
