package feed

import (
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"sampan/dns/answer"
)

// serviceOf returns what names need of a Service.
func serviceOf(svc *corev1.Service) answer.Service {
	s := answer.Service{
		Namespace: svc.Namespace, Name: svc.Name,
		Headless:        svc.Spec.ClusterIP == corev1.ClusterIPNone,
		PublishNotReady: svc.Spec.PublishNotReadyAddresses,
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		s.Headless, s.External = false, svc.Spec.ExternalName
	} else {
		texts := svc.Spec.ClusterIPs
		if len(texts) == 0 {
			texts = []string{svc.Spec.ClusterIP}
		}
		s.Addresses = addressesOf(texts)
	}
	for _, p := range svc.Spec.Ports {
		s.Ports = append(s.Ports, answer.Port{Name: p.Name, Protocol: protocolOf(p.Protocol), Number: uint16(p.Port)})
	}
	return s
}

// sliceOf returns what names need of an EndpointSlice.
func sliceOf(e *discoveryv1.EndpointSlice) answer.Slice {
	s := answer.Slice{Namespace: e.Namespace, Name: e.Name, Service: e.Labels[discoveryv1.LabelServiceName]}
	if e.AddressType == discoveryv1.AddressTypeFQDN {
		return s
	}
	for _, p := range e.Ports {
		// A port without a number stands for all of them, which a name cannot say.
		if p.Port == nil {
			continue
		}
		port := answer.Port{Protocol: protocolOf(""), Number: uint16(*p.Port)}
		if p.Name != nil {
			port.Name = *p.Name
		}
		if p.Protocol != nil {
			port.Protocol = protocolOf(*p.Protocol)
		}
		s.Ports = append(s.Ports, port)
	}
	for _, p := range e.Endpoints {
		end := answer.Endpoint{Addresses: addressesOf(p.Addresses), Ready: p.Conditions.Ready == nil || *p.Conditions.Ready}
		if p.Hostname != nil {
			end.Hostname = strings.ToLower(*p.Hostname)
		}
		s.Endpoints = append(s.Endpoints, end)
	}
	return s
}

// addressesOf leaves out what is not an address, "None" too.
func addressesOf(texts []string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, a.Unmap().WithZone(""))
		}
	}
	return list
}

func protocolOf(p corev1.Protocol) string {
	if p == "" {
		return "tcp"
	}
	return strings.ToLower(string(p))
}
