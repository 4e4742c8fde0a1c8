package core

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateService(s *corev1.Service) field.ErrorList {
	path, spec := field.NewPath("spec"), &s.Spec
	headless := spec.ClusterIP == corev1.ClusterIPNone
	var errs field.ErrorList
	if len(spec.Ports) == 0 && !headless && spec.Type != corev1.ServiceTypeExternalName {
		errs = append(errs, field.Required(path.Child("ports"), ""))
	}
	switch spec.Type {
	case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if headless {
			errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(0), spec.ClusterIP, fmt.Sprintf("may not be set to 'None' for %s services", spec.Type)))
		}
	case corev1.ServiceTypeExternalName:
		errs = append(errs, validateExternalName(spec, path)...)
	}
	errs = append(errs, OneOf(path.Child("type"), spec.Type, corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)...)
	errs = append(errs, validateServicePorts(spec, headless, path.Child("ports"))...)
	if spec.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabels(spec.Selector, path.Child("selector"))...)
	}
	errs = append(errs, validateAffinityOf(spec, path)...)
	errs = append(errs, validateClusterIPs(spec, path)...)
	for i, ip := range spec.ExternalIPs {
		errs = append(errs, validation.IsValidIPForLegacyField(path.Child("externalIPs").Index(i), ip, true, nil)...)
	}
	errs = append(errs, validateTrafficPolicies(s, path)...)
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		if spec.AllocateLoadBalancerNodePorts != nil {
			errs = append(errs, field.Forbidden(path.Child("allocateLoadBalancerNodePorts"), "may only be used when `type` is 'LoadBalancer'"))
		}
		if len(spec.LoadBalancerSourceRanges) > 0 {
			errs = append(errs, field.Forbidden(path.Child("loadBalancerSourceRanges"), "may only be used when `type` is 'LoadBalancer'"))
		}
		if spec.LoadBalancerClass != nil {
			errs = append(errs, field.Forbidden(path.Child("loadBalancerClass"), "may only be used when `type` is 'LoadBalancer'"))
		}
	} else {
		for i, cidr := range spec.LoadBalancerSourceRanges {
			errs = append(errs, validation.IsValidCIDRForLegacyField(path.Child("loadBalancerSourceRanges").Index(i), cidr, true, nil)...)
		}
		if spec.AllocateLoadBalancerNodePorts == nil {
			errs = append(errs, field.Required(path.Child("allocateLoadBalancerNodePorts"), ""))
		}
	}
	return errs
}

func validateExternalName(spec *corev1.ServiceSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if spec.ClusterIP != "" {
		errs = append(errs, field.Forbidden(path.Child("clusterIPs"), "may not be set for ExternalName services"))
	}
	if len(spec.IPFamilies) > 0 {
		errs = append(errs, field.Forbidden(path.Child("ipFamilies"), "may not be set for ExternalName services"))
	}
	if spec.IPFamilyPolicy != nil {
		errs = append(errs, field.Forbidden(path.Child("ipFamilyPolicy"), "may not be set for ExternalName services"))
	}
	if spec.ExternalName == "" {
		return append(errs, field.Required(path.Child("externalName"), ""))
	}
	name := spec.ExternalName
	if name[len(name)-1] == '.' {
		name = name[:len(name)-1] // a fully qualified name may say so
	}
	return append(errs, invalids(path.Child("externalName"), spec.ExternalName, validation.IsDNS1123Subdomain(name))...)
}

func validateServicePorts(spec *corev1.ServiceSpec, headless bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	type number struct {
		protocol corev1.Protocol
		port     int32
	}
	ports, nodePorts := sets.New[number](), sets.New[number]()
	named := len(spec.Ports) > 1
	for i, port := range spec.Ports {
		p := path.Index(i)
		switch {
		case port.Name == "" && named:
			errs = append(errs, field.Required(p.Child("name"), ""))
		case port.Name != "":
			errs = append(errs, dnsLabel(p.Child("name"), port.Name)...)
			if names.Has(port.Name) {
				errs = append(errs, field.Duplicate(p.Child("name"), port.Name))
			}
			names.Insert(port.Name)
		}
		errs = append(errs, portNumber(p.Child("port"), port.Port)...)
		errs = append(errs, protocol(p.Child("protocol"), port.Protocol)...)
		errs = append(errs, portNumberOrName(p.Child("targetPort"), port.TargetPort)...)
		if port.AppProtocol != nil {
			errs = append(errs, qualifiedName(p.Child("appProtocol"), *port.AppProtocol)...)
		}
		if headless && port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal != port.Port {
			errs = append(errs, field.Invalid(p.Child("targetPort"), port.TargetPort, "must be equal to the value of 'port' when clusterIP = None"))
		}
		key := number{port.Protocol, port.Port}
		if ports.Has(key) {
			errs = append(errs, field.Duplicate(p, corev1.ServicePort{Protocol: port.Protocol, Port: port.Port}))
		}
		ports.Insert(key)
		if port.NodePort == 0 {
			continue
		}
		if spec.Type != corev1.ServiceTypeNodePort && spec.Type != corev1.ServiceTypeLoadBalancer {
			errs = append(errs, field.Forbidden(p.Child("nodePort"), fmt.Sprintf("may not be used when `type` is '%s'", spec.Type)))
		}
		key = number{port.Protocol, port.NodePort}
		if nodePorts.Has(key) {
			errs = append(errs, field.Duplicate(p.Child("nodePort"), port.NodePort))
		}
		nodePorts.Insert(key)
	}
	return errs
}

