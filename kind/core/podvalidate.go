package core

import (
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidatePodTemplate checks a pod template that a workload stamps pods from.
func ValidatePodTemplate(template *corev1.PodTemplateSpec, path *field.Path) field.ErrorList {
	spec, specPath := &template.Spec, path.Child("spec")
	errs := metavalidation.ValidateLabels(template.Labels, path.Child("labels"))
	errs = append(errs, apivalidation.ValidateAnnotations(template.Annotations, path.Child("annotations"))...)
	errs = append(errs, validatePodAnnotations(template.Annotations, spec, path.Child("annotations"))...)
	errs = append(errs, validatePodSpec(spec, nil, specPath)...)
	errs = append(errs, validateProfilesMatch(template.Annotations, spec, specPath)...)
	if len(spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(specPath.Child("ephemeralContainers"), "ephemeral containers not allowed in pod template"))
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

// validatePod checks a pod at its creation.
func validatePod(pod *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateWholePod(pod)
	if len(pod.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(path.Child("ephemeralContainers"), "cannot be set on create"))
	}
	if pod.Spec.NodeName != "" && len(pod.Spec.SchedulingGates) > 0 {
		errs = append(errs, field.Forbidden(path.Child("nodeName"), "cannot be set until all schedulingGates have been cleared"))
	}
	return append(errs, validateProfilesMatch(pod.Annotations, &pod.Spec, path)...)
}

func validateOwnAnnotations(pod *corev1.Pod) field.ErrorList {
	return validatePodAnnotations(pod.Annotations, &pod.Spec, field.NewPath("metadata", "annotations"))
}

// validateWholePod checks what holds for a pod at any time: its spec, the annotations that the API knows, and what a
// template need not keep.
func validateWholePod(pod *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateOwnAnnotations(pod)
	errs = append(errs, validatePodSpec(&pod.Spec, &pod.ObjectMeta, path)...)
	if pod.Spec.ServiceAccountName == "" {
		for i := range pod.Spec.Volumes {
			if projected := pod.Spec.Volumes[i].Projected; projected != nil {
				for j := range projected.Sources {
					if projected.Sources[j].ServiceAccountToken != nil {
						errs = append(errs, field.Forbidden(path.Child("volumes").Index(i).Child("projected", "sources").Index(j).Child("serviceAccountToken"),
							"must not be specified when serviceAccountName is not set"))
					}
				}
			}
		}
	}
	eachContainer(&pod.Spec, path, func(c *corev1.Container, at containerAt) {
		if strings.TrimSpace(c.Image) != c.Image {
			errs = append(errs, field.Invalid(at.path().Child("image"), c.Image, "must not have leading or trailing whitespace"))
		}
	})
	return errs
}

// validatePodSpec checks a defaulted spec. meta is the metadata of its pod, nil in a template.
func validatePodSpec(spec *corev1.PodSpec, meta *metav1.ObjectMeta, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	pod := &podRules{PodSpec: spec, meta: meta}
	if spec.TerminationGracePeriodSeconds == nil {
		errs = append(errs, field.Required(path.Child("terminationGracePeriodSeconds"), ""))
	}
	errs = append(errs, pod.validateVolumes(path)...)
	errs = append(errs, pod.validateResourceClaims(path)...)
	errs = append(errs, pod.validateContainers(path)...)
	errs = append(errs, pod.validatePodResources(path)...)
	errs = append(errs, pod.validateHostPorts(path)...)
	errs = append(errs, validatePodPolicies(spec, path)...)
	errs = append(errs, pod.validatePodSecurity(path)...)
	errs = append(errs, pod.validateHostNamespaces(path)...)
	errs = append(errs, validatePodPlacement(spec, path)...)
	errs = append(errs, validatePodDNS(spec, path)...)
	errs = append(errs, validatePodNames(spec, path)...)
	if spec.Overhead != nil {
		errs = append(errs, validateResources(&corev1.ResourceRequirements{Limits: spec.Overhead}, containerResourceName, nil, path.Child("overhead"))...)
	}
	errs = append(errs, pod.validateOS(path)...)
	errs = append(errs, pod.validateGroup(path)...)
	return append(errs, pod.validateEnvFiles(path)...)
}

// validatePodPolicies checks the fields that take one of a few words, and the time limit.
func validatePodPolicies(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch spec.RestartPolicy {
	case corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever:
	default:
		errs = append(errs, OneOf(path.Child("restartPolicy"), spec.RestartPolicy,
			corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)...)
	}
	switch spec.DNSPolicy {
	case corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone:
	default:
		errs = append(errs, OneOf(path.Child("dnsPolicy"), spec.DNSPolicy,
			corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)...)
	}
	if s := spec.ActiveDeadlineSeconds; s != nil && (*s < 1 || *s > math.MaxInt32) {
		errs = append(errs, field.Invalid(path.Child("activeDeadlineSeconds"), *s, validation.InclusiveRangeError(1, math.MaxInt32)))
	}
	if p := spec.PreemptionPolicy; p != nil {
		errs = append(errs, OneOf(path.Child("preemptionPolicy"), *p, corev1.PreemptLowerPriority, corev1.PreemptNever)...)
	}
	for i, gate := range spec.ReadinessGates {
		errs = append(errs, qualifiedName(path.Child("readinessGates").Index(i).Child("conditionType"), string(gate.ConditionType))...)
	}
	return errs
}

// validatePodNames checks the names of other things that a pod refers to, and the pod's own host names.
func validatePodNames(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	errs := validateHostNameOverride(spec, path)
	if spec.ServiceAccountName != "" {
		errs = append(errs, subdomainIn(path, "serviceAccountName", spec.ServiceAccountName)...)
	}
	if spec.NodeName != "" {
		errs = append(errs, subdomainIn(path, "nodeName", spec.NodeName)...)
	}
	if spec.Hostname != "" {
		errs = append(errs, labelIn(path, "hostname", spec.Hostname)...)
	}
	if spec.Subdomain != "" {
		errs = append(errs, labelIn(path, "subdomain", spec.Subdomain)...)
	}
	for i, alias := range spec.HostAliases {
		p := path.Child("hostAliases").Index(i)
		errs = append(errs, legacyIP(p.Child("ip"), alias.IP)...)
		for j, name := range alias.Hostnames {
			errs = append(errs, invalids(p.Child("hostnames").Index(j), name, validation.IsDNS1123Subdomain(name))...)
		}
	}
	if spec.PriorityClassName != "" {
		errs = append(errs, subdomainIn(path, "priorityClassName", spec.PriorityClassName)...)
	}
	if spec.RuntimeClassName != nil {
		errs = append(errs, subdomainIn(path, "runtimeClassName", *spec.RuntimeClassName)...)
	}
	return errs
}

// validateHostNameOverride checks the name that goes before all others (KEP-4762).
func validateHostNameOverride(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	name := spec.HostnameOverride
	if name == nil {
		return nil
	}
	var errs field.ErrorList
	p := path.Child("hostnameOverride")
	if isTrue(spec.SetHostnameAsFQDN) {
		errs = append(errs, field.Forbidden(p, "may not be specified when setHostnameAsFQDN is true"))
	}
	if spec.HostNetwork {
		errs = append(errs, field.Forbidden(p, "may not be specified when hostNetwork is true"))
	}
	const longest = 64 // of a host name in the kernel
	if len(*name) > longest {
		errs = append(errs, field.TooLong(p, "", longest))
	}
	return append(errs, invalids(p, *name, validation.IsDNS1123Subdomain(*name))...)
}

// validatePodDNS checks how names are looked up. The limits are those of the C library.
func validatePodDNS(spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	config := spec.DNSConfig
	if config == nil && spec.DNSPolicy != corev1.DNSNone {
		return nil
	}
	p := path.Child("dnsConfig")
	switch {
	case config == nil:
		return field.ErrorList{field.Required(p, fmt.Sprintf("must provide `dnsConfig` when `dnsPolicy` is %s", corev1.DNSNone))}
	case spec.DNSPolicy == corev1.DNSNone && len(config.Nameservers) == 0:
		return field.ErrorList{field.Required(p.Child("nameservers"), fmt.Sprintf("must provide at least one DNS nameserver when `dnsPolicy` is %s", corev1.DNSNone))}
	}
	const maxServers, maxSearches, maxSearchLength = 3, 32, 2048
	var errs field.ErrorList
	if len(config.Nameservers) > maxServers {
		errs = append(errs, field.Invalid(p.Child("nameservers"), config.Nameservers, fmt.Sprintf("must not have more than %v nameservers", maxServers)))
	}
	for i, ns := range config.Nameservers {
		errs = append(errs, legacyIP(p.Child("nameservers").Index(i), ns)...)
	}
	if len(config.Searches) > maxSearches {
		errs = append(errs, field.Invalid(p.Child("searches"), config.Searches, fmt.Sprintf("must not have more than %v search paths", maxSearches)))
	}
	if len(strings.Join(config.Searches, " ")) > maxSearchLength {
		errs = append(errs, field.Invalid(p.Child("searches"), config.Searches, fmt.Sprintf("must not have more than %v characters (including spaces) in the search list", maxSearchLength)))
	}
	for i, search := range config.Searches {
		if search != "." {
			search = strings.TrimSuffix(search, ".")
			errs = append(errs, invalids(p.Child("searches").Index(i), search, validation.IsDNS1123SubdomainWithUnderscore(search))...)
		}
	}
	for i, option := range config.Options {
		if option.Name == "" {
			errs = append(errs, field.Required(p.Child("options").Index(i), "must not be empty"))
		}
	}
	return errs
}

// validateGroup checks the group that the pod is scheduled with, and who evicts it.
func (pod *podRules) validateGroup(path *field.Path) field.ErrorList {
	group, p := pod.SchedulingGroup, path.Child("schedulingGroup")
	if group == nil {
		return nil
	}
	var errs field.ErrorList
	if group.PodGroupName == nil {
		errs = append(errs, field.Invalid(p.Child("podGroupName"), group.PodGroupName, "must specify one of: `podGroupName`"))
	} else {
		errs = append(errs, subdomainIn(p, "podGroupName", *group.PodGroupName)...)
	}
	if len(pod.EvictionResponders) > 0 {
		errs = append(errs, field.Forbidden(p, "may not be set when evictionResponders is set"))
	}
	return errs
}
