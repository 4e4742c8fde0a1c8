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
			return matches(r, given(obj.Spec.PriorityClassName))
		case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
			return crossNamespace(obj)
		}
	case *corev1.PersistentVolumeClaim:
		if r.ScopeName == corev1.ResourceQuotaScopeVolumeAttributesClass {
			return matches(r, attributesClasses(obj))
		}
	}
	return false
}

// terminating pods end by themselves: they have a deadline.
func terminating(pod *corev1.Pod) bool {
	return pod.Spec.ActiveDeadlineSeconds != nil && *pod.Spec.ActiveDeadlineSeconds >= 0
}

// attributesClasses are the class that a claim asks for, the one that its volume has, and the one that is on its way.
func attributesClasses(c *corev1.PersistentVolumeClaim) []string {
	var asked, has, coming string
	if name := c.Spec.VolumeAttributesClassName; name != nil {
		asked = *name
	}
	if name := c.Status.CurrentVolumeAttributesClassName; name != nil {
		has = *name
	}
	if s := c.Status.ModifyVolumeStatus; s != nil {
		coming = s.TargetVolumeAttributesClassName
	}
	return given(asked, has, coming)
}

// given returns those of the names that are not empty.
func given(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// matches reports whether one of an object's names, or having none, meets a requirement.
func matches(r corev1.ScopedResourceSelectorRequirement, names []string) bool {
	named := func(name string) bool { return slices.Contains(r.Values, name) }
	switch r.Operator {
	case corev1.ScopeSelectorOpIn:
		return slices.ContainsFunc(names, named)
	case corev1.ScopeSelectorOpNotIn:
		return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return !named(name) })
	case corev1.ScopeSelectorOpExists:
		return len(names) > 0
	case corev1.ScopeSelectorOpDoesNotExist:
		return len(names) == 0
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
