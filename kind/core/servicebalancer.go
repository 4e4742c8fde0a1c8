package core

import (
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func isBalanced(s *corev1.Service) bool { return s.Spec.Type == corev1.ServiceTypeLoadBalancer }

// validateBalancer checks what a service says to its load balancer.
func validateBalancer(s *corev1.Service, path *field.Path) field.ErrorList {
	const only = "may only be used when `type` is 'LoadBalancer'"
	var errs field.ErrorList
	forbid := func(p *field.Path) {
		if !isBalanced(s) {
			errs = append(errs, field.Forbidden(p, only))
		}
	}
	cidr := func(p *field.Path, text string) {
		// Values have been padded since the days when they were one annotation.
		errs = append(errs, validation.IsValidCIDRForLegacyField(p, strings.TrimSpace(text), true, nil)...)
	}
	annotation, annotated := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]
	switch {
	case len(s.Spec.LoadBalancerSourceRanges) > 0:
		p := path.Child("LoadBalancerSourceRanges") // upstream's spelling of the path
		forbid(p)
		for i, text := range s.Spec.LoadBalancerSourceRanges {
			cidr(p.Index(i), text)
		}
	case annotated:
		p := field.NewPath("metadata", "annotations").Key(corev1.AnnotationLoadBalancerSourceRangesKey)
		forbid(p)
		if strings.TrimSpace(annotation) != "" {
			for text := range strings.SplitSeq(annotation, ",") {
				cidr(p, text)
			}
		}
	}
	if s.Spec.AllocateLoadBalancerNodePorts != nil {
		forbid(path.Child("allocateLoadBalancerNodePorts"))
	} else if isBalanced(s) {
		errs = append(errs, field.Required(field.NewPath("allocateLoadBalancerNodePorts"), ""))
	}
	if class := s.Spec.LoadBalancerClass; class != nil {
		forbid(path.Child("loadBalancerClass"))
		if isBalanced(s) {
			errs = append(errs, qualifiedName(path.Child("loadBalancerClass"), *class)...)
		}
	}
	return errs
}

// validateServiceStatus checks what a load balancer says about a service.
func validateServiceStatus(s, _ *corev1.Service) field.ErrorList {
	path := field.NewPath("status", "loadBalancer", "ingress")
	list := s.Status.LoadBalancer.Ingress
	if len(list) > 0 && !isBalanced(s) {
		return field.ErrorList{field.Forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")}
	}
	var errs field.ErrorList
	for i, in := range list {
		p := path.Index(i)
		if in.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(p.Child("ip"), in.IP, true, nil)...)
		}
		switch {
		case in.IPMode == nil && in.IP != "":
			errs = append(errs, field.Required(p.Child("ipMode"), "must be specified when `ip` is set"))
		case in.IPMode != nil && in.IP == "":
			errs = append(errs, field.Forbidden(p.Child("ipMode"), "may not be specified when `ip` is not set"))
		case in.IPMode != nil:
			errs = append(errs, supported(p.Child("ipMode"), *in.IPMode, corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP)...)
		}
		if in.Hostname == "" {
			continue
		}
		errs = append(errs, invalids(p.Child("hostname"), in.Hostname, validation.IsDNS1123Subdomain(in.Hostname))...)
		if net.ParseIP(in.Hostname) != nil {
			errs = append(errs, field.Invalid(p.Child("hostname"), in.Hostname, "must be a DNS name, not an IP address"))
		}
	}
	return errs
}
