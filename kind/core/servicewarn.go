package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// serviceWarnings says what in a service is old, or has no effect.
func serviceWarnings(s *corev1.Service) []string {
	spec, path := &s.Spec, field.NewPath("spec")
	var warnings []string
	warn := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	address := func(p *field.Path, ip string) { warnings = append(warnings, validation.GetWarningsForIP(p, ip)...) }

	if _, ok := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; ok {
		warn("annotation %s is deprecated, please use %s instead", corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode)
	}
	if spec.ClusterIP != "" && !headless(spec) {
		for i, ip := range spec.ClusterIPs {
			address(path.Child("clusterIPs").Index(i), ip)
		}
	}
	named := spec.Type == corev1.ServiceTypeExternalName
	bare := spec.Type == corev1.ServiceTypeClusterIP && spec.ClusterIP == corev1.ClusterIPNone
	if bare && spec.LoadBalancerIP != "" {
		warn("spec.loadBalancerIP is ignored for headless services")
	}
	if bare && len(spec.ExternalIPs) > 0 {
		warn("spec.externalIPs is ignored for headless services")
	}
	if bare && spec.SessionAffinity != corev1.ServiceAffinityNone {
		warn("spec.SessionAffinity is ignored for headless services")
	}
	for i, ip := range spec.ExternalIPs {
		address(path.Child("externalIPs").Index(i), ip)
	}
	if len(spec.ExternalIPs) > 0 && !bare && !named {
		warn("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
	}
	if p := path.Child("loadBalancerIP"); spec.LoadBalancerIP != "" && len(validation.IsValidIPForLegacyField(p, spec.LoadBalancerIP, false, nil)) == 0 {
		address(p, spec.LoadBalancerIP) // anything else is kept as it is
	}
	for i, cidr := range spec.LoadBalancerSourceRanges {
		warnings = append(warnings, validation.GetWarningsForCIDR(path.Child("loadBalancerSourceRanges").Index(i), strings.TrimSpace(cidr))...)
	}
	if named && len(spec.ExternalIPs) > 0 {
		warn("spec.externalIPs is ignored when spec.type is %q", corev1.ServiceTypeExternalName)
	}
	if !named && spec.ExternalName != "" {
		warn("spec.externalName is ignored when spec.type is not %q", corev1.ServiceTypeExternalName)
	}
	if d := spec.TrafficDistribution; d != nil && *d == corev1.ServiceTrafficDistributionPreferClose {
		warn("spec.trafficDistribution: %q is deprecated; use %q", corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone)
	}
	return warnings
}

// serviceStatusWarnings says which addresses that a load balancer reports are written oddly.
func serviceStatusWarnings(s, _ *corev1.Service) []string {
	var warnings []string
	for i, in := range s.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			warnings = append(warnings, validation.GetWarningsForIP(field.NewPath("status", "loadBalancer", "ingress").Index(i), in.IP)...)
		}
	}
	return warnings
}
