package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind/core"
)

// The bounds of indexed jobs, whose finished indexes are a list in the status.
const (
	maxIndexedParallelism = 100_000
	maxFailedIndexesLimit = 100_000
	maxFailedForMany      = 10_000 // when there are more than maxIndexedParallelism completions
	maxManagedBy          = 63
)

func validateJob(j *batchv1.Job) field.ErrorList {
	path := field.NewPath("spec")
	errs := generatedSelector(j)
	errs = append(errs, validateJobSpec(&j.Spec, path)...)
	return append(errs, nameForIndexes(j)...)
}

// nameForIndexes checks that the pod of the highest index can have its host name, which must be a label.
func nameForIndexes(j *batchv1.Job) field.ErrorList {
	n := j.Spec.Completions
	if !indexed(&j.Spec) || n == nil || *n <= 0 {
		return nil
	}
	name := fmt.Sprintf("%s-%d", j.Name, *n-1)
	if len(validation.IsDNS1123Label(name)) == 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), j.Name, fmt.Sprintf("will not able to create pod with invalid DNS label: %s", name))}
}

// generatedSelector checks that the labels and the selector that the API server sets were not set to something else.
func generatedSelector(j *batchv1.Job) field.ErrorList {
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector || j.UID == "" {
		return nil
	}
	path := field.NewPath("spec")
	if j.Spec.Selector == nil {
		return nil // reported by validateJobSpec
	}
	var errs field.ErrorList
	at, labelled := path.Child("template", "metadata", "labels"), j.Spec.Template.Labels
	own := labels.Set{}
	for _, want := range []struct{ key, value string }{
		{legacyUID, string(j.UID)}, {legacyName, j.Name}, {batchv1.ControllerUidLabel, string(j.UID)}, {batchv1.JobNameLabel, j.Name},
	} {
		own[want.key] = want.value
		switch have, ok := labelled[want.key]; {
		case !ok:
			errs = append(errs, field.Required(at.Key(want.key), fmt.Sprintf("must be '%s'", want.value)))
		case have != want.value:
			errs = append(errs, field.Invalid(at.Key(want.key), labelled, fmt.Sprintf("must be '%s'", want.value)))
		}
	}
	if s, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && !s.Matches(own) {
		errs = append(errs, field.Invalid(path.Child("selector"), j.Spec.Selector, "`selector` not auto-generated"))
	}
	return errs
}

func indexed(spec *batchv1.JobSpec) bool {
	return spec.CompletionMode != nil && *spec.CompletionMode == batchv1.IndexedCompletion
}

func validateJobSpec(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := validateJobParts(spec, path)
	if spec.Selector == nil {
		errs = append(errs, field.Required(path.Child("selector"), ""))
	}
	errs = append(errs, metavalidation.ValidateLabelSelector(spec.Selector, metavalidation.LabelSelectorValidationOptions{}, path.Child("selector"))...)
	if s, err := metav1.LabelSelectorAsSelector(spec.Selector); err == nil && !s.Matches(labels.Set(spec.Template.Labels)) {
		errs = append(errs, field.Invalid(path.Child("template", "metadata", "labels"), spec.Template.Labels, "`selector` does not match template `labels`"))
	}
	return errs
}

