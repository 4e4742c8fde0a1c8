package apiserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/store"
)

// A Service's cluster address and node ports are claims in the store, written in the transaction that writes the
// Service, each on condition that it does not exist. So no two Services ever hold one address, whoever writes,
// and a removed Service's addresses are free the moment it is gone.

const dnsAddressIndex = 10 // the cluster's DNS address is the tenth of the range, as every distribution has it

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
	for _, p := range svc.Spec.Ports {
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
	if svc.Spec.ClusterIP == "" && len(svc.Spec.ClusterIPs) > 0 {
		svc.Spec.ClusterIP = svc.Spec.ClusterIPs[0]
	}
	if wanted := svc.Spec.ClusterIP; wanted != "" {
		if len(svc.Spec.ClusterIPs) == 0 {
			svc.Spec.ClusterIPs = []string{wanted}
		}
		for _, ip := range svc.Spec.ClusterIPs {
			key := addressClaim(ip)
			if held[key] {
				continue
			}
			var why string
			if addr, err := netip.ParseAddr(ip); err != nil || !s.cfg.ServiceCIDR.Contains(addr) || addr == s.cfg.ServiceCIDR.Addr() {
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
	if len(svc.Spec.IPFamilies) == 0 {
		family := corev1.IPv4Protocol
		if addr, err := netip.ParseAddr(svc.Spec.ClusterIP); err == nil && addr.Is6() {
			family = corev1.IPv6Protocol
		}
		svc.Spec.IPFamilies = []corev1.IPFamily{family}
	}
	if svc.Spec.IPFamilyPolicy == nil {
		single := corev1.IPFamilyPolicySingleStack
		svc.Spec.IPFamilyPolicy = &single
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
	free := func(i uint64) (netip.Addr, bool) {
		addr := nthAddress(s.cfg.ServiceCIDR, i)
		return addr, i != dnsAddressIndex && !s.cache.claimed(addressClaim(addr.String()))
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

// allocatePorts makes sure that the Service's node ports are its own or free, and gives those that lack one.
func (s *Server) allocatePorts(svc *corev1.Service, held map[string]bool) error {
	ports := field.NewPath("spec", "ports")
	taken := map[string]bool{} // by this Service itself
	for i, p := range svc.Spec.Ports {
		if p.NodePort == 0 {
			continue
		}
		key := portClaim(p.Protocol, p.NodePort)
		taken[key] = true
		if held[key] {
			continue
		}
		var why string
		if n := p.NodePort; n < int32(s.cfg.NodePorts.First) || n > int32(s.cfg.NodePorts.Last) {
			why = fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %d-%d", s.cfg.NodePorts.First, s.cfg.NodePorts.Last)
		} else if s.cache.claimed(key) {
			why = "provided port is already allocated"
		}
		if why != "" {
			return invalidService(svc, field.Invalid(ports.Index(i).Child("nodePort"), p.NodePort, why))
		}
	}
	if !needsNodePorts(svc) {
		return nil
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if p.NodePort != 0 {
			continue
		}
		free := func(n int32) bool {
			key := portClaim(p.Protocol, n)
			return !taken[key] && (held[key] || !s.cache.claimed(key))
		}
		// One port number for both protocols of a service such as DNS, as upstream has it.
		for _, q := range svc.Spec.Ports {
			if q.Port == p.Port && q.Protocol != p.Protocol && q.NodePort != 0 && free(q.NodePort) {
				p.NodePort = q.NodePort
			}
		}
		n := uint64(s.cfg.NodePorts.Last) - uint64(s.cfg.NodePorts.First) + 1
		for start, j := s.random(n), uint64(0); p.NodePort == 0 && j < n; j++ {
			if candidate := int32(s.cfg.NodePorts.First) + int32((start+j)%n); free(candidate) {
				p.NodePort = candidate
			}
		}
		if p.NodePort == 0 {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: range is full"))
		}
		taken[portClaim(p.Protocol, p.NodePort)] = true
	}
	return nil
}

// keepAllocated gives a changed Service what its writer left out because the API server had filled it in, and
// takes away what its new type does not have, as upstream's patchAllocatedValues and dropTypeDependentFields do.
func keepAllocated(obj, cur kind.Object) {
	svc, ok := obj.(*corev1.Service)
	if !ok {
		return
	}
	old := cur.(*corev1.Service)
	switch {
	case needsClusterIP(old) && needsClusterIP(svc):
		if svc.Spec.ClusterIP == "" {
			svc.Spec.ClusterIP = old.Spec.ClusterIP
		}
		if len(svc.Spec.ClusterIPs) == 0 && svc.Spec.ClusterIP == old.Spec.ClusterIP {
			svc.Spec.ClusterIPs = append([]string(nil), old.Spec.ClusterIPs...)
		}
	case needsClusterIP(old) && svc.Spec.ClusterIP == old.Spec.ClusterIP:
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = "", nil
	}
	switch {
	case needsNodePorts(old) && needsNodePorts(svc):
		had, used := map[string]int32{}, map[string]bool{}
		for _, p := range old.Spec.Ports {
			had[string(p.Protocol)+"/"+strconv.Itoa(int(p.Port))] = p.NodePort
		}
		for _, p := range svc.Spec.Ports {
			used[portClaim(p.Protocol, p.NodePort)] = p.NodePort != 0
		}
		for i := range svc.Spec.Ports {
			p := &svc.Spec.Ports[i]
			if n := had[string(p.Protocol)+"/"+strconv.Itoa(int(p.Port))]; p.NodePort == 0 && n != 0 && !used[portClaim(p.Protocol, n)] {
				p.NodePort = n
				used[portClaim(p.Protocol, n)] = true
			}
		}
	case needsNodePorts(old):
		had := map[string]bool{}
		for _, p := range old.Spec.Ports {
			had[portClaim(p.Protocol, p.NodePort)] = p.NodePort != 0
		}
		for i := range svc.Spec.Ports {
			if p := &svc.Spec.Ports[i]; had[portClaim(p.Protocol, p.NodePort)] {
				p.NodePort = 0
			}
		}
	}
}

func invalidService(svc *corev1.Service, err *field.Error) error {
	return apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("Service").GroupKind(), svc.Name, field.ErrorList{err})
}
