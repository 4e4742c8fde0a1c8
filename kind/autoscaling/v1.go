package autoscaling

import (
	"encoding/json"
	"maps"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// The annotations that carry what version 1 has no fields for. Their names and forms are upstream's, which old
// clients know.
const (
	metricsAnnotation    = "autoscaling.alpha.kubernetes.io/metrics"
	currentAnnotation    = "autoscaling.alpha.kubernetes.io/current-metrics"
	conditionsAnnotation = "autoscaling.alpha.kubernetes.io/conditions"
	behaviorAnnotation   = "autoscaling.alpha.kubernetes.io/behavior"
)

// versionV1 is autoscaling/v1, which knows the use of CPU only.
func versionV1() kind.Version {
	return kind.Version{
		ID: kind.HorizontalPodAutoscalers, GVK: autoscalingv1.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
		New:     func() kind.Object { return new(autoscalingv1.HorizontalPodAutoscaler) },
		NewList: func() runtime.Object { return new(autoscalingv1.HorizontalPodAutoscalerList) },
		Shown: func(obj kind.Object) kind.Object {
			return shownV1(obj.(*autoscalingv2.HorizontalPodAutoscaler))
		},
		Stored: func(obj kind.Object) kind.Object {
			return storedV1(obj.(*autoscalingv1.HorizontalPodAutoscaler))
		},
	}
}

func shownV1(h *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv1.HorizontalPodAutoscaler {
	out := &autoscalingv1.HorizontalPodAutoscaler{
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv1.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas,
			MaxReplicas:    h.Spec.MaxReplicas,
		},
		Status: autoscalingv1.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration,
			LastScaleTime:      h.Status.LastScaleTime,
			CurrentReplicas:    h.Status.CurrentReplicas,
			DesiredReplicas:    h.Status.DesiredReplicas,
		},
	}
	var metrics []autoscalingv1.MetricSpec
	for i := range h.Spec.Metrics {
		if n := cpuUtilization(&h.Spec.Metrics[i]); n != nil && out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = n
			continue
		}
		metrics = append(metrics, metricV1(&h.Spec.Metrics[i]))
	}
	var current []autoscalingv1.MetricStatus
	for i := range h.Status.CurrentMetrics {
		m := &h.Status.CurrentMetrics[i]
		if r := m.Resource; r != nil && r.Name == corev1.ResourceCPU && r.Current.AverageUtilization != nil {
			out.Status.CurrentCPUUtilizationPercentage = r.Current.AverageUtilization
		}
		current = append(current, statusV1(m))
	}
	var conditions []autoscalingv1.HorizontalPodAutoscalerCondition
	for _, c := range h.Status.Conditions {
		conditions = append(conditions, autoscalingv1.HorizontalPodAutoscalerCondition{
			Type: autoscalingv1.HorizontalPodAutoscalerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message, ObservedGeneration: c.ObservedGeneration,
		})
	}
	a := annotations{}
	out.Annotations = withoutOurs(h.Annotations)
	a.put(metricsAnnotation, metrics, len(metrics) > 0)
	a.put(currentAnnotation, current, len(current) > 0)
	a.put(conditionsAnnotation, conditions, len(conditions) > 0)
	a.put(behaviorAnnotation, behaviorV1(h.Spec.Behavior), h.Spec.Behavior != nil)
	if len(a) > 0 {
		all := maps.Clone(out.Annotations)
		if all == nil {
			all = make(map[string]string, len(a))
		}
		maps.Copy(all, a)
		out.Annotations = all
	}
	return out
}

func storedV1(h *autoscalingv1.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	out := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: h.ObjectMeta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(h.Spec.ScaleTargetRef),
			MinReplicas:    h.Spec.MinReplicas,
			MaxReplicas:    h.Spec.MaxReplicas,
		},
		Status: autoscalingv2.HorizontalPodAutoscalerStatus{
			ObservedGeneration: h.Status.ObservedGeneration,
			LastScaleTime:      h.Status.LastScaleTime,
			CurrentReplicas:    h.Status.CurrentReplicas,
			DesiredReplicas:    h.Status.DesiredReplicas,
		},
	}
	// What cannot be read in the annotations is dropped, as upstream does: they are no place for errors. The use of CPU
	// comes last, as there.
	var metrics []autoscalingv1.MetricSpec
	if read(h.Annotations, metricsAnnotation, &metrics) {
		for i := range metrics {
			out.Spec.Metrics = append(out.Spec.Metrics, metricV2(&metrics[i]))
		}
	}
	if n := h.Spec.TargetCPUUtilizationPercentage; n != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, cpuMetric(*n))
	}
	var current []autoscalingv1.MetricStatus
	if read(h.Annotations, currentAnnotation, &current) {
		for i := range current {
			out.Status.CurrentMetrics = append(out.Status.CurrentMetrics, statusV2(&current[i]))
		}
	} else if n := h.Status.CurrentCPUUtilizationPercentage; n != nil {
		out.Status.CurrentMetrics = []autoscalingv2.MetricStatus{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricStatus{Name: corev1.ResourceCPU,
				Current: autoscalingv2.MetricValueStatus{AverageUtilization: n}},
		}}
	}
	var conditions []autoscalingv2.HorizontalPodAutoscalerCondition
	if read(h.Annotations, conditionsAnnotation, &conditions) {
		out.Status.Conditions = conditions
	}
	var behavior autoscalingv2.HorizontalPodAutoscalerBehavior
	if read(h.Annotations, behaviorAnnotation, &behavior) && behavior != (autoscalingv2.HorizontalPodAutoscalerBehavior{}) {
		out.Spec.Behavior = &behavior
	}
	out.Annotations = withoutOurs(h.Annotations)
	return out
}

// withoutOurs returns annotations without those that carry a part of an object from one version to the other.
func withoutOurs(have map[string]string) map[string]string {
	ours := []string{metricsAnnotation, currentAnnotation, conditionsAnnotation, behaviorAnnotation}
	var out map[string]string
	for _, key := range ours {
		if _, ok := have[key]; ok {
			if out == nil {
				out = maps.Clone(have)
			}
			delete(out, key)
		}
	}
	switch {
	case out == nil:
		return have
	case len(out) == 0:
		return nil
	}
	return out
}

// annotations are values in JSON by name.
type annotations map[string]string

func (a annotations) put(key string, value any, there bool) {
	if !there {
		return
	}
	if data, err := json.Marshal(value); err == nil { // they are structs of the API, which all have a JSON form
		a[key] = string(data)
	}
}

func read(have map[string]string, key string, into any) bool {
	text, ok := have[key]
	return ok && json.Unmarshal([]byte(text), into) == nil
}

// cpuUtilization returns the wanted use of CPU if that is all that the metric is about.
func cpuUtilization(m *autoscalingv2.MetricSpec) *int32 {
	r := m.Resource
	if m.Type != autoscalingv2.ResourceMetricSourceType || r == nil || r.Name != corev1.ResourceCPU {
		return nil
	}
	return r.Target.AverageUtilization
}