func validateAffinityOf(spec *corev1.ServiceSpec, path *field.Path) field.ErrorList {
	errs := OneOf(path.Child("sessionAffinity"), spec.SessionAffinity, corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	if c := spec.SessionAffinityConfig; spec.SessionAffinity == corev1.ServiceAffinityClientIP && c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		if s := *c.ClientIP.TimeoutSeconds; s <= 0 || s > 86400 {
			errs = append(errs, field.Invalid(path.Child("sessionAffinityConfig", "clientIP", "timeoutSeconds"), s, "must be greater than 0 and less than or equal to 86400"))
		}
	}
	return errs
}

func validateClusterIPs(spec *corev1.ServiceSpec, path *field.Path) field.ErrorList {
	if !hasClusterIP(spec.Type) {
		return nil
	}
	var errs field.ErrorList
	ips := path.Child("clusterIPs")
	if spec.ClusterIP != "" && len(spec.ClusterIPs) > 0 && spec.ClusterIPs[0] != spec.ClusterIP {
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "first value must match `clusterIP`"))
	}
	if spec.ClusterIP == "" && len(spec.ClusterIPs) > 0 {
		errs = append(errs, field.Required(path.Child("clusterIP"), "must not be empty when `clusterIPs` is specified"))
	}
	if slices.Contains(spec.ClusterIPs, corev1.ClusterIPNone) {
		if len(spec.ClusterIPs) > 1 {
			errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "'None' must be the first and only value"))
		}
		return errs
	}
	if len(spec.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "may only hold up to 2 values"))
	}
	for i, ip := range spec.ClusterIPs {
		errs = append(errs, validation.IsValidIPForLegacyField(ips.Index(i), ip, true, nil)...)
	}
	for i, family := range spec.IPFamilies {
		if family != corev1.IPv4Protocol && family != corev1.IPv6Protocol {
			errs = append(errs, field.NotSupported(path.Child("ipFamilies").Index(i), family, []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}))
		}
	}
	if p := spec.IPFamilyPolicy; p != nil {
		errs = append(errs, OneOf(path.Child("ipFamilyPolicy"), *p, corev1.IPFamilyPolicySingleStack, corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack)...)
	}
	return errs
}

func validateTrafficPolicies(s *corev1.Service, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	spec := &s.Spec
	switch {
	case externallyReached(s):
		errs = append(errs, OneOf(path.Child("externalTrafficPolicy"), spec.ExternalTrafficPolicy,
			corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)...)
	case spec.ExternalTrafficPolicy != "":
		errs = append(errs, field.Invalid(path.Child("externalTrafficPolicy"), spec.ExternalTrafficPolicy, "may only be set for externally-accessible services"))
	}
	if spec.HealthCheckNodePort != 0 && !needsHealthPort(s) {
		errs = append(errs, field.Invalid(path.Child("healthCheckNodePort"), spec.HealthCheckNodePort,
			"may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"))
	}
	if hasClusterIP(spec.Type) && spec.InternalTrafficPolicy != nil {
		errs = append(errs, OneOf(path.Child("internalTrafficPolicy"), *spec.InternalTrafficPolicy,
			corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)...)
	}
	if spec.TrafficDistribution != nil {
		errs = append(errs, OneOf(path.Child("trafficDistribution"), *spec.TrafficDistribution,
			corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode)...)
	}
	return errs
}

// validateServiceUpdate keeps the address of a service for its life; clients hold on to it.
func validateServiceUpdate(s, old *corev1.Service) field.ErrorList {
	errs := validateService(s)
	path := field.NewPath("spec")
	if hasClusterIP(s.Spec.Type) && hasClusterIP(old.Spec.Type) && old.Spec.ClusterIP != "" {
		errs = append(errs, apivalidation.ValidateImmutableField(s.Spec.ClusterIP, old.Spec.ClusterIP, path.Child("clusterIPs").Index(0))...)
		if s.Spec.ClusterIP == old.Spec.ClusterIP && len(s.Spec.IPFamilies) > 0 && len(old.Spec.IPFamilies) > 0 {
			errs = append(errs, apivalidation.ValidateImmutableField(s.Spec.IPFamilies[0], old.Spec.IPFamilies[0], path.Child("ipFamilies").Index(0))...)
		}
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && old.Spec.Type == corev1.ServiceTypeLoadBalancer {
		errs = append(errs, apivalidation.ValidateImmutableField(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass, path.Child("loadBalancerClass"))...)
	}
	return errs
}

func validateServiceStatus(s, _ *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status", "loadBalancer", "ingress")
	if len(s.Status.LoadBalancer.Ingress) > 0 && s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return field.ErrorList{field.Forbidden(path, "may only be used when `spec.type` is \"LoadBalancer\"")}
	}
	for i, in := range s.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(path.Index(i).Child("ip"), in.IP, true, nil)...)
		}
		if in.Hostname != "" {
			errs = append(errs, invalids(path.Index(i).Child("hostname"), in.Hostname, validation.IsDNS1123Subdomain(in.Hostname))...)
		}
	}
	return errs
}
