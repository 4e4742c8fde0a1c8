package autoscaling

import (
	"fmt"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// HorizontalPodAutoscaler returns the kind HorizontalPodAutoscaler.
func HorizontalPodAutoscaler() *kind.Kind {
	return kind.Typed[*autoscalingv2.HorizontalPodAutoscaler]{
		ID: kind.HorizontalPodAutoscalers, Version: autoscalingv2.SchemeGroupVersion, Name: "HorizontalPodAutoscaler", Singular: "horizontalpodautoscaler",
		ShortNames: []string{"hpa"}, Categories: []string{"all"},
		New:     func() *autoscalingv2.HorizontalPodAutoscaler { return new(autoscalingv2.HorizontalPodAutoscaler) },
		NewList: func() runtime.Object { return new(autoscalingv2.HorizontalPodAutoscalerList) },

		Default: defaultAutoscaler,
		Counted: func(h *autoscalingv2.HorizontalPodAutoscaler) any { return &h.Spec },
		PrepareCreate: func(h *autoscalingv2.HorizontalPodAutoscaler) {
			h.Status = autoscalingv2.HorizontalPodAutoscalerStatus{}
			h.Annotations = withoutOurs(h.Annotations) // they mean something in version 1 only
		},
		PrepareUpdate: func(h, old *autoscalingv2.HorizontalPodAutoscaler) {
			h.Status = *old.Status.DeepCopy()
			h.Annotations = withoutOurs(h.Annotations)
		},

		Validate:       validateAutoscaler,
		ValidateUpdate: validateAutoscalerUpdate,

		PrepareStatus: func(h, old *autoscalingv2.HorizontalPodAutoscaler) {
			h.Spec = *old.Spec.DeepCopy()
			h.Annotations = withoutOurs(h.Annotations)
		},
		ValidateStatus: validateAutoscalerStatus,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Reference", "string", "What is scaled."),
			kind.Column("Targets", "string", "Metrics, measured and wanted."),
			kind.Column("MinPods", "string", "Pods at least."),
			kind.Column("MaxPods", "string", "Pods at most."),
			kind.Column("Replicas", "string", "Pods that exist."),
			kind.AgeColumn(),
		},
		Row: func(h *autoscalingv2.HorizontalPodAutoscaler, now time.Time) []any {
			min := "<unset>"
			if h.Spec.MinReplicas != nil {
				min = fmt.Sprint(*h.Spec.MinReplicas)
			}
			return []any{h.Name, h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name, targets(h), min,
				fmt.Sprint(h.Spec.MaxReplicas), fmt.Sprint(h.Status.CurrentReplicas), kind.Age(h, now)}
		},
		Versions: []kind.Version{versionV1()},
	}.Kind()
}

func defaultAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	spec := &h.Spec
	if spec.MinReplicas == nil {
		spec.MinReplicas = new(int32(1))
	}
	if len(spec.Metrics) == 0 {
		spec.Metrics = []autoscalingv2.MetricSpec{cpuMetric(80)}
	}
	if b := spec.Behavior; b != nil {
		b.ScaleUp = withDefaults(b.ScaleUp, autoscalingv2.HPAScalingRules{
			StabilizationWindowSeconds: new(int32(0)),
			SelectPolicy:               new(autoscalingv2.MaxChangePolicySelect),
			Policies: []autoscalingv2.HPAScalingPolicy{
				{Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
				{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15},
			},
		})
		// How long a lower recommendation must hold is the controller's own setting, unless it is written here.
		b.ScaleDown = withDefaults(b.ScaleDown, autoscalingv2.HPAScalingRules{
			SelectPolicy: new(autoscalingv2.MaxChangePolicySelect),
			Policies:     []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}},
		})
	}
}

// cpuMetric asks for an average use of CPU, in percent of what the pods request.
func cpuMetric(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{
		Type: autoscalingv2.ResourceMetricSourceType,
		Resource: &autoscalingv2.ResourceMetricSource{
			Name:   corev1.ResourceCPU,
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent},
		},
	}
}

