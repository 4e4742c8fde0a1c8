package core

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateNode(n *corev1.Node) field.ErrorList {
	meta := field.NewPath("metadata")
	errs := validateTaints(n.Spec.Taints, meta.Child("taints")) // upstream's path
	errs = append(errs, validateNodeReport(n)...)
	if s := n.Status.NodeInfo.Swap; s != nil && s.Capacity != nil && *s.Capacity <= 0 {
		errs = append(errs, field.Invalid(meta.Child("nodeSwapStatus", "capacity"), *s.Capacity, "must be greater than zero"))
	}
	return append(errs, validatePodCIDRs(n.Spec.PodCIDRs, field.NewPath("spec", "podCIDRs"))...)
}

func validatePodCIDRs(cidrs []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	families := sets.New[corev1.IPFamily]()
	for i, cidr := range cidrs {
		errs = append(errs, validation.IsValidCIDRForLegacyField(path.Index(i), cidr, true, nil)...)
		address, _, _ := strings.Cut(cidr, "/")
		families.Insert(familyOf(address))
	}
	if len(cidrs) > 1 && families.Len() != len(cidrs) {
		errs = append(errs, field.Invalid(path, cidrs, "may specify no more than one CIDR for each IP family"))
	}
	return errs
}

// validateNodeReport checks what a node's agent may write together with the node's status.
func validateNodeReport(n *corev1.Node) field.ErrorList {
	errs := validateNodeAnnotations(n.Annotations, field.NewPath("metadata", "annotations"))
	errs = append(errs, validateNodeResources(n)...)
	return append(errs, validateDeclaredFeatures(n.Status.DeclaredFeatures, field.NewPath("status", "declaredFeatures"))...)
}

// validateNodeAnnotations checks the annotations in which taints, and the controllers to avoid, were written before
// there were fields for them.
func validateNodeAnnotations(annotations map[string]string, path *field.Path) field.ErrorList {
	const taintsAnnotation = "scheduler.alpha.kubernetes.io/taints"
	var errs field.ErrorList
	if text := annotations[taintsAnnotation]; text != "" {
		var taints []corev1.Taint
		if err := json.Unmarshal([]byte(text), &taints); err != nil {
			errs = append(errs, field.Invalid(path, taintsAnnotation, err.Error()))
		} else {
			errs = append(errs, validateTaints(taints, path.Child(taintsAnnotation))...)
		}
	}
	text := annotations[corev1.PreferAvoidPodsAnnotationKey]
	if text == "" {
		return errs
	}
	var avoid corev1.AvoidPods
	if err := json.Unmarshal([]byte(text), &avoid); err != nil {
		return append(errs, field.Invalid(path.Child("AvoidPods"), corev1.PreferAvoidPodsAnnotationKey, err.Error()))
	}
	for i, entry := range avoid.PreferAvoidPods {
		p := path.Child(corev1.PreferAvoidPodsAnnotationKey).Index(i).Child("PodSignature")
		switch owner := entry.PodSignature.PodController; {
		case owner == nil:
			errs = append(errs, field.Required(p, ""))
		case !isTrue(owner.Controller):
			errs = append(errs, field.Invalid(p.Child("PodController", "Controller"), false, "must point to a controller"))
		}
	}
	return errs
}

func validateNodeResources(n *corev1.Node) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		name      string
		resources corev1.ResourceList
	}{{"capacity", n.Status.Capacity}, {"allocatable", n.Status.Allocatable}} {
		for _, name := range sortedNames(list.resources) {
			errs = append(errs, resourceAmount(name, list.resources[name], field.NewPath("status", list.name, string(name)))...)
		}
	}
	return errs
}

func validateTaints(taints []corev1.Taint, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	type pair struct {
		key    string
		effect corev1.TaintEffect
	}
	seen := sets.New[pair]()
	for i, t := range taints {
		p := path.Index(i)
		errs = append(errs, metavalidation.ValidateLabelName(t.Key, p.Child("key"))...)
		if msgs := validation.IsValidLabelValue(t.Value); len(msgs) > 0 {
			errs = append(errs, field.Invalid(p.Child("value"), t.Value, strings.Join(msgs, ";")))
		}
		errs = append(errs, taintEffect(p.Child("effect"), t.Effect)...)
		if seen.Has(pair{t.Key, t.Effect}) {
			err := field.Duplicate(p, t)
			err.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, err)
		}
		seen.Insert(pair{t.Key, t.Effect})
	}
	return errs
}

