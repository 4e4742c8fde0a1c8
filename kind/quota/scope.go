package quota

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/kind/core"
)

// Selects reports whether a quota's scopes select an object: all of them must. Only pods and claims have scopes, so
// a quota with scopes selects no object of another kind.
func Selects(q *corev1.ResourceQuota, obj kind.Object) bool {
	for _, scope := range q.Spec.Scopes {
		if !inScope(corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists}, obj) {
			return false
		}
	}
	if q.Spec.ScopeSelector == nil {
		return true
	}
	for _, r := range q.Spec.ScopeSelector.MatchExpressions {
		if !inScope(r, obj) {
			return false
		}
	}
	return true
}

func inScope(r corev1.ScopedResourceSelectorRequirement, obj kind.Object) bool {
	switch obj := obj.(type) {
	case *corev1.Pod:
		switch r.ScopeName {
		case corev1.ResourceQuotaScopeTerminating:
			return terminating(obj)
		case corev1.ResourceQuotaScopeNotTerminating:
			return !terminating(obj)
		case corev1.ResourceQuotaScopeBestEffort:
			return core.QOSClass(&obj.Spec) == corev1.PodQOSBestEffort
		case corev1.ResourceQuotaScopeNotBestEffort:
			return core.QOSClass(&obj.Spec) != corev1.PodQOSBestEffort
		case corev1.ResourceQuotaScopePriorityClass:
			return matches(r, obj.Spec.PriorityClassName)
		case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
			return crossNamespace(obj)
		}
	case *corev1.PersistentVolumeClaim:
		if r.ScopeName == corev1.ResourceQuotaScopeVolumeAttributesClass {
			class := ""
			if c := obj.Spec.VolumeAttributesClassName; c != nil {
				class = *c
			}
			return matches(r, class)
		}
	}
	return false
}

// terminating pods end by themselves: they have a deadline.
func terminating(pod *corev1.Pod) bool {
	return pod.Spec.ActiveDeadlineSeconds != nil && *pod.Spec.ActiveDeadlineSeconds >= 0
}

func matches(r corev1.ScopedResourceSelectorRequirement, value string) bool {
	switch r.Operator {
	case corev1.ScopeSelectorOpIn:
		return value != "" && slices.Contains(r.Values, value)
	case corev1.ScopeSelectorOpNotIn:
		return !slices.Contains(r.Values, value)
	case corev1.ScopeSelectorOpExists:
		return value != ""
	case corev1.ScopeSelectorOpDoesNotExist:
		return value == ""
	}
	return false
}

func crossNamespace(pod *corev1.Pod) bool {
	a := pod.Spec.Affinity
	if a == nil {
		return false
	}
	elsewhere := func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil }
	weighted := func(t corev1.WeightedPodAffinityTerm) bool { return elsewhere(t.PodAffinityTerm) }
	if p := a.PodAffinity; p != nil && (slices.ContainsFunc(p.RequiredDuringSchedulingIgnoredDuringExecution, elsewhere) ||
		slices.ContainsFunc(p.PreferredDuringSchedulingIgnoredDuringExecution, weighted)) {
		return true
	}
	p := a.PodAntiAffinity
	return p != nil && (slices.ContainsFunc(p.RequiredDuringSchedulingIgnoredDuringExecution, elsewhere) ||
		slices.ContainsFunc(p.PreferredDuringSchedulingIgnoredDuringExecution, weighted))
}
