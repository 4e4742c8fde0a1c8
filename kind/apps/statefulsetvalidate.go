package apps

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind/core"
)

func validateStatefulSet(s *appsv1.StatefulSet) field.ErrorList {
	path, spec := field.NewPath("spec"), &s.Spec
	errs := validateStatefulSetSpec(spec, path)
	if spec.ServiceName != "" {
		for _, msg := range apivalidation.NameIsDNSLabel(spec.ServiceName, false) {
			errs = append(errs, field.Invalid(path.Child("serviceName"), spec.ServiceName, msg))
		}
	}
	for i := range spec.VolumeClaimTemplates {
		errs = append(errs, core.ValidateClaimTemplate(&spec.VolumeClaimTemplates[i], path.Child("volumeClaimTemplates").Index(i))...)
	}
	return append(errs, core.ValidatePodTemplate(asPods(spec), path.Child("template"))...)
}

// validateStatefulSetUpdate keeps what the running pods could not follow. What never changes is not checked again, nor
// is a template where the old set would not be accepted today.
func validateStatefulSetUpdate(s, old *appsv1.StatefulSet) field.ErrorList {
	path, is, was := field.NewPath("spec"), &s.Spec, &old.Spec
	errs := validateStatefulSetSpec(is, path)
	if len(validateStatefulSetSpec(was, path))+len(core.ValidatePodTemplate(asPods(was), path)) == 0 {
		errs = append(errs, core.ValidatePodTemplate(asPods(is), path.Child("template"))...)
	}
	for _, f := range []struct {
		name    string
		is, was any
	}{
		{"selector", is.Selector, was.Selector},
		{"volumeClaimTemplates", is.VolumeClaimTemplates, was.VolumeClaimTemplates},
		{"serviceName", is.ServiceName, was.ServiceName},
		{"podManagementPolicy", is.PodManagementPolicy, was.PodManagementPolicy},
	} {
		errs = append(errs, apivalidation.ValidateImmutableField(f.is, f.was, path.Child(f.name))...)
	}
	return errs
}

// validateStatefulSetSpec checks what holds for new and for changed sets.
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
	if spec.Ordinals != nil {
		errs = append(errs, core.NonNegative(path.Child("ordinals", "start"), &spec.Ordinals.Start)...)
	}
	errs = append(errs, validateSelector(spec.Selector, "statefulset", path.Child("selector"))...)
	return append(errs, validateSetTemplate(spec, path)...)
}

// validateSetTemplate checks what a StatefulSet wants of its template beside what any template must be.
func validateSetTemplate(spec *appsv1.StatefulSetSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	template, at := &spec.Template, path.Child("template")
	if s, err := metav1.LabelSelectorAsSelector(spec.Selector); err != nil {
		errs = append(errs, field.Invalid(path.Child("selector"), spec.Selector, ""))
	} else if !s.Empty() && !s.Matches(labels.Set(template.Labels)) {
		errs = append(errs, field.Invalid(at.Child("metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, metavalidation.ValidateLabels(template.Labels, at.Child("labels"))...)
	errs = append(errs, apivalidation.ValidateAnnotations(template.Annotations, at.Child("annotations"))...)
	if p := template.Spec.RestartPolicy; p != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(at.Child("spec", "restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if template.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(at.Child("spec", "activeDeadlineSeconds"), "activeDeadlineSeconds in StatefulSet is not Supported"))
	}
	return errs
}

// asPods returns the template as the pods will have it: with a volume for each claim template, which replaces one of the
// same name, and without the host names that the controller writes over.
func asPods(spec *appsv1.StatefulSetSpec) *corev1.PodTemplateSpec {
	template := spec.Template // shallow: only whole fields are set
	template.Spec.Hostname, template.Spec.Subdomain = "", ""
	if len(spec.VolumeClaimTemplates) == 0 {
		return &template
	}
	// Claims go behind the template's own volumes, so that field paths keep their indexes.
	template.Spec.Volumes = slices.Clone(template.Spec.Volumes)
	taken := sets.New[string]()
	for i := range template.Spec.Volumes {
		taken.Insert(template.Spec.Volumes[i].Name)
	}
	for i := range spec.VolumeClaimTemplates {
		name := spec.VolumeClaimTemplates[i].Name
		if taken.Has(name) {
			continue
		}
		taken.Insert(name)
		template.Spec.Volumes = append(template.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}})
	}
	return &template
}

func retention(path *field.Path, p appsv1.PersistentVolumeClaimRetentionPolicyType) field.ErrorList {
	return core.OneOf(path, p, appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType)
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

// statefulSetWarnings are what is allowed in a set, beside its pod template, but hardly meant.
func statefulSetWarnings(spec *appsv1.StatefulSetSpec) []string {
	var warnings []string
	path := field.NewPath("spec")
	for i := range spec.VolumeClaimTemplates {
		resources, at := &spec.VolumeClaimTemplates[i].Spec.Resources, path.Child("volumeClaimTemplates").Index(i).Child("resources")
		for _, list := range []struct {
			name   string
			values corev1.ResourceList
		}{{"requests", resources.Requests}, {"limits", resources.Limits}} {
			if q := list.values[corev1.ResourceStorage]; q.MilliValue()%1000 != 0 {
				warnings = append(warnings, fmt.Sprintf("%s: fractional byte value %q is invalid, must be an integer",
					at.Child(list.name).Key(string(corev1.ResourceStorage)), q.String()))
			}
		}
	}
	if n := spec.RevisionHistoryLimit; n != nil && *n < 0 {
		warnings = append(warnings, path.Child("revisionHistoryLimit").String()+": a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return warnings
}