// validateDeclaredFeatures checks the features that a node's agent says it has (KEP-5328).
func validateDeclaredFeatures(features []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, name := range features {
		switch {
		case len(name) > validation.DNS1123SubdomainMaxLength:
			errs = append(errs, field.Invalid(path.Index(i), name, fmt.Sprintf("invalid feature name %q: must be no more than %d characters", name, validation.DNS1123SubdomainMaxLength)))
		case !isFeatureName(name):
			errs = append(errs, field.Invalid(path.Index(i), name, fmt.Sprintf("invalid feature name %q: must start with an UpperCamelCase segment, with subsequent segments separated by '/' "+
				"(e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes", name)))
		}
		switch {
		case i == 0:
		case name == features[i-1]:
			errs = append(errs, field.Duplicate(path.Index(i), name))
		case name < features[i-1]:
			errs = append(errs, field.Invalid(path.Index(i), name, "list must be sorted alphabetically"))
		}
	}
	return errs
}

func isFeatureName(name string) bool {
	for i, part := range strings.Split(name, "/") {
		if part == "" || i == 0 && (part[0] < 'A' || part[0] > 'Z') || part[0] >= '0' && part[0] <= '9' {
			return false
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}

// validateNodeUpdate keeps what a node was given once, and checks what may have been said of it since.
func validateNodeUpdate(n, old *corev1.Node) field.ErrorList {
	spec, status := field.NewPath("spec"), field.NewPath("status")
	var errs field.ErrorList
	seen := sets.New[corev1.NodeAddress]()
	for i, a := range n.Status.Addresses {
		if seen.Has(a) {
			errs = append(errs, field.Duplicate(status.Child("addresses").Index(i), a))
		}
		seen.Insert(a)
	}
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(spec.Child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"))
	}
	if old.Spec.ProviderID != "" && n.Spec.ProviderID != old.Spec.ProviderID {
		errs = append(errs, field.Forbidden(spec.Child("providerID"), "node updates may not change providerID except from \"\" to valid"))
	}
	if n.Spec.ConfigSource != nil {
		errs = append(errs, validateConfigSource(n.Spec.ConfigSource, false, spec.Child("configSource"))...)
	}
	if c := n.Status.Config; c != nil {
		for _, f := range []struct {
			name   string
			source *corev1.NodeConfigSource
		}{{"assigned", c.Assigned}, {"active", c.Active}, {"lastKnownGood", c.LastKnownGood}} {
			if f.source != nil {
				errs = append(errs, validateConfigSource(f.source, true, status.Child("config", f.name))...)
			}
		}
	}
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		errs = append(errs, field.Forbidden(spec.Child("externalID"), "may not be updated"))
	}
	return errs
}

// validateConfigSource checks a reference to a ConfigMap with an agent's configuration, of a feature that nodes of old
// may still have. In the status it is exact: it names a version.
func validateConfigSource(s *corev1.NodeConfigSource, exact bool, path *field.Path) field.ErrorList {
	c := s.ConfigMap
	if c == nil {
		return field.ErrorList{field.Invalid(path, s, "exactly one reference subfield must be non-nil")}
	}
	var errs field.ErrorList
	p := path.Child("configMap")
	for _, f := range []struct{ name, value string }{{"uid", string(c.UID)}, {"resourceVersion", c.ResourceVersion}} {
		switch {
		case exact && f.value == "":
			errs = append(errs, field.Required(p.Child(f.name), ""))
		case !exact && f.value != "":
			errs = append(errs, field.Forbidden(p.Child(f.name), f.name+" must not be set in spec"))
		}
	}
	for _, f := range []struct {
		name, value string
		check       func(string) []string
	}{
		{"namespace", c.Namespace, func(v string) []string { return apivalidation.ValidateNamespaceName(v, false) }},
		{"name", c.Name, validation.IsDNS1123Subdomain},
		{"kubeletConfigKey", c.KubeletConfigKey, validation.IsConfigMapKey},
	} {
		if f.value == "" {
			errs = append(errs, field.Required(p.Child(f.name), ""))
			continue
		}
		errs = append(errs, invalids(p.Child(f.name), f.value, f.check(f.value))...)
	}
	return errs
}

func nodeWarnings(n *corev1.Node) []string {
	var warnings []string
	if n.Spec.ConfigSource != nil {
		warnings = append(warnings, "spec.configSource: the feature is removed")
	}
	if n.Spec.DoNotUseExternalID != "" {
		warnings = append(warnings, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, cidr := range n.Spec.PodCIDRs {
		warnings = append(warnings, validation.GetWarningsForCIDR(field.NewPath("spec", "podCIDRs").Index(i), cidr)...)
	}
	return warnings
}
