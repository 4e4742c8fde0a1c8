package apiserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/store"
)

// A Service's cluster address and node ports are claims in the store, written in the transaction that writes the
// Service, each on condition that it does not exist. So no two Services ever hold one address, whoever writes,
// and a removed Service's addresses are free the moment it is gone.

// claimsOf returns the claim keys that an object holds.
func claimsOf(obj kind.Object) []string {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil
	}
	var keys []string
	if needsClusterIP(svc) {
		for _, ip := range svc.Spec.ClusterIPs {
			keys = append(keys, addressClaim(ip))
		}
	}
	seen := map[string]bool{}
	for _, p := range append(slices.Clip(svc.Spec.Ports), corev1.ServicePort{NodePort: svc.Spec.HealthCheckNodePort}) {
		if key := portClaim(p.Protocol, p.NodePort); p.NodePort != 0 && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

func addressClaim(ip string) string { return claimPrefix + "clusterips/" + ip }

func portClaim(protocol corev1.Protocol, port int32) string {
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	return claimPrefix + "nodeports/" + string(protocol) + "-" + strconv.Itoa(int(port))
}

func needsClusterIP(svc *corev1.Service) bool {
	return svc.Spec.Type != corev1.ServiceTypeExternalName && svc.Spec.ClusterIP != corev1.ClusterIPNone
}

func needsNodePorts(svc *corev1.Service) bool {
	switch svc.Spec.Type {
	case corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeLoadBalancer:
		return svc.Spec.AllocateLoadBalancerNodePorts == nil || *svc.Spec.AllocateLoadBalancerNodePorts
	}
	return false
}

// allocate gives a Service that is about to be written the addresses that it lacks, in place, and returns the
// writes that claim what obj needs and release what cur (nil on creation) held. undo takes the addresses that were
// picked here away again, for another try after a conflict. For other kinds it does nothing.
func (s *Server) allocate(r request, obj, cur kind.Object) (claims []store.Write, undo func(), err error) {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil, func() {}, nil
	}
	held := map[string]bool{}
	if cur != nil {
		for _, key := range claimsOf(cur) {
			held[key] = true
		}
	}
	before := svc.DeepCopy()
	undo = func() { svc.Spec = before.DeepCopy().Spec }
	if needsClusterIP(svc) {
		err = s.allocateAddress(svc, held)
	}
	if err == nil {
		err = s.allocatePorts(svc, held)
	}
	if err != nil {
		undo()
		return nil, nil, err
	}
	holder := []byte(svc.Namespace + "/" + svc.Name)
	for _, key := range claimsOf(svc) {
		if held[key] {
			delete(held, key)
			continue
		}
		claims = append(claims, store.Write{Key: key, Value: holder})
	}
	if cur != nil {
		for _, key := range claimsOf(cur) {
			if held[key] {
				claims = append(claims, store.Write{Key: key, Expect: store.AnyRevision})
			}
		}
	}
	return claims, undo, nil
}

// allocateAddress makes sure that the Service has a cluster address that is its own or free.
func (s *Server) allocateAddress(svc *corev1.Service, held map[string]bool) error {
	if svc.Spec.ClusterIP != "" {
		for _, ip := range svc.Spec.ClusterIPs {
			key := addressClaim(ip)
			if held[key] {
				continue
			}
			var why string
			if addr, err := netip.ParseAddr(ip); err != nil || !assignable(s.cfg.ServiceCIDR, addr) {
				why = fmt.Sprintf("the provided IP (%s) is not in the valid range. The range of valid IPs is %s", ip, s.cfg.ServiceCIDR)
			} else if s.cache.claimed(key) {
				why = "provided IP is already allocated"
			}
			if why != "" {
				return invalidService(svc, field.Invalid(field.NewPath("spec", "clusterIPs"), svc.Spec.ClusterIPs,
					fmt.Sprintf("failed to allocate IP %s: %s", ip, why)))
			}
		}
	} else {
		addr, ok := s.freeAddress()
		if !ok {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP: range is full"))
		}
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = addr.String(), []string{addr.String()}
	}
	return nil
}

// freeAddress picks an address that nobody has claimed. Like upstream it leaves the low end of the range to
// those who ask for an address by name, until the rest is used up. The DNS address is never picked.
func (s *Server) freeAddress() (netip.Addr, bool) {
	size := addressCount(s.cfg.ServiceCIDR)
	static := min(max(16, size/16), 256)
	if size <= 16 {
		static = 0
	}
	dns := DNSAddress(s.cfg.ServiceCIDR)
	free := func(i uint64) (netip.Addr, bool) {
		addr := nthAddress(s.cfg.ServiceCIDR, i)
		return addr, addr != dns && !s.cache.claimed(addressClaim(addr.String()))
	}
	// Index 0 is the network, the last one of IPv4 the broadcast address.
	for _, band := range [][2]uint64{{max(static, 1), size - 1}, {1, max(static, 1)}} {
		n := band[1] - band[0]
		if band[1] <= band[0] {
			continue
		}
		start := s.random(n)
		for i := range n {
			if addr, ok := free(band[0] + (start+i)%n); ok {
				return addr, true
			}
		}
	}
	return netip.Addr{}, false
}

