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
	spec := field.NewPath("spec")
	taken := map[string]bool{} // by this Service itself
	check := func(path *field.Path, protocol corev1.Protocol, n int32) error {
		if n == 0 {
			return nil
		}
		key := portClaim(protocol, n)
		taken[key] = true
		if held[key] {
			return nil
		}
		var why string
		if n < int32(s.cfg.NodePorts.First) || n > int32(s.cfg.NodePorts.Last) {
			why = fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", s.cfg.NodePorts.First, s.cfg.NodePorts.Last)
		} else if s.cache.claimed(key) {
			why = "provided port is already allocated"
		}
		if why != "" {
			return invalidService(svc, field.Invalid(path, n, why))
		}
		return nil
	}
	for i, p := range svc.Spec.Ports {
		if err := check(spec.Child("ports").Index(i).Child("nodePort"), p.Protocol, p.NodePort); err != nil {
			return err
		}
	}
	if err := check(spec.Child("healthCheckNodePort"), corev1.ProtocolTCP, svc.Spec.HealthCheckNodePort); err != nil {
		return err
	}
	free := func(protocol corev1.Protocol, n int32) bool {
		key := portClaim(protocol, n)
		return !taken[key] && (held[key] || !s.cache.claimed(key))
	}
	pick := func(protocol corev1.Protocol) (int32, error) {
		n := uint64(s.cfg.NodePorts.Last) - uint64(s.cfg.NodePorts.First) + 1
		for start, j := s.random(n), uint64(0); j < n; j++ {
			if candidate := int32(s.cfg.NodePorts.First) + int32((start+j)%n); free(protocol, candidate) {
				taken[portClaim(protocol, candidate)] = true
				return candidate, nil
			}
		}
		return 0, apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: range is full"))
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if !needsNodePorts(svc) || p.NodePort != 0 {
			continue
		}
		// One port number for both protocols of a service such as DNS, as upstream has it.
		for _, q := range svc.Spec.Ports {
			if q.Port == p.Port && q.Protocol != p.Protocol && q.NodePort != 0 && free(p.Protocol, q.NodePort) {
				p.NodePort = q.NodePort
				taken[portClaim(p.Protocol, p.NodePort)] = true
			}
		}
		if p.NodePort == 0 {
			n, err := pick(p.Protocol)
			if err != nil {
				return err
			}
			p.NodePort = n
		}
	}
	if svc.Spec.HealthCheckNodePort == 0 && needsHealthPort(svc) {
		n, err := pick(corev1.ProtocolTCP)
		if err != nil {
			return err
		}
		svc.Spec.HealthCheckNodePort = n
	}
	return nil
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
