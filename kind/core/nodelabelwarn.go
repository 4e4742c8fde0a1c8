package core

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// NodeLabelDeprecated returns what to use in place of a label of nodes that has gone out of use, or "".
func NodeLabelDeprecated(label string) string {
	switch label {
	case "beta.kubernetes.io/arch":
		return `deprecated since v1.14; use "kubernetes.io/arch" instead`
	case "beta.kubernetes.io/os":
		return `deprecated since v1.14; use "kubernetes.io/os" instead`
	case "failure-domain.beta.kubernetes.io/region":
		return `deprecated since v1.17; use "topology.kubernetes.io/region" instead`
	case "failure-domain.beta.kubernetes.io/zone":
		return `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`
	case "beta.kubernetes.io/instance-type":
		return `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`
	case "app.kubernetes.io/created-by":
		return "deprecated since v1.9"
	case "scheduler.alpha.kubernetes.io/preferAvoidPods":
		return "deprecated since v1.22; use Taints and Tolerations instead"
	case "node-role.kubernetes.io/master":
		return `use "node-role.kubernetes.io/control-plane" instead`
	}
	return ""
}

// NodeSelectorWarnings names the labels of a node selector that have gone out of use; at returns a label's place.
func NodeSelectorWarnings(selector map[string]string, at func(label string) *field.Path) []string {
	var warnings []string
	for _, label := range slices.Sorted(maps.Keys(selector)) {
		if use := NodeLabelDeprecated(label); use != "" {
			warnings = append(warnings, at(label).String()+": "+use)
		}
	}
	return warnings
}
