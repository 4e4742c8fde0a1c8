package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePodTemplate checks a pod template that a workload stamps pods from.
func ValidatePodTemplate(template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(template.Labels, path.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(template.Annotations, path.Child("annotations"))...)
	errs = append(errs, validatePodSpec(&template.Spec, path.Child("spec"))...)
	if len(template.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}

// ValidateSelectedTemplate checks the template of a workload whose pods never finish: the selector must
// select what the template makes, or the workload would never find its pods. workload is used in messages.
func ValidateSelectedTemplate(template *corev1.PodTemplateSpec, selector *metav1.LabelSelector, workload string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s, err := metav1.LabelSelectorAsSelector(selector); err == nil && !s.Empty() && !s.Matches(labels.Set(template.Labels)) {
		errs = append(errs, field.Invalid(path.Child("metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	}
	errs = append(errs, ValidatePodTemplate(template, path)...)
	if p := template.Spec.RestartPolicy; p != corev1.RestartPolicyAlways {
		errs = append(errs, field.NotSupported(path.Child("spec", "restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if template.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(path.Child("spec", "activeDeadlineSeconds"),
			"activeDeadlineSeconds in "+workload+" is not Supported"))
	}
	return errs
}

func validatePod(pod *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePodSpec(&pod.Spec, path)
	if len(pod.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if len(pod.Spec.SchedulingGates) > 0 && pod.Spec.NodeName != "" {
		errs = append(errs, field.Forbidden(path.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	return errs
}

func validatePodSpec(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	volumes, errs := validateVolumes(spec.Volumes, path.Child("volumes"))
	errs = append(errs, validateContainers(spec, volumes, path)...)
	errs = append(errs, validatePodPolicies(spec, path)...)
	errs = append(errs, validatePodNames(spec, path)...)
	errs = append(errs, validatePodPlacement(spec, path)...)
	errs = append(errs, validatePodSecurity(spec.SecurityContext, path.Child("securityContext"))...)
	if spec.SecurityContext != nil && spec.HostPID && spec.ShareProcessNamespace != nil && *spec.ShareProcessNamespace {
		errs = append(errs, field.Invalid(path.Child("shareProcessNamespace"), *spec.ShareProcessNamespace, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	if spec.Resources != nil {
		errs = append(errs, validateResources(spec.Resources, path.Child("resources"))...)
	}
	return errs
}

// validatePodPolicies checks the fields that take one of a few words, and the time limits.
func validatePodPolicies(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, OneOf(path.Child("restartPolicy"), spec.RestartPolicy,
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	errs = append(errs, OneOf(path.Child("dnsPolicy"), spec.DNSPolicy,
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	if spec.DNSPolicy == corev1.DNSNone && (spec.DNSConfig == nil || len(spec.DNSConfig.Nameservers) == 0) {
		errs = append(errs, field.Required(path.Child("dnsConfig", "nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone)))
	}
	errs = append(errs, validateDNSConfig(spec.DNSConfig, path.Child("dnsConfig"))...)
	if s := spec.TerminationGracePeriodSeconds; s == nil {
		errs = append(errs, field.Required(path.Child("terminationGracePeriodSeconds"), ""))
	}
	if s := spec.ActiveDeadlineSeconds; s != nil && (*s < 1 || *s > 1<<31-1) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *s, validation.InclusiveRangeError(1, 1<<31-1)))
	}
	if p := spec.PreemptionPolicy; p != nil {
		errs = append(errs, OneOf(path.Child("preemptionPolicy"), *p, corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	if spec.OS != nil {
		errs = append(errs, OneOf(path.Child("os", "name"), spec.OS.Name, corev1.Linux, corev1.Windows)...)
	}
	return errs
}

func validateDNSConfig(config *corev1.PodDNSConfig, path *field.Path) field.ErrorList {
	if config == nil {
		return nil
	}
	var errs field.ErrorList
	if len(config.Nameservers) > 3 {
		errs = append(errs, field.Invalid(path.Child("nameservers"), config.Nameservers, "must not have more than 3 nameservers"))
	}
	for i, ns := range config.Nameservers {
		errs = append(errs, validation.IsValidIP(path.Child("nameservers").Index(i), ns)...)
	}
	if len(config.Searches) > 32 {
		errs = append(errs, field.Invalid(path.Child("searches"), config.Searches, "must not have more than 32 search paths"))
	}
	for i, search := range config.Searches {
		for _, msg := range validation.IsDNS1123SubdomainWithUnderscore(strings.TrimSuffix(search, ".")) {
			errs = append(errs, field.Invalid(path.Child("searches").Index(i), search, msg))
		}
	}
	for i, option := range config.Options {
		if option.Name == "" {
			errs = append(errs, field.Required(path.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

// validatePodNames checks the names of other things that a pod refers to, and the pod's own host names.
func validatePodNames(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	subdomain := func(p *field.Path, name string) {
		for _, msg := range validation.IsDNS1123Subdomain(name) {
			errs = append(errs, field.Invalid(p, name, msg))
		}
	}
	label := func(p *field.Path, name string) {
		for _, msg := range validation.IsDNS1123Label(name) {
			errs = append(errs, field.Invalid(p, name, msg))
		}
	}
	if spec.NodeName != "" {
		subdomain(path.Child("nodeName"), spec.NodeName)
	}
	if spec.ServiceAccountName != "" {
		subdomain(path.Child("serviceAccountName"), spec.ServiceAccountName)
	}
	if spec.PriorityClassName != "" {
		subdomain(path.Child("priorityClassName"), spec.PriorityClassName)
	}
	if spec.RuntimeClassName != nil {
		subdomain(path.Child("runtimeClassName"), *spec.RuntimeClassName)
	}
	if spec.Hostname != "" {
		label(path.Child("hostname"), spec.Hostname)
	}
	if spec.Subdomain != "" {
		label(path.Child("subdomain"), spec.Subdomain)
	}
	if o := spec.HostnameOverride; o != nil {
		p := path.Child("hostnameOverride")
		subdomain(p, *o)
		if len(*o) > 64 { // the kernel's limit of a host name
			errs = append(errs, field.TooLong(p, *o, 64))
		}
		if spec.HostNetwork {
			errs = append(errs, field.Forbidden(p, "cannot be set when hostNetwork is enabled"))
		}
	}
	for i, alias := range spec.HostAliases {
		p := path.Child("hostAliases").Index(i)
		errs = append(errs, validation.IsValidIP(p.Child("ip"), alias.IP)...)
		for j, name := range alias.Hostnames {
			subdomain(p.Child("hostnames").Index(j), name)
		}
	}
	return errs
}

func validatePodPlacement(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	errs := metavalidation.ValidateLabels(spec.NodeSelector, path.Child("nodeSelector"))
	errs = append(errs, validateTolerations(spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, validateAffinity(spec.Affinity, path.Child("affinity"))...)
	errs = append(errs, validateTopologySpread(spec.TopologySpreadConstraints, path.Child("topologySpreadConstraints"))...)
	seen := sets.New[string]()
	for i, gate := range spec.SchedulingGates {
		p := path.Child("schedulingGates").Index(i)
		errs = append(errs, qualifiedName(p.Child("name"), gate.Name)...)
		if seen.Has(gate.Name) {
			errs = append(errs, field.Duplicate(p, gate.Name))
		}
		seen.Insert(gate.Name)
	}
	for i, gate := range spec.ReadinessGates {
		errs = append(errs, qualifiedName(path.Child("readinessGates").Index(i).Child("conditionType"), string(gate.ConditionType))...)
	}
	return errs
}

func validatePodSecurity(sc *corev1.PodSecurityContext, path *field.Path) field.ErrorList {
	if sc == nil {
		return nil
	}
	var errs field.ErrorList
	errs = append(errs, userID(path.Child("runAsUser"), sc.RunAsUser)...)
	errs = append(errs, groupID(path.Child("runAsGroup"), sc.RunAsGroup)...)
	errs = append(errs, groupID(path.Child("fsGroup"), sc.FSGroup)...)
	for i := range sc.SupplementalGroups {
		errs = append(errs, groupID(path.Child("supplementalGroups").Index(i), &sc.SupplementalGroups[i])...)
	}
	if p := sc.FSGroupChangePolicy; p != nil {
		errs = append(errs, OneOf(path.Child("fsGroupChangePolicy"), *p, corev1.FSGroupChangeOnRootMismatch, corev1.FSGroupChangeAlways)...)
	}
	seen := sets.New[string]()
	for i, s := range sc.Sysctls {
		p := path.Child("sysctls").Index(i)
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(p.Child("name"), ""))
		case seen.Has(s.Name):
			errs = append(errs, field.Duplicate(p.Child("name"), s.Name))
		}
		seen.Insert(s.Name)
	}
	errs = append(errs, validateSeccomp(sc.SeccompProfile, path.Child("seccompProfile"))...)
	return errs
}

func validateSeccomp(s *corev1.SeccompProfile, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := OneOf(path.Child("type"), s.Type, corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	switch {
	case s.Type == corev1.SeccompProfileTypeLocalhost && s.LocalhostProfile == nil:
		errs = append(errs, field.Required(path.Child("localhostProfile"), "must be set when seccomp type is Localhost"))
	case s.Type != corev1.SeccompProfileTypeLocalhost && s.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(path.Child("localhostProfile"), *s.LocalhostProfile, "can only be set when seccomp type is Localhost"))
	}
	return errs
}

func userID(path *field.Path, id *int64) field.ErrorList {
	if id == nil {
		return nil
	}
	return invalids(path, *id, validation.IsValidUserID(*id))
}

func groupID(path *field.Path, id *int64) field.ErrorList {
	if id == nil {
		return nil
	}
	return invalids(path, *id, validation.IsValidGroupID(*id))
}
