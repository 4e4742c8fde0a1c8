package autoscaling

import (
	"errors"
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// The bounds of scaling rules.
const (
	maxPeriodSeconds = 1800
	maxWindowSeconds = 3600
)

// rules are what differs between checks of new and of changed autoscalers.
type rules struct {
	targetVersion version // what the target's apiVersion may be
	metricVersion version // the same for objects that metrics describe
}

// version says how strict an apiVersion is checked.
type version int

const (
	withGroup version = iota // well-formed and not of the core group, whose kinds cannot be scaled
	anyGroup
	unchecked
)

func validateAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	r := rules{targetVersion: withGroup, metricVersion: anyGroup}
	if h.Spec.ScaleTargetRef.Kind == "ReplicationController" {
		r.targetVersion = anyGroup // but this one
	}
	return validateSpec(&h.Spec, field.NewPath("spec"), r)
}

// validateAutoscalerUpdate bears with references that were accepted when apiVersions were not checked.
func validateAutoscalerUpdate(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	r := rules{targetVersion: withGroup, metricVersion: anyGroup}
	is, was := h.Spec.ScaleTargetRef, old.Spec.ScaleTargetRef
	switch {
	case is.APIVersion == was.APIVersion && is.Kind == was.Kind:
		r.targetVersion = unchecked
	case is.Kind == "ReplicationController":
		r.targetVersion = anyGroup
	}
	for _, m := range old.Spec.Metrics {
		if m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil && checkVersion(m.Object.DescribedObject.APIVersion, anyGroup) != nil {
			r.metricVersion = unchecked
		}
	}
	return validateSpec(&h.Spec, field.NewPath("spec"), r)
}

func validateSpec(spec *autoscalingv2.HorizontalPodAutoscalerSpec, path *field.Path, r rules) field.ErrorList {
	errs := core.NonNegative(path.Child("minReplicas"), spec.MinReplicas)
	if n := spec.MaxReplicas; n == 0 {
		errs = append(errs, field.Required(path.Child("maxReplicas"), ""))
	} else if n < 0 {
		errs = append(errs, field.Invalid(path.Child("maxReplicas"), n, "must be greater than or equal to 1"))
	}
	if n := spec.MinReplicas; n != nil && spec.MaxReplicas < *n {
		errs = append(errs, field.Invalid(path.Child("maxReplicas"), spec.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, validateReference(spec.ScaleTargetRef, path.Child("scaleTargetRef"), r.targetVersion)...)
	errs = append(errs, validateMetrics(spec, path.Child("metrics"), r.metricVersion)...)
	if b := spec.Behavior; b != nil {
		errs = append(errs, validateRules(b.ScaleUp, path.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateRules(b.ScaleDown, path.Child("behavior", "scaleDown"))...)
	}
	return errs
}

func validateReference(ref autoscalingv2.CrossVersionObjectReference, path *field.Path, v version) field.ErrorList {
	errs := kind.ValidateReference(ref.Kind, ref.Name, path)
	if err := checkVersion(ref.APIVersion, v); err != nil {
		errs = append(errs, field.Invalid(path.Child("apiVersion"), ref.APIVersion, err.Error()))
	}
	return errs
}

func checkVersion(apiVersion string, v version) error {
	if v == unchecked {
		return nil
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err == nil && v == withGroup && gv.Group == "" {
		err = errors.New("apiVersion must specify API group")
	}
	return err
}

func validateMetrics(spec *autoscalingv2.HorizontalPodAutoscalerSpec, path *field.Path, v version) field.ErrorList {
	var errs field.ErrorList
	outside := false
	for i := range spec.Metrics {
		m := &spec.Metrics[i]
		errs = append(errs, validateMetric(m, path.Index(i), v)...)
		outside = outside || m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	}
	// Without a pod there is nothing to measure but what is outside of pods.
	if spec.MinReplicas != nil && *spec.MinReplicas == 0 && !outside {
		errs = append(errs, field.Forbidden(path, "must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	return errs
}

func validateRules(r *autoscalingv2.HPAScalingRules, path *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if w := r.StabilizationWindowSeconds; w != nil && *w < 0 {
		errs = append(errs, field.Invalid(path.Child("stabilizationWindowSeconds"), *w, "must be greater than or equal to zero"))
	} else if w != nil && *w > maxWindowSeconds {
		errs = append(errs, field.Invalid(path.Child("stabilizationWindowSeconds"), *w, fmt.Sprintf("must be less than or equal to %v", maxWindowSeconds)))
	}
	if p := r.SelectPolicy; p != nil {
		known := []autoscalingv2.ScalingPolicySelect{autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect}
		if !slices.Contains(known, *p) {
			errs = append(errs, field.NotSupported(path.Child("selectPolicy"), *p, known))
		}
	}
	if r.Tolerance != nil && r.Tolerance.Sign() < 0 {
		errs = append(errs, field.Invalid(path.Child("tolerance"), text(r.Tolerance), apivalidation.IsNegativeErrorMsg))
	}
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(path.Child("policies"), "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		at := path.Child("policies").Index(i)
		if p.Type != autoscalingv2.PodsScalingPolicy && p.Type != autoscalingv2.PercentScalingPolicy {
			errs = append(errs, field.NotSupported(at.Child("type"), p.Type,
				[]autoscalingv2.HPAScalingPolicyType{autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy}))
		}
		if p.Value <= 0 {
			errs = append(errs, field.Invalid(at.Child("value"), p.Value, "must be greater than zero"))
		}
		switch {
		case p.PeriodSeconds <= 0:
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), p.PeriodSeconds, "must be greater than zero"))
		case p.PeriodSeconds > maxPeriodSeconds:
			errs = append(errs, field.Invalid(at.Child("periodSeconds"), p.PeriodSeconds, fmt.Sprintf("must be less than or equal to %v", maxPeriodSeconds)))
		}
	}
	return errs
}

func validateAutoscalerStatus(h, _ *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	path, s := field.NewPath("status"), &h.Status
	errs := core.NonNegative(path.Child("currentReplicas"), &s.CurrentReplicas)
	for i := range s.Conditions {
		errs = append(errs, core.NonNegative(path.Child("conditions").Index(i).Child("observedGeneration"), s.Conditions[i].ObservedGeneration)...)
	}
	return append(errs, core.NonNegative(path.Child("desiredReplicas"), &s.DesiredReplicas)...)
}
