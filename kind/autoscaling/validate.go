package autoscaling

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind/core"
)

// The bounds of scaling rules.
const (
	maxPeriodSeconds = 1800
	maxWindowSeconds = 3600
)

func validateAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	return validateSpec(&h.Spec, field.NewPath("spec"), 1)
}

// validateAutoscalerUpdate lets an autoscaler that may scale to zero stay so.
func validateAutoscalerUpdate(h, old *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	least := int32(1)
	if old.Spec.MinReplicas != nil && *old.Spec.MinReplicas == 0 {
		least = 0
	}
	return validateSpec(&h.Spec, field.NewPath("spec"), least)
}

func validateSpec(spec *autoscalingv2.HorizontalPodAutoscalerSpec, path *field.Path, least int32) field.ErrorList {
	var errs field.ErrorList
	if n := spec.MinReplicas; n != nil && *n < least {
		errs = append(errs, field.Invalid(path.Child("minReplicas"), *n, fmt.Sprintf("must be greater than or equal to %d", least)))
	}
	if spec.MaxReplicas < 1 {
		errs = append(errs, field.Invalid(path.Child("maxReplicas"), spec.MaxReplicas, "must be greater than 0"))
	}
	if n := spec.MinReplicas; n != nil && spec.MaxReplicas < *n {
		errs = append(errs, field.Invalid(path.Child("maxReplicas"), spec.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, validateReference(spec.ScaleTargetRef, path.Child("scaleTargetRef"))...)
	errs = append(errs, validateMetrics(spec, path.Child("metrics"), least)...)
	if b := spec.Behavior; b != nil {
		errs = append(errs, validateRules(b.ScaleUp, path.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateRules(b.ScaleDown, path.Child("behavior", "scaleDown"))...)
	}
	return errs
}

func validateReference(ref autoscalingv2.CrossVersionObjectReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct{ name, value string }{{"kind", ref.Kind}, {"name", ref.Name}} {
		if f.value == "" {
			errs = append(errs, field.Required(path.Child(f.name), ""))
			continue
		}
		for _, msg := range pathvalidation.IsValidPathSegmentName(f.value) {
			errs = append(errs, field.Invalid(path.Child(f.name), f.value, msg))
		}
	}
	return errs
}

func validateMetrics(spec *autoscalingv2.HorizontalPodAutoscalerSpec, path *field.Path, least int32) field.ErrorList {
	var errs field.ErrorList
	outside := false
	for i := range spec.Metrics {
		m := &spec.Metrics[i]
		errs = append(errs, validateMetric(m, path.Index(i))...)
		outside = outside || m.Type == autoscalingv2.ObjectMetricSourceType || m.Type == autoscalingv2.ExternalMetricSourceType
	}
	// Without a pod there is nothing to measure but what is outside of pods.
	if least == 0 && spec.MinReplicas != nil && *spec.MinReplicas == 0 && !outside {
		errs = append(errs, field.Forbidden(path, "must specify at least one Object or External metric to support scaling to zero replicas"))
	}
	return errs
}

func validateMetric(m *autoscalingv2.MetricSpec, path *field.Path) field.ErrorList {
	if m.Type == "" {
		return field.ErrorList{field.Required(path.Child("type"), "must specify a metric source type")}
	}
	sources := []struct {
		typ  autoscalingv2.MetricSourceType
		name string
		set  bool
	}{
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil},
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil},
	}
	var errs field.ErrorList
	known, expected := false, ""
	var types []autoscalingv2.MetricSourceType
	for _, s := range sources {
		types = append(types, s.typ)
		if s.typ == m.Type {
			known, expected = true, s.name
			if !s.set {
				errs = append(errs, field.Required(path.Child(s.name), "must populate information for the given metric source"))
			}
		}
	}
	if !known {
		return field.ErrorList{field.NotSupported(path.Child("type"), m.Type, types)}
	}
	for _, s := range sources {
		if s.set && s.name != expected {
			errs = append(errs, field.Forbidden(path.Child(s.name), "must populate the given metric source only"))
		}
	}
	if s := m.Object; s != nil {
		p := path.Child("object")
		errs = append(errs, validateReference(s.DescribedObject, p.Child("describedObject"))...)
		errs = append(errs, validateIdentifier(s.Metric, p.Child("metric"))...)
		errs = append(errs, validateTarget(s.Target, p.Child("target"))...)
		errs = append(errs, oneOfTwo(s.Target.Value == nil && s.Target.AverageValue == nil, p.Child("target", "averageValue"), "must set either a target value or averageValue")...)
	}
	if s := m.External; s != nil {
		p := path.Child("external")
		errs = append(errs, validateIdentifier(s.Metric, p.Child("metric"))...)
		errs = append(errs, validateTarget(s.Target, p.Child("target"))...)
		errs = append(errs, oneOfTwo(s.Target.Value == nil && s.Target.AverageValue == nil, p.Child("target", "averageValue"), "must set either a target value for metric or a per-pod target")...)
		if s.Target.Value != nil && s.Target.AverageValue != nil {
			errs = append(errs, field.Forbidden(p.Child("target", "value"), "may not set both a target value for metric and a per-pod target"))
		}
	}
	if s := m.Pods; s != nil {
		p := path.Child("pods")
		errs = append(errs, validateIdentifier(s.Metric, p.Child("metric"))...)
		errs = append(errs, validateTarget(s.Target, p.Child("target"))...)
		if s.Target.AverageValue == nil || s.Target.AverageValue.Sign() != 1 {
			errs = append(errs, field.Required(p.Child("target", "averageValue"), "must specify a positive target averageValue"))
		}
	}
	if s := m.ContainerResource; s != nil {
		p := path.Child("containerResource")
		if s.Container == "" {
			errs = append(errs, field.Required(p.Child("container"), "must specify a container name"))
		}
		errs = append(errs, validateResourceTarget(string(s.Name), s.Target, p)...)
	}
	if s := m.Resource; s != nil {
		errs = append(errs, validateResourceTarget(string(s.Name), s.Target, path.Child("resource"))...)
	}
	return errs
}

func oneOfTwo(missing bool, path *field.Path, text string) field.ErrorList {
	if missing {
		return field.ErrorList{field.Required(path, text)}
	}
	return nil
}

func validateResourceTarget(name string, t autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(path.Child("name"), "must specify a resource name"))
	}
	errs = append(errs, validateTarget(t, path.Child("target"))...)
	if t.AverageUtilization == nil && t.AverageValue == nil {
		errs = append(errs, field.Required(path.Child("target", "averageUtilization"), "must set either a target raw value or a target utilization"))
	}
	if t.AverageUtilization != nil && t.AverageValue != nil {
		errs = append(errs, field.Forbidden(path.Child("target", "averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateIdentifier(id autoscalingv2.MetricIdentifier, path *field.Path) field.ErrorList {
	if id.Name == "" {
		return field.ErrorList{field.Required(path.Child("name"), "must specify a metric name")}
	}
	var errs field.ErrorList
	for _, msg := range pathvalidation.IsValidPathSegmentName(id.Name) {
		errs = append(errs, field.Invalid(path.Child("name"), id.Name, msg))
	}
	return errs
}

func validateTarget(t autoscalingv2.MetricTarget, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Type == "" {
		errs = append(errs, field.Required(path.Child("type"), "must specify a metric target type"))
	}
	switch t.Type {
	case "", autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	default:
		errs = append(errs, field.Invalid(path.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	}
	for _, f := range []struct {
		name string
		q    *resource.Quantity
	}{{"value", t.Value}, {"averageValue", t.AverageValue}} {
		if f.q != nil && f.q.Sign() != 1 {
			errs = append(errs, field.Invalid(path.Child(f.name), text(f.q), "must be positive"))
		}
	}
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		errs = append(errs, field.Invalid(path.Child("averageUtilization"), t.AverageUtilization, "must be greater than 0"))
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
		errs = append(errs, core.OneOf(path.Child("selectPolicy"), *p,
			autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)...)
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
	return append(errs, core.NonNegative(path.Child("desiredReplicas"), &s.DesiredReplicas)...)
}