// validateJobParts checks everything but the selector, which a CronJob's template does not have yet.
func validateJobParts(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	errs := core.NonNegative(path.Child("parallelism"), spec.Parallelism)
	errs = append(errs, core.NonNegative(path.Child("completions"), spec.Completions)...)
	errs = append(errs, core.NonNegative(path.Child("activeDeadlineSeconds"), spec.ActiveDeadlineSeconds)...)
	errs = append(errs, core.NonNegative(path.Child("backoffLimit"), spec.BackoffLimit)...)
	errs = append(errs, core.NonNegative(path.Child("ttlSecondsAfterFinished"), spec.TTLSecondsAfterFinished)...)
	errs = append(errs, core.NonNegative(path.Child("backoffLimitPerIndex"), spec.BackoffLimitPerIndex)...)
	if spec.MaxFailedIndexes != nil {
		errs = append(errs, core.NonNegative(path.Child("maxFailedIndexes"), spec.MaxFailedIndexes)...)
		if spec.BackoffLimitPerIndex == nil {
			errs = append(errs, field.Required(path.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"))
		}
	}
	if by := spec.ManagedBy; by != nil {
		errs = append(errs, validation.IsDomainPrefixedPath(path.Child("managedBy"), *by)...)
		if len(*by) > maxManagedBy {
			errs = append(errs, field.TooLong(path.Child("managedBy"), *by, maxManagedBy))
		}
	}
	errs = append(errs, validateCompletionMode(spec, path)...)
	if spec.PodFailurePolicy != nil {
		errs = append(errs, validateFailurePolicy(spec, path.Child("podFailurePolicy"))...)
	}
	if p := spec.SuccessPolicy; p != nil && !indexed(spec) {
		errs = append(errs, field.Invalid(path.Child("successPolicy"), *p, "requires indexed completion mode"))
	} else if p != nil {
		errs = append(errs, validateSuccessPolicy(spec, path.Child("successPolicy"))...)
	}
	errs = append(errs, validateReplacement(spec, path.Child("podReplacementPolicy"))...)
	errs = append(errs, core.ValidatePodTemplate(&spec.Template, path.Child("template"))...)

	policy, at := spec.Template.Spec.RestartPolicy, path.Child("template", "spec", "restartPolicy")
	switch policy {
	case "", corev1.RestartPolicyAlways:
		errs = append(errs, field.Required(at, fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)))
	case corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever:
		if spec.PodFailurePolicy != nil && policy != corev1.RestartPolicyNever {
			errs = append(errs, field.Invalid(at, policy, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever)))
		}
	default:
		errs = append(errs, field.NotSupported(at, policy, []corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}))
	}
	return errs
}

func validateCompletionMode(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	mode := batchv1.NonIndexedCompletion // the jobs of a CronJob get their defaults when they are made
	if spec.CompletionMode != nil {
		mode = *spec.CompletionMode
	}
	var errs field.ErrorList
	switch mode {
	case batchv1.IndexedCompletion:
		if spec.Completions == nil {
			errs = append(errs, field.Required(path.Child("completions"), fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion)))
		}
		if p := spec.Parallelism; p != nil && *p > maxIndexedParallelism {
			errs = append(errs, field.Invalid(path.Child("parallelism"), *p,
				fmt.Sprintf("must be less than or equal to %d when completion mode is %s", maxIndexedParallelism, batchv1.IndexedCompletion)))
		}
		if n := spec.MaxFailedIndexes; n != nil {
			if spec.Completions != nil && *n > *spec.Completions {
				errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n, "must be less than or equal to completions"))
			}
			if *n > maxFailedIndexesLimit {
				errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n, fmt.Sprintf("must be less than or equal to %d", maxFailedIndexesLimit)))
			}
		}
		if spec.Completions != nil && *spec.Completions > maxIndexedParallelism && spec.BackoffLimitPerIndex != nil {
			errs = append(errs, validateManyIndexes(spec, path)...)
		}
	case batchv1.NonIndexedCompletion:
		for _, f := range []struct {
			name  string
			value *int32
		}{{"backoffLimitPerIndex", spec.BackoffLimitPerIndex}, {"maxFailedIndexes", spec.MaxFailedIndexes}} {
			if f.value != nil {
				errs = append(errs, field.Invalid(path.Child(f.name), *f.value, "requires indexed completion mode"))
			}
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("completionMode"), mode, []batchv1.CompletionMode{batchv1.NonIndexedCompletion, batchv1.IndexedCompletion}))
	}
	return errs
}

// validateManyIndexes bounds the lists of failed indexes of a job with very many.
func validateManyIndexes(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.MaxFailedIndexes == nil {
		errs = append(errs, field.Required(path.Child("maxFailedIndexes"), fmt.Sprintf("must be specified when completions is above %d", maxIndexedParallelism)))
	}
	if p := spec.Parallelism; p != nil && *p > maxFailedForMany {
		errs = append(errs, field.Invalid(path.Child("parallelism"), *p,
			fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", maxFailedForMany, maxIndexedParallelism)))
	}
	if n := spec.MaxFailedIndexes; n != nil && *n > maxFailedForMany {
		errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n,
			fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", maxFailedForMany, maxIndexedParallelism)))
	}
	return errs
}

func validateReplacement(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if spec.PodReplacementPolicy == nil {
		return nil
	}
	allowed := []batchv1.PodReplacementPolicy{batchv1.Failed}
	if spec.PodFailurePolicy == nil {
		allowed = append(allowed, batchv1.TerminatingOrFailed)
	}
	if p := *spec.PodReplacementPolicy; !slices.Contains(allowed, p) {
		return field.ErrorList{field.NotSupported(path, p, allowed)}
	}
	return nil
}
