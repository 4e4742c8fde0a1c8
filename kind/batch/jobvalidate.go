package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
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
	if spec := &j.Spec; indexed(spec) && spec.Completions != nil && *spec.Completions > 0 {
		// Pods are named after the highest index, and their host names are labels.
		name := fmt.Sprintf("%s-%d", j.Name, *spec.Completions-1)
		if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), j.Name, fmt.Sprintf("will not able to create pod with invalid DNS label: %s", name)))
		}
	}
	return errs
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
	at := path.Child("template", "metadata", "labels")
	for _, want := range []struct{ key, value string }{
		{legacyUID, string(j.UID)}, {batchv1.ControllerUidLabel, string(j.UID)}, {legacyName, j.Name}, {batchv1.JobNameLabel, j.Name},
	} {
		switch have, ok := j.Spec.Template.Labels[want.key]; {
		case !ok:
			errs = append(errs, field.Required(at.Key(want.key), fmt.Sprintf("must be '%s'", want.value)))
		case have != want.value:
			errs = append(errs, field.Invalid(at.Key(want.key), have, fmt.Sprintf("must be '%s'", want.value)))
		}
	}
	own := &metav1.LabelSelector{MatchLabels: map[string]string{batchv1.ControllerUidLabel: string(j.UID)}}
	legacy := &metav1.LabelSelector{MatchLabels: map[string]string{legacyUID: string(j.UID)}}
	if !equality.Semantic.DeepEqual(j.Spec.Selector, own) && !equality.Semantic.DeepEqual(j.Spec.Selector, legacy) {
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
		return append(errs, field.Required(path.Child("selector"), ""))
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
	if spec.SuccessPolicy != nil {
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
	}
	return errs
}

func validateCompletionMode(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if spec.CompletionMode == nil {
		return nil
	}
	var errs field.ErrorList
	switch mode := *spec.CompletionMode; mode {
	case batchv1.IndexedCompletion:
		if spec.Completions == nil {
			return append(errs, field.Required(path.Child("completions"), fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion)))
		}
		if p := spec.Parallelism; p != nil && *p > maxIndexedParallelism {
			errs = append(errs, field.Invalid(path.Child("parallelism"), *p,
				fmt.Sprintf("must be less than or equal to %d when completion mode is %s", maxIndexedParallelism, batchv1.IndexedCompletion)))
		}
		if n := spec.MaxFailedIndexes; n != nil {
			if *n > *spec.Completions {
				errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n, "must be less than or equal to completions"))
			}
			if *n > maxFailedIndexesLimit {
				errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), *n, fmt.Sprintf("must be less than or equal to %d", maxFailedIndexesLimit)))
			}
		}
		if *spec.Completions > maxIndexedParallelism && spec.BackoffLimitPerIndex != nil {
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
		if spec.SuccessPolicy != nil {
			errs = append(errs, field.Invalid(path.Child("successPolicy"), *spec.SuccessPolicy, "requires indexed completion mode"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("completionMode"), mode, []batchv1.CompletionMode{batchv1.NonIndexedCompletion, batchv1.IndexedCompletion}))
	}
	return errs
}

