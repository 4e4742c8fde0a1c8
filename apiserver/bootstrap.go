package apiserver

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/kind/scheduling"
	"sampan/view"
)

// The Service by which pods reach the API.
const (
	apiServiceName = "kubernetes"
	apiServicePort = 443
)

// systemUser is the API server itself.
func systemUser() auth.User {
	return auth.User{Name: "system:apiserver", Groups: []string{auth.GroupMasters, auth.GroupAuthenticated}}
}

// own is the client of the API server itself.
func (s *Server) own() *Local { return s.Client(systemUser()).ManagedBy("kube-apiserver") }

// Bootstrap creates what every cluster has: the namespaces default, kube-system, kube-public and kube-node-lease,
// the roles and bindings of RBAC, the priority classes of the system, and the Service "kubernetes" at the first
// address of the Service range. What is there already stays as it is, but for the roles, which get back what they
// lack.
func (s *Server) Bootstrap(ctx context.Context) error {
	for _, id := range []kind.ID{kind.Namespaces, kind.PriorityClasses, kind.Services} {
		if err := s.ensureAll(ctx, s.bootstrapped(id)); err != nil {
			return err
		}
	}
	return s.bootstrapRoles(ctx)
}

// bootstrapped returns the objects of a kind that every cluster has.
func (s *Server) bootstrapped(id kind.ID) []kind.Object {
	switch id {
	case kind.Namespaces:
		var all []kind.Object
		for _, name := range []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
			all = append(all, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		}
		return all
	case kind.PriorityClasses:
		if s.cfg.Kinds.ByID(id) == nil {
			return nil
		}
		var all []kind.Object
		for _, class := range scheduling.System() {
			all = append(all, class)
		}
		return all
	case kind.Services:
		return []kind.Object{&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{
				Name:      apiServiceName,
				Namespace: metav1.NamespaceDefault,
				Labels:    map[string]string{"component": "apiserver", "provider": "kubernetes"},
			},
			Spec: corev1.ServiceSpec{
				Type:      corev1.ServiceTypeClusterIP,
				ClusterIP: APIAddress(s.cfg.ServiceCIDR).String(),
				Ports: []corev1.ServicePort{{
					Name: "https", Port: apiServicePort, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(6443),
				}},
				SessionAffinity: corev1.ServiceAffinityNone,
			},
		}}
	case kind.EndpointSlices, kind.Endpoints:
		s.advertisedMu.Lock()
		addresses := s.advertised
		s.advertisedMu.Unlock()
		if len(addresses) == 0 {
			return nil
		}
		if slice, endpoints := advertisement(addresses); id == kind.EndpointSlices {
			return []kind.Object{slice}
		} else {
			return []kind.Object{endpoints}
		}
	}
	return nil
}

// keep makes the objects of a kind that every cluster has anew when they are gone, until ctx ends. A failure is
// logged; the next change of the kind tries again.
func (s *Server) keep(ctx context.Context, id kind.ID) {
	for {
		seen := s.cache.snapshot().Revision()
		if err := s.ensureAll(ctx, s.bootstrapped(id)); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("object that every cluster has not made anew", "error", err)
		}
		if s.cache.wait(ctx, id, seen) != nil {
			return
		}
	}
}

// APIAddress returns the cluster address of the Service "kubernetes": the first of the range, as upstream. The server's
// certificate must name it.
func APIAddress(serviceCIDR netip.Prefix) netip.Addr { return nthAddress(serviceCIDR, 1) }

// DNSAddress returns the cluster address of the cluster's DNS: the tenth of the range, as every distribution has it.
// A Service gets it only by asking for it.
func DNSAddress(serviceCIDR netip.Prefix) netip.Addr { return nthAddress(serviceCIDR, 10) }

// ensureAll creates those of the objects that are not there.
func (s *Server) ensureAll(ctx context.Context, objects []kind.Object) error {
	c := s.own()
	for _, obj := range objects {
		key := view.KeyOf(s.cfg.Kinds.Of(obj).ID, obj)
		if c.Snapshot().Get(key) != nil {
			continue
		}
		_, err := c.Create(ctx, obj, metav1.CreateOptions{})
		// Another server that starts too was faster, and perhaps has the address that the object is to have.
		if err != nil && !apierrors.IsAlreadyExists(err) && c.Snapshot().Get(key) == nil {
			return fmt.Errorf("create %s: %w", key, err)
		}
	}
	return nil
}

// Advertise says where pods reach the API server behind the Service "kubernetes": it writes the Service's
// EndpointSlice (and Endpoints, if that kind is served). All addresses must have one port. It writes nothing if
// nothing changes.
func (s *Server) Advertise(ctx context.Context, addresses ...netip.AddrPort) error {
	if len(addresses) == 0 {
		return fmt.Errorf("advertise the API server: no address given")
	}
	addresses = slices.Clone(addresses)
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	s.advertisedMu.Lock()
	s.advertised = addresses
	s.advertisedMu.Unlock()
	slice, endpoints := advertisement(addresses)
	c := s.own()
	for _, obj := range []kind.Object{slice, endpoints} {
		k := s.cfg.Kinds.Of(obj)
		if k == nil {
			continue
		}
		_, err := c.Update(ctx, obj, "", metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = c.Create(ctx, obj, metav1.CreateOptions{})
		}
		if apierrors.IsAlreadyExists(err) { // another API server starts too, and was faster
			_, err = c.Update(ctx, obj, "", metav1.UpdateOptions{})
		}
		if err != nil {
			return fmt.Errorf("advertise the API server in %s: %w", k.ID, err)
		}
	}
	return nil
}

// advertisement returns what says that the API server is behind the addresses, which are sorted.
func advertisement(addresses []netip.AddrPort) (*discoveryv1.EndpointSlice, *corev1.Endpoints) {
	port, ready, name, tcp := int32(addresses[0].Port()), true, "https", corev1.ProtocolTCP
	family := discoveryv1.AddressTypeIPv4
	if addresses[0].Addr().Unmap().Is6() {
		family = discoveryv1.AddressTypeIPv6
	}
	meta := metav1.ObjectMeta{Name: apiServiceName, Namespace: metav1.NamespaceDefault}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  *meta.DeepCopy(),
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: apiServiceName}
	endpoints := &corev1.Endpoints{ObjectMeta: meta, Subsets: []corev1.EndpointSubset{{
		Ports: []corev1.EndpointPort{{Name: name, Port: port, Protocol: tcp}},
	}}}
	endpoints.Labels = map[string]string{"endpointslice.kubernetes.io/skip-mirror": "true"}
	for _, a := range addresses {
		ip := a.Addr().Unmap().WithZone("").String()
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
		endpoints.Subsets[0].Addresses = append(endpoints.Subsets[0].Addresses, corev1.EndpointAddress{IP: ip})
	}
	return slice, endpoints
}
