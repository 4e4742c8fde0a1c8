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
	dropUnneeded(s, old)
}

func keepAllocated(s, old *corev1.Service) {
	if hasClusterIP(s.Spec.Type) && hasClusterIP(old.Spec.Type) {
		switch {
		case s.Spec.ClusterIP == "" && len(s.Spec.ClusterIPs) == 0:
			s.Spec.ClusterIP = old.Spec.ClusterIP
			s.Spec.ClusterIPs = slices.Clone(old.Spec.ClusterIPs)
		case s.Spec.ClusterIP == "" && s.Spec.ClusterIPs[0] == old.Spec.ClusterIP:
			s.Spec.ClusterIP = old.Spec.ClusterIP
		case s.Spec.ClusterIP != old.Spec.ClusterIP && slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs):
			// The writer knows only the older of the two fields.
			s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
		}
	}
	if needsNodePort(s) && needsNodePort(old) {
		keepNodePorts(s.Spec.Ports, old.Spec.Ports)
	}
	if needsHealthPort(s) && needsHealthPort(old) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
}

// keepNodePorts gives ports without a node port the one that they had, unless another port asks for it now.
func keepNodePorts(ports, old []corev1.ServicePort) {
	type id struct {
		protocol corev1.Protocol
		number   int32
	}
	had, used := make(map[id]int32), make(map[int32]bool)
	for _, p := range old {
		had[id{p.Protocol, p.Port}] = p.NodePort
	}
	for _, p := range ports {
		used[p.NodePort] = true
	}
	for i := range ports {
		p := &ports[i]
		if was := had[id{p.Protocol, p.Port}]; p.NodePort == 0 && was != 0 && !used[was] {
			p.NodePort = was
			used[was] = true
		}
	}
}

// dropUnneeded clears what belongs to the old type only, if the writer left it as it was.
func dropUnneeded(s, old *corev1.Service) {
	if hasClusterIP(old.Spec.Type) && !hasClusterIP(s.Spec.Type) && (s.Spec.ClusterIP == "" || s.Spec.ClusterIP == old.Spec.ClusterIP) {
		s.Spec.ClusterIP, s.Spec.ClusterIPs = "", nil
		s.Spec.IPFamilies, s.Spec.IPFamilyPolicy = nil, nil
		s.Spec.InternalTrafficPolicy = nil
	}
	if needsNodePort(old) && !needsNodePort(s) && sameNodePorts(s.Spec.Ports, old.Spec.Ports) {
		for i := range s.Spec.Ports {
			s.Spec.Ports[i].NodePort = 0
		}
	}
	if needsHealthPort(old) && !needsHealthPort(s) && s.Spec.HealthCheckNodePort == old.Spec.HealthCheckNodePort {
		s.Spec.HealthCheckNodePort = 0
	}
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer && old.Spec.Type == corev1.ServiceTypeLoadBalancer {
		if a, b := s.Spec.AllocateLoadBalancerNodePorts, old.Spec.AllocateLoadBalancerNodePorts; a != nil && b != nil && *a == *b {
			s.Spec.AllocateLoadBalancerNodePorts = nil
		}
		if a, b := s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass; a != nil && b != nil && *a == *b {
			s.Spec.LoadBalancerClass = nil
		}
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
	if externallyReached(old) && !externallyReached(s) && s.Spec.ExternalTrafficPolicy == old.Spec.ExternalTrafficPolicy {
		s.Spec.ExternalTrafficPolicy = ""
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

func needsNodePort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort ||
		(s.Spec.Type == corev1.ServiceTypeLoadBalancer && (s.Spec.AllocateLoadBalancerNodePorts == nil || *s.Spec.AllocateLoadBalancerNodePorts))
}

func needsHealthPort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func externallyReached(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer ||
		(s.Spec.Type == corev1.ServiceTypeClusterIP && len(s.Spec.ExternalIPs) > 0)
}
