package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// prepareService carries over what the API server has handed out and the writer did not repeat, and lets go
// of what the new type no longer has, so that a manifest can be applied again, also with another type.
func prepareService(s, old *corev1.Service) {
	s.Status = *old.Status.DeepCopy()
	keepAllocated(s, old)
	normalizeClusterIPs(s, old)
	dropUnneeded(s, old)
}

func keepAllocated(s, old *corev1.Service) {
	if hasClusterIP(s.Spec.Type) && hasClusterIP(old.Spec.Type) {
		if s.Spec.ClusterIP == "" {
			s.Spec.ClusterIP = old.Spec.ClusterIP
		}
		if len(s.Spec.ClusterIPs) == 0 && s.Spec.ClusterIP == old.Spec.ClusterIP {
			s.Spec.ClusterIPs = slices.Clone(old.Spec.ClusterIPs)
		}
	}
	if asksForNodePorts(s) && hasNodePorts(old) {
		keepNodePorts(s.Spec.Ports, old.Spec.Ports)
	}
	if needsHealthPort(s) && needsHealthPort(old) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
}

// normalizeClusterIPs lets writers who know only clusterIP, the older of two fields, change it or take it away. old is
// nil for a new service.
func normalizeClusterIPs(s, old *corev1.Service) {
	is := &s.Spec
	switch {
	case old == nil:
		if is.ClusterIP != "" && len(is.ClusterIPs) == 0 {
			is.ClusterIPs = []string{is.ClusterIP}
		}
	case is.ClusterIP == old.Spec.ClusterIP:
	case is.ClusterIP == "":
		if slices.Equal(is.ClusterIPs, old.Spec.ClusterIPs) {
			is.ClusterIPs = nil
		}
	case len(is.ClusterIPs) == 0, slices.Equal(is.ClusterIPs, old.Spec.ClusterIPs):
		is.ClusterIPs = []string{is.ClusterIP}
	}
}

// keepNodePorts gives ports without a node port the one that the port of that name had, unless another port has it now.
func keepNodePorts(ports, old []corev1.ServicePort) {
	had, used := make(map[string]int32), make(map[int32]bool)
	for _, p := range old {
		had[p.Name] = p.NodePort
	}
	for _, p := range ports {
		used[p.NodePort] = true
	}
	for i := range ports {
		p := &ports[i]
		if was := had[p.Name]; p.NodePort == 0 && was != 0 && !used[was] {
			p.NodePort = was
			used[was] = true
		}
	}
}

// dropUnneeded clears what belongs to the old type only, if the writer left it as it was.
func dropUnneeded(s, old *corev1.Service) {
	is, was := &s.Spec, &old.Spec
	if hasClusterIP(was.Type) && !hasClusterIP(is.Type) {
		if is.ClusterIP == was.ClusterIP && slices.Equal(is.ClusterIPs, was.ClusterIPs) {
			is.ClusterIP, is.ClusterIPs = "", nil
		}
		if slices.Equal(is.IPFamilies, was.IPFamilies) {
			is.IPFamilies = nil
		}
		if equalTo(is.IPFamilyPolicy, was.IPFamilyPolicy) {
			is.IPFamilyPolicy = nil
		}
	}
	if hasNodePorts(old) && !hasNodePorts(s) && sameNodePorts(is.Ports, was.Ports) {
		for i := range is.Ports {
			is.Ports[i].NodePort = 0
		}
	}
	if needsHealthPort(old) && !needsHealthPort(s) && is.HealthCheckNodePort == was.HealthCheckNodePort {
		is.HealthCheckNodePort = 0
	}
	if isBalanced(old) && !isBalanced(s) {
		if equalTo(is.AllocateLoadBalancerNodePorts, was.AllocateLoadBalancerNodePorts) {
			is.AllocateLoadBalancerNodePorts = nil
		}
		if equalTo(is.LoadBalancerClass, was.LoadBalancerClass) {
			is.LoadBalancerClass = nil
		}
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
	if externallyReached(old) && !externallyReached(s) && is.ExternalTrafficPolicy == was.ExternalTrafficPolicy {
		is.ExternalTrafficPolicy = ""
	}
}

func sameNodePorts(ports, old []corev1.ServicePort) bool {
	had := make(map[int32]bool)
	for _, p := range old {
		had[p.NodePort] = true
	}
	for _, p := range ports {
		if p.NodePort != 0 && !had[p.NodePort] {
			return false
		}
	}
	return true
}

// hasNodePorts reports whether the ports of a service may be open on every node.
func hasNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || isBalanced(s)
}

// asksForNodePorts reports whether each port of a service gets a node port. A balanced service may do without, but
// keeps those that it has until its writer takes them away.
func asksForNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort ||
		isBalanced(s) && (s.Spec.AllocateLoadBalancerNodePorts == nil || *s.Spec.AllocateLoadBalancerNodePorts)
}

func needsHealthPort(s *corev1.Service) bool {
	return isBalanced(s) && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func externallyReached(s *corev1.Service) bool {
	return hasNodePorts(s) || (s.Spec.Type == corev1.ServiceTypeClusterIP && len(s.Spec.ExternalIPs) > 0)
}