// validateManyIndexes bounds the lists of failed indexes of a job with very many.
func validateManyIndexes(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	if spec.MaxFailedIndexes == nil {
		return field.ErrorList{field.Required(path.Child("maxFailedIndexes"), fmt.Sprintf("must be specified when completions is above %d", maxIndexedParallelism))}
	}
	var errs field.ErrorList
	if p := spec.Parallelism; p != nil && *p > maxFailedForMany {
		errs = append(errs, field.Invalid(path.Child("parallelism"), *p,
			fmt.Sprintf("must be less than or equal to %d when completions are above %d and used with backoff limit per index", maxFailedForMany, maxIndexedParallelism)))
	}
	if n := *spec.MaxFailedIndexes; n > maxFailedForMany {
		errs = append(errs, field.Invalid(path.Child("maxFailedIndexes"), n,
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

func validateFailurePolicy(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	const maxRules, maxCodes, maxConditions = 20, 255, 20
	rules := spec.PodFailurePolicy.Rules
	if len(rules) > maxRules {
		return field.ErrorList{field.TooMany(path.Child("rules"), len(rules), maxRules)}
	}
	names := sets.New[string]()
	for _, list := range [][]corev1.Container{spec.Template.Spec.Containers, spec.Template.Spec.InitContainers} {
		for i := range list {
			names.Insert(list[i].Name)
		}
	}
	var errs field.ErrorList
	for i := range rules {
		r, p := &rules[i], path.Child("rules").Index(i)
		actions := []batchv1.PodFailurePolicyAction{batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
			batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore}
		switch {
		case r.Action == "":
			errs = append(errs, field.Required(p.Child("action"), fmt.Sprintf("valid values: %q", actions)))
		case r.Action == batchv1.PodFailurePolicyActionFailIndex && spec.BackoffLimitPerIndex == nil:
			errs = append(errs, field.Invalid(p.Child("action"), r.Action, "requires the backoffLimitPerIndex to be set"))
		case !slices.Contains(actions, r.Action):
			errs = append(errs, field.NotSupported(p.Child("action"), r.Action, actions))
		}
		if e := r.OnExitCodes; e != nil {
			errs = append(errs, validateExitCodes(e, names, maxCodes, p.Child("onExitCodes"))...)
		}
		if len(r.OnPodConditions) > maxConditions {
			errs = append(errs, field.TooMany(p.Child("onPodConditions"), len(r.OnPodConditions), maxConditions))
		}
		for j, c := range r.OnPodConditions {
			cp := p.Child("onPodConditions").Index(j)
			for _, msg := range validation.IsQualifiedName(string(c.Type)) {
				errs = append(errs, field.Invalid(cp.Child("type"), c.Type, msg))
			}
			errs = append(errs, core.OneOf(cp.Child("status"), c.Status, corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown)...)
		}
		switch {
		case r.OnExitCodes == nil && len(r.OnPodConditions) == 0:
			errs = append(errs, field.Invalid(p, nil, "specifying one of OnExitCodes and OnPodConditions is required"))
		case r.OnExitCodes != nil && len(r.OnPodConditions) > 0:
			errs = append(errs, field.Invalid(p, nil, "specifying both OnExitCodes and OnPodConditions is not supported"))
		}
	}
	return errs
}

func validateExitCodes(e *batchv1.PodFailurePolicyOnExitCodesRequirement, names sets.Set[string], most int, path *field.Path) field.ErrorList {
	errs := core.OneOf(path.Child("operator"), e.Operator, batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn)
	if c := e.ContainerName; c != nil && !names.Has(*c) {
		errs = append(errs, field.Invalid(path.Child("containerName"), *c, "must be one of the container or initContainer names in the pod template"))
	}
	switch {
	case len(e.Values) == 0:
		errs = append(errs, field.Invalid(path.Child("values"), e.Values, "at least one value is required"))
	case len(e.Values) > most:
		errs = append(errs, field.TooMany(path.Child("values"), len(e.Values), most))
	}
	seen := sets.New[int32]()
	ordered := true
	for i, v := range e.Values {
		p := path.Child("values").Index(i)
		if e.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && v == 0 {
			errs = append(errs, field.Invalid(p, v, "must not be 0 for the In operator"))
		}
		if seen.Has(v) {
			errs = append(errs, field.Duplicate(p, v))
		}
		seen.Insert(v)
		ordered = ordered && (i == 0 || e.Values[i-1] <= v)
	}
	if !ordered {
		errs = append(errs, field.Invalid(path.Child("values"), e.Values, "must be ordered"))
	}
	return errs
}

func validateSuccessPolicy(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	const maxRules = 20
	rules := spec.SuccessPolicy.Rules
	switch {
	case len(rules) == 0:
		return field.ErrorList{field.Required(path.Child("rules"), "at least one rules must be specified when the successPolicy is specified")}
	case len(rules) > maxRules:
		return field.ErrorList{field.TooMany(path.Child("rules"), len(rules), maxRules)}
	}
	var errs field.ErrorList
	for i, r := range rules {
		p := path.Child("rules").Index(i)
		if r.SucceededCount == nil && r.SucceededIndexes == nil {
			errs = append(errs, field.Required(p, "at least one of succeededCount or succeededIndexes must be specified"))
		}
		listed := int64(-1)
		if r.SucceededIndexes != nil && spec.Completions != nil {
			n, err := countIndexes(*r.SucceededIndexes, *spec.Completions)
			if err != nil {
				errs = append(errs, field.Invalid(p.Child("succeededIndexes"), *r.SucceededIndexes, fmt.Sprintf("error parsing succeededIndexes: %s", err)))
			} else {
				listed = n
			}
		}
		if n := r.SucceededCount; n != nil {
			errs = append(errs, core.NonNegative(p.Child("succeededCount"), n)...)
			if c := spec.Completions; c != nil && *n > *c {
				errs = append(errs, field.Invalid(p.Child("succeededCount"), *n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", *c)))
			}
			if listed >= 0 && int64(*n) > listed {
				errs = append(errs, field.Invalid(p.Child("succeededCount"), *n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", listed)))
			}
		}
	}
	return errs
}

func validateJobUpdate(j, old *batchv1.Job) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateJobSpec(&j.Spec, path)
	errs = append(errs, completionsUpdate(&j.Spec, &old.Spec, path)...)
	template := templateBefore(j, old)
	for _, f := range []struct {
		name    string
		is, was any
	}{
		{"selector", j.Spec.Selector, old.Spec.Selector},
		{"template", &j.Spec.Template, template},
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
	if spec.Completions == nil || old.Completions == nil {
		return apivalidation.ValidateImmutableField(spec.Completions, old.Completions, path.Child("completions"))
	}
	if !equality.Semantic.DeepEqual(spec.Completions, spec.Parallelism) {
		return field.ErrorList{field.Invalid(path.Child("completions"), *spec.Completions, "can only be modified in tandem with parallelism")}
	}
	return nil
}

// templateBefore returns the template that j must still have. What decides where pods go may change while the job is
// suspended and has not started a pod (KEP-2926).
func templateBefore(j, old *batchv1.Job) *corev1.PodTemplateSpec {
	suspended := old.Spec.Suspend != nil && *old.Spec.Suspend
	if !suspended || old.Status.StartTime != nil {
		return &old.Spec.Template
	}
	was, is := old.Spec.Template.DeepCopy(), &j.Spec.Template
	if is.Spec.Affinity != nil {
		if was.Spec.Affinity == nil {
			was.Spec.Affinity = &corev1.Affinity{}
		}
		was.Spec.Affinity.NodeAffinity = is.Spec.Affinity.NodeAffinity
	} else if was.Spec.Affinity != nil {
		was.Spec.Affinity.NodeAffinity = nil
		if *was.Spec.Affinity == (corev1.Affinity{}) {
			was.Spec.Affinity = nil
		}
	}
	was.Spec.NodeSelector = is.Spec.NodeSelector
	was.Spec.Tolerations = is.Spec.Tolerations
	was.Annotations = is.Annotations
	was.Labels = is.Labels
	was.Spec.SchedulingGates = is.Spec.SchedulingGates
	return was
}

func validateJobStatus(j, old *batchv1.Job) field.ErrorList {
	path, s := field.NewPath("status"), &j.Status
	errs := core.NonNegative(path.Child("active"), &s.Active)
	errs = append(errs, core.NonNegative(path.Child("succeeded"), &s.Succeeded)...)
	errs = append(errs, core.NonNegative(path.Child("failed"), &s.Failed)...)
	errs = append(errs, core.NonNegative(path.Child("ready"), s.Ready)...)
	errs = append(errs, core.NonNegative(path.Child("terminating"), s.Terminating)...)
	if u := s.UncountedTerminatedPods; u != nil {
		seen := sets.New[string]()
		for i, id := range u.Succeeded {
			errs = append(errs, uncounted(path.Child("uncountedTerminatedPods", "succeeded").Index(i), string(id), seen)...)
		}
		for i, id := range u.Failed {
			errs = append(errs, uncounted(path.Child("uncountedTerminatedPods", "failed").Index(i), string(id), seen)...)
		}
	}
	complete, failed := hasCondition(j, batchv1.JobComplete), hasCondition(j, batchv1.JobFailed)
	if complete && failed {
		errs = append(errs, field.Invalid(path.Child("conditions"), s.Conditions, "cannot set Complete=True and Failed=true conditions"))
	}
	if hasCondition(old, batchv1.JobComplete) && !complete {
		errs = append(errs, field.Invalid(path.Child("conditions"), field.OmitValueType{}, "cannot disable the terminal Complete=True condition"))
	}
	if hasCondition(old, batchv1.JobFailed) && !failed {
		errs = append(errs, field.Invalid(path.Child("conditions"), field.OmitValueType{}, "cannot disable the terminal Failed=True condition"))
	}
	if (complete || failed) && s.Active > 0 {
		errs = append(errs, field.Invalid(path.Child("active"), s.Active, "active>0 is invalid for finished job"))
	}
	if s.CompletionTime != nil && s.StartTime != nil && s.CompletionTime.Before(s.StartTime) {
		errs = append(errs, field.Invalid(path.Child("completionTime"), s.CompletionTime, "completionTime cannot be set before startTime"))
	}
	return errs
}

func uncounted(path *field.Path, id string, seen sets.Set[string]) field.ErrorList {
	var errs field.ErrorList
	if id == "" {
		errs = append(errs, field.Invalid(path, id, "must not be empty"))
	} else if seen.Has(id) {
		errs = append(errs, field.Duplicate(path, id))
	}
	seen.Insert(id)
	return errs
}
