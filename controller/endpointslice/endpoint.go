package endpointslice

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/controller/pods"
)

func podReady(pod *corev1.Pod) bool { return pods.Ready(pod) }

// present reports whether a pod has, or still has, anything behind its addresses.
func present(pod *corev1.Pod) bool {
	return !pods.Finished(pod) && (pod.Status.PodIP != "" || len(pod.Status.PodIPs) > 0)
}

// families returns the address types that a service wants slices of.
func families(s *corev1.Service) []discoveryv1.AddressType {
	var types []discoveryv1.AddressType
	for _, f := range s.Spec.IPFamilies {
		if f == corev1.IPv6Protocol {
			types = append(types, discoveryv1.AddressTypeIPv6)
		} else {
			types = append(types, discoveryv1.AddressTypeIPv4)
		}
	}
	if len(types) == 0 { // an object from before the field was defaulted
		if ip, err := netip.ParseAddr(s.Spec.ClusterIP); err == nil && ip.Is6() {
			return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv6}
		}
		return []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4}
	}
	return types
}

// addresses returns the pod's addresses of a type.
func addresses(pod *corev1.Pod, t discoveryv1.AddressType) []string {
	var out []string
	for _, p := range podIPs(pod) {
		ip, err := netip.ParseAddr(p)
		if err == nil && (ip.Is6() && !ip.Is4In6()) == (t == discoveryv1.AddressTypeIPv6) {
			out = append(out, p)
		}
	}
	return out
}

func podIPs(pod *corev1.Pod) []string {
	if len(pod.Status.PodIPs) == 0 && pod.Status.PodIP != "" {
		return []string{pod.Status.PodIP}
	}
	out := make([]string, len(pod.Status.PodIPs))
	for i := range pod.Status.PodIPs {
		out[i] = pod.Status.PodIPs[i].IP
	}
	return out
}

// endpoint returns what a slice shows of a pod.
func endpoint(s *corev1.Service, pod *corev1.Pod, addresses []string, zone string) discoveryv1.Endpoint {
	serving, terminating := podReady(pod), pod.DeletionTimestamp != nil
	// A terminating pod is never "ready", so that clients which know nothing of termination leave it alone.
	ready := s.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discoveryv1.Endpoint{
		Addresses:  addresses,
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  reference(pod),
	}
	if pod.Spec.NodeName != "" {
		name := pod.Spec.NodeName
		e.NodeName = &name
	}
	if zone != "" {
		e.Zone = &zone
	}
	if named(s, pod) {
		name := pod.Spec.Hostname
		e.Hostname = &name
	}
	return e
}

func reference(pod *corev1.Pod) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
}

// named reports whether the pod has a host name of its own in the service's domain.
func named(s *corev1.Service, pod *corev1.Pod) bool {
	return pod.Spec.Hostname != "" && pod.Spec.Subdomain == s.Name
}

// resolved returns the service's ports as they are on a pod. A named target port that the pod does not have is left out.
func resolved(s *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		number, ok := targetPort(p, pod)
		if !ok {
			continue
		}
		name, protocol := p.Name, p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		ports = append(ports, discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol, AppProtocol: p.AppProtocol})
	}
	slices.SortFunc(ports, func(a, b discoveryv1.EndpointPort) int { return strings.Compare(portKey(a), portKey(b)) })
	return ports
}

func targetPort(p *corev1.ServicePort, pod *corev1.Pod) (int32, bool) {
	if p.TargetPort.Type == intstr.Int {
		if p.TargetPort.IntVal == 0 {
			return p.Port, true
		}
		return p.TargetPort.IntVal, true
	}
	for i := range pod.Spec.Containers {
		if n, ok := containerPort(&pod.Spec.Containers[i], p); ok {
			return n, true
		}
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			if n, ok := containerPort(c, p); ok {
				return n, true
			}
		}
	}
	return 0, false
}

func containerPort(c *corev1.Container, want *corev1.ServicePort) (int32, bool) {
	for i := range c.Ports {
		have := &c.Ports[i]
		if have.Name == want.TargetPort.StrVal && protocolOf(have.Protocol) == protocolOf(want.Protocol) {
			return have.ContainerPort, true
		}
	}
	return 0, false
}

func protocolOf(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// portsKey identifies a set of ports; the order does not matter, because resolved sorts them by the same key.
func portsKey(ports []discoveryv1.EndpointPort) string {
	keys := make([]string, len(ports))
	for i, p := range ports {
		keys[i] = portKey(p)
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

func portKey(p discoveryv1.EndpointPort) string {
	var name, protocol, app string
	number := "any"
	if p.Name != nil {
		name = *p.Name
	}
	if p.Port != nil {
		number = strconv.Itoa(int(*p.Port))
	}
	if p.Protocol != nil {
		protocol = string(*p.Protocol)
	}
	if p.AppProtocol != nil {
		app = *p.AppProtocol
	}
	return name + "/" + number + "/" + protocol + "/" + app
}
