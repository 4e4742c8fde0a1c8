package batch

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind/core"
)

func validateFailurePolicy(spec *batchv1.JobSpec, path *field.Path) field.ErrorList {
	const maxRules, maxCodes, maxConditions = 20, 255, 20
	rules := spec.PodFailurePolicy.Rules
	var errs field.ErrorList
	if len(rules) > maxRules {
		errs = append(errs, field.TooMany(path.Child("rules"), len(rules), maxRules))
	}
	names := sets.New[string]()
	for _, list := range [][]corev1.Container{spec.Template.Spec.Containers, spec.Template.Spec.InitContainers} {
		for i := range list {
			names.Insert(list[i].Name)
		}
	}
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
			errs = append(errs, field.Invalid(p, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required"))
		case r.OnExitCodes != nil && len(r.OnPodConditions) > 0:
			errs = append(errs, field.Invalid(p, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported"))
		}
	}
	return errs
}

func validateExitCodes(e *batchv1.PodFailurePolicyOnExitCodesRequirement, names sets.Set[string], most int, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	operators := []batchv1.PodFailurePolicyOnExitCodesOperator{batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn}
	if e.Operator == "" {
		errs = append(errs, field.Required(path.Child("operator"), fmt.Sprintf("valid values: %q", operators)))
	} else {
		errs = core.OneOf(path.Child("operator"), e.Operator, operators...)
	}
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
	const maxRules, maxIndexes = 20, 64 * 1024 // in number; in bytes of the list
	rules := spec.SuccessPolicy.Rules
	var errs field.ErrorList
	switch {
	case len(rules) == 0:
		errs = append(errs, field.Required(path.Child("rules"), "at least one rules must be specified when the successPolicy is specified"))
	case len(rules) > maxRules:
		errs = append(errs, field.TooMany(path.Child("rules"), len(rules), maxRules))
	}
	for i, r := range rules {
		p := path.Child("rules").Index(i)
		if r.SucceededCount == nil && r.SucceededIndexes == nil {
			errs = append(errs, field.Required(p, "at least one of succeededCount or succeededIndexes must be specified"))
		}
		if spec.Completions == nil { // refused elsewhere, and then there are no indexes
			continue
		}
		var listed int64
		if list := r.SucceededIndexes; list != nil {
			at := p.Child("succeededIndexes")
			if len(*list) > maxIndexes {
				errs = append(errs, field.TooLong(at, *list, maxIndexes))
			}
			var err error
			if listed, err = countIndexes(*list, *spec.Completions); err != nil {
				errs = append(errs, field.Invalid(at, *list, fmt.Sprintf("error parsing succeededIndexes: %s", err)))
			}
		}
		if n := r.SucceededCount; n != nil {
			errs = append(errs, core.NonNegative(p.Child("succeededCount"), n)...)
			if c := *spec.Completions; *n > c {
				errs = append(errs, field.Invalid(p.Child("succeededCount"), *n, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", c)))
			}
			if r.SucceededIndexes != nil && int64(*n) > listed {
				errs = append(errs, field.Invalid(p.Child("succeededCount"), *n, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", listed)))
			}
		}
	}
	return errs
}
