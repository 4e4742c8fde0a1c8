package ruleset

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// LabelProxyName is the label of Services that another proxy serves.
const LabelProxyName = "service.kubernetes.io/service-proxy-name"

// Node is what a rule set must know of the node that it is for.
type Node struct {
	Name string
	// Addresses are the node's own; an endpoint with one of them is local.
	Addresses []netip.Addr
	PodCIDR   netip.Prefix
	// Served are addresses of Services that a process on the node answers itself: they get no rule.
	Served []netip.Addr
}

func (n Node) has(e discoveryv1.Endpoint, a netip.Addr) bool {
	if e.NodeName != nil {
		return *e.NodeName == n.Name
	}
	return n.PodCIDR.Contains(a) || slices.Contains(n.Addresses, a)
}

// Compile returns the rules of one Service: for IPv4, from its EndpointSlices in any order. The traffic
// policies and the choice between ready and terminating endpoints are those that Kubernetes documents: ready
// endpoints; if there is none, those that still serve while they terminate.
func Compile(svc *corev1.Service, endpoints []*discoveryv1.EndpointSlice, node Node) Part {
	var p Part
	if svc.Spec.Type == corev1.ServiceTypeExternalName || svc.Spec.ClusterIP == corev1.ClusterIPNone ||
		svc.Spec.ClusterIP == "" || svc.Labels[LabelProxyName] != "" {
		return p
	}
	for i := range svc.Spec.Ports {
		compilePort(&p, svc, &svc.Spec.Ports[i], endpoints, node)
	}
	return p
}

func compilePort(p *Part, svc *corev1.Service, port *corev1.ServicePort, endpoints []*discoveryv1.EndpointSlice, node Node) {
	protocol, ok := protocolOf(port.Protocol)
	if !ok {
		return
	}
	name := svc.Namespace + "/" + svc.Name + ":" + port.Name + "/" + string(port.Protocol)
	all := backendsOf(port, endpoints, node)
	cluster := choose(all)
	local := choose(slices.DeleteFunc(slices.Clone(all), func(b candidate) bool { return b.Remote }))
	internalLocal := svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
	externalLocal := svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	affinity := affinityOf(svc)

	// A group is listed when a binding or another group first asks for it.
	use := func(g Group) Verdict {
		if len(g.Backends) == 0 && g.Inside == "" {
			return Verdict{Drop: len(cluster) > 0}
		}
		if !slices.ContainsFunc(p.Groups, func(h Group) bool { return h.Name == g.Name }) {
			p.Groups = append(p.Groups, g)
		}
		return Verdict{Group: g.Name}
	}
	bind := func(a netip.Addr, n int32, v Verdict) {
		f := Frontend{Addr: a, Protocol: protocol, Port: uint16(n)}
		if n > 0 && !slices.Contains(node.Served, a) && !slices.ContainsFunc(p.Bindings, func(b Binding) bool { return b.Frontend == f }) {
			p.Bindings = append(p.Bindings, Binding{f, v})
		}
	}
	everywhere := Group{Name: name, Backends: cluster, Affinity: affinity}

	internal := everywhere
	if internalLocal {
		internal = Group{Name: name + "/internal", Backends: local, Affinity: affinity}
	}
	for _, a := range addresses(clusterIPs(svc)) {
		bind(a, port.Port, use(internal))
	}

	external := func(scope string, sources []netip.Prefix) Verdict {
		g := everywhere
		if externalLocal && len(cluster) > 0 {
			g = Group{Name: name + scope, Backends: local, Affinity: affinity, Inside: use(everywhere).Group}
		}
		if len(sources) > 0 && len(cluster) > 0 {
			g.Name, g.Sources = name+scope+"/sources", sources
		}
		return use(g)
	}
	for _, a := range addresses(svc.Spec.ExternalIPs) {
		bind(a, port.Port, external("/external", nil))
	}
	if svc.Spec.Type == corev1.ServiceTypeLoadBalancer {
		var ips []string
		for _, in := range svc.Status.LoadBalancer.Ingress {
			if in.IPMode == nil || *in.IPMode == corev1.LoadBalancerIPModeVIP {
				ips = append(ips, in.IP)
			}
		}
		for _, a := range addresses(ips) {
			bind(a, port.Port, external("/external", sourceRanges(svc)))
		}
	}
	if port.NodePort > 0 && svc.Spec.Type != corev1.ServiceTypeClusterIP {
		bind(netip.Addr{}, port.NodePort, external("/external", nil))
	}
}

