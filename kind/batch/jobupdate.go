package batch

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	path := field.NewPath("spec")
	errs := generatedSelector(j)
	errs = append(errs, validateJobSpec(&j.Spec, path)...)
	errs = append(errs, completionsUpdate(&j.Spec, &old.Spec, path)...)
	errs = append(errs, nameForIndexes(j)...)
	errs = append(errs, templateUpdate(&j.Spec.Template, old, path.Child("template"))...)
	for _, f := range []struct {
		name    string
		is, was any
	}{
		{"selector", j.Spec.Selector, old.Spec.Selector},
		{"completionMode", j.Spec.CompletionMode, old.Spec.CompletionMode},
		{"podFailurePolicy", j.Spec.PodFailurePolicy, old.Spec.PodFailurePolicy},
		{"backoffLimitPerIndex", j.Spec.BackoffLimitPerIndex, old.Spec.BackoffLimitPerIndex},
		{"managedBy", j.Spec.ManagedBy, old.Spec.ManagedBy},
		{"successPolicy", j.Spec.SuccessPolicy, old.Spec.SuccessPolicy},
	} {
		errs = append(errs, apivalidation.ValidateImmutableField(f.is, f.was, path.Child(f.name))...)
	}
	return errs
}

// completionsUpdate lets the completions of an indexed job change together with its parallelism (KEP-3715).
func completionsUpdate(spec, old *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if !indexed(spec) || equality.Semantic.DeepEqual(spec.Completions, old.Completions) {
		return apivalidation.ValidateImmutableField(spec.Completions, old.Completions, path.Child("completions"))
	}
	if spec.Completions == nil || equality.Semantic.DeepEqual(spec.Completions, spec.Parallelism) {
		return nil // an indexed job without completions is refused elsewhere
	}
	return field.ErrorList{field.Invalid(path.Child("completions"), *spec.Completions,
		fmt.Sprintf("can only be modified in tandem with %s", path.Child("parallelism")))}
}

// templateUpdate lets the template of a suspended job without pods change in where its pods go and what they get
// (KEP-2926, KEP-5440), and that of any other job not at all.
func templateUpdate(template *corev1.PodTemplateSpec, old *batchv1.Job, path *field.Path) field.ErrorList {
	suspended := old.Spec.Suspend != nil && *old.Spec.Suspend
	idle := (old.Status.StartTime == nil || hasCondition(old, batchv1.JobSuspended)) && old.Status.Active == 0
	if !suspended || !idle {
		return apivalidation.ValidateImmutableField(template, &old.Spec.Template, path)
	}
	is, was := &template.Spec, old.Spec.Template.Spec.DeepCopy()
	was.Affinity = affinityBefore(is.Affinity, was.Affinity)
	was.NodeSelector, was.Tolerations, was.SchedulingGates = is.NodeSelector, is.Tolerations, is.SchedulingGates
	resourcesBefore(is.InitContainers, was.InitContainers)
	resourcesBefore(is.Containers, was.Containers)
	return apivalidation.ValidateImmutableField(*is, *was, path.Child("spec"))
}

// affinityBefore returns the affinity that must still be, beside that to nodes, which may change. was is the caller's.
func affinityBefore(is, was *corev1.Affinity) *corev1.Affinity {
	switch {
	case is != nil && was == nil:
		return &corev1.Affinity{NodeAffinity: is.NodeAffinity}
	case is != nil:
		was.NodeAffinity = is.NodeAffinity
	case was != nil:
		was.NodeAffinity = nil
		if *was == (corev1.Affinity{}) {
			return nil
		}
	}
	return was
}

// resourcesBefore gives the old containers the resources of the new ones that they became.
func resourcesBefore(is, was []corev1.Container) {
	if len(is) != len(was) {
		return
	}
	for i := range is {
		if is[i].Name == was[i].Name {
			was[i].Resources = is[i].Resources
		}
	}
}
