package apps

import (
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// StatefulSet returns the kind StatefulSet.
func StatefulSet() *kind.Kind {
	return kind.Typed[*appsv1.StatefulSet]{
		ID: kind.StatefulSets, Version: appsv1.SchemeGroupVersion, Name: "StatefulSet", Singular: "statefulset",
		ShortNames: []string{"sts"}, Categories: []string{"all"},
		New:     func() *appsv1.StatefulSet { return new(appsv1.StatefulSet) },
		NewList: func() runtime.Object { return new(appsv1.StatefulSetList) },

		Default:       defaultStatefulSet,
		Counted:       func(s *appsv1.StatefulSet) any { return &s.Spec },
		PrepareCreate: func(s *appsv1.StatefulSet) { s.Status = appsv1.StatefulSetStatus{} },
		PrepareUpdate: func(s, old *appsv1.StatefulSet) { s.Status = *old.Status.DeepCopy() },

		// The name becomes the host name of pods and part of their label values, so it must be a label.
		ValidateName: apivalidation.NameIsDNSLabel,
		Validate: func(s *appsv1.StatefulSet) field.ErrorList {
			return validateStatefulSetSpec(&s.Spec, field.NewPath("spec"))
		},
		ValidateUpdate: validateStatefulSetUpdate,

		Warnings: func(s *appsv1.StatefulSet) []string {
			return core.PodTemplateWarnings(&s.Spec.Template, field.NewPath("spec", "template"))
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
		Fields: func(s *appsv1.StatefulSet) fields.Set {
			return fields.Set{"status.replicas": strconv.Itoa(int(s.Status.Replicas))}
		},
	}.Kind()
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

func validateStatefulSetSpec(spec *appsv1.StatefulSetSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch spec.PodManagementPolicy {
	case "":
		errs = append(errs, field.Required(path.Child("podManagementPolicy"), ""))
	case appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement:
	default:
		errs = append(errs, field.Invalid(path.Child("podManagementPolicy"), spec.PodManagementPolicy,
			fmt.Sprintf("must be '%s' or '%s'", appsv1.OrderedReadyPodManagement, appsv1.ParallelPodManagement)))
	}
	errs = append(errs, validateUpdateStrategy(&spec.UpdateStrategy, path.Child("updateStrategy"))...)
	if p := spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		pp := path.Child("persistentVolumeClaimRetentionPolicy")
		errs = append(errs, retention(pp.Child("whenDeleted"), p.WhenDeleted)...)
		errs = append(errs, retention(pp.Child("whenScaled"), p.WhenScaled)...)
	}
	errs = append(errs, core.NonNegative(path.Child("replicas"), spec.Replicas)...)
	errs = append(errs, core.NonNegative(path.Child("minReadySeconds"), &spec.MinReadySeconds)...)
	errs = append(errs, core.NonNegative(path.Child("revisionHistoryLimit"), spec.RevisionHistoryLimit)...)
	if spec.Ordinals != nil {
		errs = append(errs, core.NonNegative(path.Child("ordinals", "start"), &spec.Ordinals.Start)...)
	}
	if spec.ServiceName != "" {
		for _, msg := range apivalidation.NameIsDNSLabel(spec.ServiceName, false) {
			errs = append(errs, field.Invalid(path.Child("serviceName"), spec.ServiceName, msg))
		}
	}
	errs = append(errs, validateSelector(spec.Selector, "statefulset", path.Child("selector"))...)
	names := sets.New[string]()
	for i := range spec.VolumeClaimTemplates {
		claim, p := &spec.VolumeClaimTemplates[i], path.Child("volumeClaimTemplates").Index(i)
		errs = append(errs, core.ValidateClaimTemplate(claim, p)...)
		if names.Has(claim.Name) {
			errs = append(errs, field.Duplicate(p.Child("metadata", "name"), claim.Name))
		}
		names.Insert(claim.Name)
	}
	return append(errs, core.ValidateSelectedTemplate(withClaims(spec), spec.Selector, "StatefulSet", path.Child("template"))...)
}

// withClaims returns the template with a volume for each claim template, as the pods will have it, so that
// mounts of claims are found. A claim replaces a volume of the same name.
func withClaims(spec *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	if len(spec.VolumeClaimTemplates) == 0 {
		return &spec.Template
	}
	template := spec.Template
	// Claims go behind the template's own volumes, so that field paths keep their indexes.
	template.Spec.Volumes = append([]corev1.Volume(nil), template.Spec.Volumes...)
	taken := sets.New[string]()
	for i := range template.Spec.Volumes {
		taken.Insert(template.Spec.Volumes[i].Name)
	}
	for i := range spec.VolumeClaimTemplates {
		name := spec.VolumeClaimTemplates[i].Name
		if taken.Has(name) || name == "" {
			continue
		}
		taken.Insert(name)
		template.Spec.Volumes = append(template.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
	}
	return &template
}

func retention(path *field.Path, p appsv1.PersistentVolumeClaimRetentionPolicyType) field.ErrorList {
	return core.OneOf(path, p, appsv1.DeletePersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType)
}

func validateUpdateStrategy(s *appsv1.StatefulSetUpdateStrategy, path *field.Path) field.ErrorList {
	rolling := path.Child("rollingUpdate")
	switch s.Type {
	case "":
		return field.ErrorList{field.Required(path, "")}
	case appsv1.OnDeleteStatefulSetStrategyType:
		if s.RollingUpdate != nil {
			return field.ErrorList{field.Invalid(rolling, s.RollingUpdate,
				fmt.Sprintf("only allowed for updateStrategy '%s'", appsv1.RollingUpdateStatefulSetStrategyType))}
		}
		return nil
	case appsv1.RollingUpdateStatefulSetStrategyType:
	default:
		return field.ErrorList{field.Invalid(path, s, fmt.Sprintf("must be '%s' or '%s'",
			appsv1.RollingUpdateStatefulSetStrategyType, appsv1.OnDeleteStatefulSetStrategyType))}
	}
	if s.RollingUpdate == nil {
		return nil
	}
	errs := core.NonNegative(rolling.Child("partition"), s.RollingUpdate.Partition)
	if u := s.RollingUpdate.MaxUnavailable; u != nil {
		p := rolling.Child("maxUnavailable")
		errs = append(errs, core.PositiveIntOrPercent(p, *u)...)
		if isZero(*u) {
			errs = append(errs, field.Invalid(p, *u, "cannot be 0"))
		}
		errs = append(errs, atMostAll(p, *u)...)
	}
	return errs
}

// validateStatefulSetUpdate lets only such fields change whose change the running pods can follow.
func validateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateStatefulSetSpec(&s.Spec, path)
	rest := old.Spec // shallow: only whole fields are set
	rest.Replicas = s.Spec.Replicas
	rest.Template = s.Spec.Template
	rest.UpdateStrategy = s.Spec.UpdateStrategy
	rest.MinReadySeconds = s.Spec.MinReadySeconds
	rest.Ordinals = s.Spec.Ordinals
	rest.RevisionHistoryLimit = s.Spec.RevisionHistoryLimit
	rest.PersistentVolumeClaimRetentionPolicy = s.Spec.PersistentVolumeClaimRetentionPolicy
	if !equality.Semantic.DeepEqual(s.Spec, rest) {
		errs = append(errs, field.Forbidden(path, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "+
			"'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"))
	}
	return errs
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
	if c, was := st.CollisionCount, old.Status.CollisionCount; c != nil && was != nil && *c < *was {
		errs = append(errs, field.Invalid(path.Child("collisionCount"), *c, "cannot be decremented"))
	}
	return errs
}