// assignable reports whether a Service may have an address of a range: the first one is the network, and the last one
// of IPv4 the broadcast address.
func assignable(p netip.Prefix, addr netip.Addr) bool {
	if !p.Contains(addr) || addr == p.Masked().Addr() {
		return false
	}
	return addr.Is6() || p.Contains(addr.Next())
}

// addressCount returns the size of a prefix, at most 2^20: more are never handed out, as in upstream.
func addressCount(p netip.Prefix) uint64 {
	return 1 << min(p.Addr().BitLen()-p.Bits(), 20)
}

// nthAddress returns an address of a prefix by its index, which is below 2^20.
func nthAddress(p netip.Prefix, i uint64) netip.Addr {
	if p.Addr().Is4() {
		b := p.Addr().As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(i))
		return netip.AddrFrom4(b)
	}
	b := p.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+i)
	return netip.AddrFrom16(b)
}

// allocatePorts makes sure that the Service's node ports are its own or free, and gives those that lack one. The port
// on which a balancer asks for a node's health is of the same range.
func (s *Server) allocatePorts(svc *corev1.Service, held map[string]bool) error {
	p := nodePorts{server: s, held: held, taken: make(map[string]bool)}
	if err := p.check(svc); err != nil {
		return err
	}
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		if !needsNodePorts(svc) || port.NodePort != 0 {
			continue
		}
		// One port number for both protocols of a service such as DNS, as upstream has it.
		for _, q := range svc.Spec.Ports {
			if q.Port == port.Port && q.Protocol != port.Protocol && q.NodePort != 0 && p.free(port.Protocol, q.NodePort) {
				port.NodePort = q.NodePort
				p.taken[portClaim(port.Protocol, port.NodePort)] = true
			}
		}
		if err := p.pick(port.Protocol, &port.NodePort); err != nil {
			return err
		}
	}
	if needsHealthPort(svc) {
		return p.pick(corev1.ProtocolTCP, &svc.Spec.HealthCheckNodePort)
	}
	return nil
}

// nodePorts is what is known of node ports while one Service gets its own.
type nodePorts struct {
	server *Server
	held   map[string]bool // claims of the Service as it was
	taken  map[string]bool // by the Service as it will be
}

// check takes the ports that the Service asks for, or says which it cannot have.
func (p *nodePorts) check(svc *corev1.Service) error {
	spec := field.NewPath("spec")
	for i, port := range svc.Spec.Ports {
		if why := p.take(port.Protocol, port.NodePort); why != "" {
			return invalidService(svc, field.Invalid(spec.Child("ports").Index(i).Child("nodePort"), port.NodePort, why))
		}
	}
	if why := p.take(corev1.ProtocolTCP, svc.Spec.HealthCheckNodePort); why != "" {
		return invalidService(svc, field.Invalid(spec.Child("healthCheckNodePort"), svc.Spec.HealthCheckNodePort, why))
	}
	return nil
}

// take notes a port that is asked for; 0 is none. The result says why it cannot be had, "" if it can.
func (p *nodePorts) take(protocol corev1.Protocol, n int32) (why string) {
	if n == 0 {
		return ""
	}
	key, ports := portClaim(protocol, n), p.server.cfg.NodePorts
	p.taken[key] = true
	switch {
	case p.held[key]:
		return ""
	case n < int32(ports.First) || n > int32(ports.Last):
		return fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", ports.First, ports.Last)
	case p.server.cache.claimed(key):
		return "provided port is already allocated"
	}
	return ""
}

// free reports whether the Service can have a port that it has not taken yet.
func (p *nodePorts) free(protocol corev1.Protocol, n int32) bool {
	key := portClaim(protocol, n)
	return !p.taken[key] && (p.held[key] || !p.server.cache.claimed(key))
}

// pick sets a port that is 0 to one that is free.
func (p *nodePorts) pick(protocol corev1.Protocol, port *int32) error {
	if *port != 0 {
		return nil
	}
	ports := p.server.cfg.NodePorts
	n := uint64(ports.Last) - uint64(ports.First) + 1
	for start, i := p.server.random(n), uint64(0); i < n; i++ {
		if candidate := int32(ports.First) + int32((start+i)%n); p.free(protocol, candidate) {
			p.taken[portClaim(protocol, candidate)] = true
			*port = candidate
			return nil
		}
	}
	return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: range is full"))
}

// needsHealthPort reports whether a balancer has to ask nodes whether they have endpoints of their own.
func needsHealthPort(svc *corev1.Service) bool {
	return svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// serviceFamilies gives a Service that is new, or that replaces cur, its address families, in place, and returns what is
// wrong with those that it asks for. For other kinds it does nothing.
func (s *Server) serviceFamilies(obj, cur kind.Object) field.ErrorList {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return nil
	}
	old, _ := cur.(*corev1.Service)
	family := corev1.IPv4Protocol
	if s.cfg.ServiceCIDR.Addr().Is6() {
		family = corev1.IPv6Protocol
	}
	return core.InitServiceFamilies(svc, old, []corev1.IPFamily{family})
}

func invalidService(svc *corev1.Service, err *field.Error) error {
	return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), svc.Name, field.ErrorList{err})
}