func withDefaults(have *autoscalingv2.HPAScalingRules, rules autoscalingv2.HPAScalingRules) *autoscalingv2.HPAScalingRules {
	if have == nil {
		return &rules
	}
	if have.SelectPolicy != nil {
		rules.SelectPolicy = have.SelectPolicy
	}
	if have.StabilizationWindowSeconds != nil {
		rules.StabilizationWindowSeconds = have.StabilizationWindowSeconds
	}
	if have.Policies != nil {
		rules.Policies = have.Policies
	}
	rules.Tolerance = have.Tolerance
	return &rules
}

// text prints an amount. The copy matters: a Quantity keeps its printed form, and the object is shared.
func text(q *resource.Quantity) string {
	amount := *q
	return amount.String()
}

// targets prints the first two metrics as "cpu: 12%/80%".
func targets(h *autoscalingv2.HorizontalPodAutoscaler) string {
	const shown = 2
	if len(h.Spec.Metrics) == 0 {
		return "<none>"
	}
	var list []string
	for i := range h.Spec.Metrics {
		var status *autoscalingv2.MetricStatus
		if i < len(h.Status.CurrentMetrics) {
			status = &h.Status.CurrentMetrics[i]
		}
		list = append(list, target(&h.Spec.Metrics[i], status))
	}
	text := strings.Join(list[:min(len(list), shown)], ", ")
	if len(list) > shown {
		text += fmt.Sprintf(" + %d more...", len(list)-shown)
	}
	return text
}

func target(m *autoscalingv2.MetricSpec, status *autoscalingv2.MetricStatus) string {
	if status == nil {
		status = &autoscalingv2.MetricStatus{}
	}
	var want autoscalingv2.MetricTarget
	var have *autoscalingv2.MetricValueStatus
	label := ""
	switch {
	case m.Type == autoscalingv2.ExternalMetricSourceType && m.External != nil:
		want = m.External.Target
		if status.External != nil {
			have = &status.External.Current
		}
	case m.Type == autoscalingv2.PodsMetricSourceType && m.Pods != nil:
		want = m.Pods.Target
		if status.Pods != nil {
			have = &status.Pods.Current
		}
	case m.Type == autoscalingv2.ObjectMetricSourceType && m.Object != nil:
		want = m.Object.Target
		if status.Object != nil {
			have = &status.Object.Current
		}
	case m.Type == autoscalingv2.ResourceMetricSourceType && m.Resource != nil:
		want, label = m.Resource.Target, string(m.Resource.Name)+": "
		if status.Resource != nil {
			have = &status.Resource.Current
		}
	case m.Type == autoscalingv2.ContainerResourceMetricSourceType && m.ContainerResource != nil:
		want, label = m.ContainerResource.Target, string(m.ContainerResource.Name)+": "
		if status.ContainerResource != nil {
			have = &status.ContainerResource.Current
		}
	default:
		return "<unknown type>"
	}
	const unknown = "<unknown>"
	now := unknown
	switch {
	case want.AverageUtilization != nil:
		if have != nil && have.AverageUtilization != nil {
			now = fmt.Sprintf("%d%%", *have.AverageUtilization)
		}
		return fmt.Sprintf("%s%s/%d%%", label, now, *want.AverageUtilization)
	case want.AverageValue != nil:
		if have != nil && have.AverageValue != nil {
			now = text(have.AverageValue)
		}
		suffix := " (avg)"
		if label != "" || m.Pods != nil {
			suffix = ""
		}
		return fmt.Sprintf("%s%s/%s%s", label, now, text(want.AverageValue), suffix)
	case want.Value != nil:
		if have != nil && have.Value != nil {
			now = text(have.Value)
		}
		return fmt.Sprintf("%s%s/%s", label, now, text(want.Value))
	}
	return label + unknown + "/<auto>"
}