// HostPort forwards a port of the node to a pod on it.
type HostPort struct {
	HostIP   netip.Addr // invalid or unspecified: every address of the node
	Port     uint16
	Protocol Protocol
	Backend  netip.AddrPort
}

// HostPorts returns the rules of a pod's host ports. owner makes the group names unique.
func HostPorts(owner string, ports []HostPort) Part {
	var p Part
	for _, h := range ports {
		f := Frontend{Protocol: h.Protocol, Port: h.Port}
		name := owner + ":" + h.Backend.String()
		if h.HostIP.IsValid() && !h.HostIP.IsUnspecified() {
			f.Addr = h.HostIP
		}
		name += "/" + protocolName(h.Protocol)
		if !slices.ContainsFunc(p.Groups, func(g Group) bool { return g.Name == name }) {
			p.Groups = append(p.Groups, Group{Name: name, Backends: []Backend{{Addr: h.Backend}}})
		}
		p.Bindings = append(p.Bindings, Binding{f, Verdict{Group: name}})
	}
	return p
}

// ProtocolOf returns the protocol of its Kubernetes name; "" is TCP.
func ProtocolOf(name string) (Protocol, bool) { return protocolOf(corev1.Protocol(name)) }

func protocolOf(p corev1.Protocol) (Protocol, bool) {
	switch p {
	case corev1.ProtocolTCP, "":
		return TCP, true
	case corev1.ProtocolUDP:
		return UDP, true
	case corev1.ProtocolSCTP:
		return SCTP, true
	}
	return 0, false
}

func protocolName(p Protocol) string {
	switch p {
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return "TCP"
}

type candidate struct {
	Backend
	ready, serving bool
}

// backendsOf returns a port's endpoints that may get traffic in some case, in order of address.
func backendsOf(port *corev1.ServicePort, endpoints []*discoveryv1.EndpointSlice, node Node) []candidate {
	var list []candidate
	for _, slice := range endpoints {
		if slice.AddressType != discoveryv1.AddressTypeIPv4 {
			continue
		}
		for _, sp := range slice.Ports {
			if sp.Port == nil || *sp.Port <= 0 || deref(sp.Name, "") != port.Name || deref(sp.Protocol, corev1.ProtocolTCP) != cmpProtocol(port.Protocol) {
				continue
			}
			for _, e := range slice.Endpoints {
				// All addresses of an endpoint are the same pod's; the first is used, as upstream does.
				if len(e.Addresses) == 0 {
					continue
				}
				a, err := netip.ParseAddr(e.Addresses[0])
				if err != nil || !a.Is4() {
					continue
				}
				c := candidate{Backend: Backend{Addr: netip.AddrPortFrom(a, uint16(*sp.Port)), Remote: !node.has(e, a)}}
				c.ready = deref(e.Conditions.Ready, true)
				c.serving = deref(e.Conditions.Serving, c.ready) && deref(e.Conditions.Terminating, false)
				if c.ready || c.serving {
					list = append(list, c)
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b candidate) int { return a.Addr.Compare(b.Addr) })
	// While an endpoint moves from one slice to another it is in both; it is ready if one of them says so.
	return slices.CompactFunc(list, func(a, b candidate) bool { return a.Addr == b.Addr && a.ready == b.ready })
}

// choose returns the ready endpoints, or those that serve while they terminate if there is none.
func choose(list []candidate) []Backend {
	pick := func(want func(candidate) bool) (out []Backend) {
		for _, c := range list {
			if want(c) && (len(out) == 0 || out[len(out)-1].Addr != c.Addr) {
				out = append(out, c.Backend)
			}
		}
		return out
	}
	if ready := pick(func(c candidate) bool { return c.ready }); len(ready) > 0 {
		return ready
	}
	return pick(func(c candidate) bool { return c.serving })
}

func affinityOf(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	seconds := int32(corev1.DefaultClientIPServiceAffinitySeconds)
	if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}

func clusterIPs(svc *corev1.Service) []string {
	if len(svc.Spec.ClusterIPs) > 0 {
		return svc.Spec.ClusterIPs
	}
	return []string{svc.Spec.ClusterIP}
}

// addresses returns the IPv4 addresses among texts.
func addresses(texts []string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil && a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

func sourceRanges(svc *corev1.Service) []netip.Prefix {
	var out []netip.Prefix
	for _, t := range svc.Spec.LoadBalancerSourceRanges {
		if p, err := netip.ParsePrefix(t); err == nil && p.Addr().Is4() {
			out = append(out, p.Masked())
		}
	}
	return out
}

func cmpProtocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
