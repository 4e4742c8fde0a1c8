// Package answer is what the cluster's DNS knows: the records of Services and pods, as version 1.1 of the
// Kubernetes DNS specification names them. It is pure; package dns has the sockets.
//
// An [Index] follows Services and EndpointSlices change by change, and answers one question in a few map
// lookups. It belongs to one goroutine or one lock; any number of goroutines may ask at once while nobody changes it.
package answer

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Index has the records of one cluster.
type Index struct {
	domain     string // lower case, without a dot at the end
	namespaces map[string]map[string]*service
	// addresses has the services that an address belongs to, for the names of addresses.
	addresses map[netip.Addr]map[*service]int
}

// service is one Service with its endpoints.
type service struct {
	namespace, name string
	object          *corev1.Service // nil while only slices are known
	slices          map[string]*discoveryv1.EndpointSlice
	endpoints       []endpoint // of all slices; those that have a name or are headless matter
	listed          []netip.Addr
}

// endpoint is one address behind one port; port is nil in slices without ports.
type endpoint struct {
	addr     netip.Addr
	hostname string
	ports    []discoveryv1.EndpointPort
}

// New returns an empty index for a cluster domain.
func New(domain string) *Index {
	return &Index{
		domain:     strings.ToLower(strings.Trim(domain, ".")),
		namespaces: map[string]map[string]*service{},
		addresses:  map[netip.Addr]map[*service]int{},
	}
}

// PutService sets a Service, which must not be written to afterwards.
func (x *Index) PutService(svc *corev1.Service) {
	s := x.entry(svc.Namespace, svc.Name)
	s.object = svc
	x.refresh(s)
}

// RemoveService removes a Service.
func (x *Index) RemoveService(namespace, name string) {
	s := x.entry(namespace, name)
	s.object = nil
	x.refresh(s)
}

// PutSlice sets an EndpointSlice, which must not be written to afterwards.
func (x *Index) PutSlice(e *discoveryv1.EndpointSlice) {
	if owner := e.Labels[discoveryv1.LabelServiceName]; owner != "" {
		s := x.entry(e.Namespace, owner)
		s.slices[e.Name] = e
		x.refresh(s)
	}
}

// RemoveSlice removes an EndpointSlice; e is its last state.
func (x *Index) RemoveSlice(e *discoveryv1.EndpointSlice) {
	if owner := e.Labels[discoveryv1.LabelServiceName]; owner != "" {
		s := x.entry(e.Namespace, owner)
		delete(s.slices, e.Name)
		x.refresh(s)
	}
}

func (x *Index) entry(namespace, name string) *service {
	if x.namespaces[namespace] == nil {
		x.namespaces[namespace] = map[string]*service{}
	}
	s := x.namespaces[namespace][name]
	if s == nil {
		s = &service{namespace: namespace, name: name, slices: map[string]*discoveryv1.EndpointSlice{}}
		x.namespaces[namespace][name] = s
	}
	return s
}

// lookup returns a Service that is there, or nil.
func (x *Index) lookup(namespace, name string) *service {
	if s := x.namespaces[namespace][name]; s != nil && s.object != nil {
		return s
	}
	return nil
}

// refresh computes what follows from a service's objects.
func (x *Index) refresh(s *service) {
	for _, a := range s.listed {
		if x.addresses[a][s]--; x.addresses[a][s] == 0 {
			delete(x.addresses[a], s)
		}
		if len(x.addresses[a]) == 0 {
			delete(x.addresses, a)
		}
	}
	s.endpoints, s.listed = nil, nil
	if s.object == nil {
		if len(s.slices) == 0 {
			delete(x.namespaces[s.namespace], s.name)
			if len(x.namespaces[s.namespace]) == 0 {
				delete(x.namespaces, s.namespace)
			}
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.slices)) {
		s.addEndpoints(s.slices[name])
	}
	slices.SortStableFunc(s.endpoints, func(a, b endpoint) int {
		return cmp.Or(a.addr.Compare(b.addr), strings.Compare(a.hostname, b.hostname))
	})
	s.listed = append(s.listed, s.clusterIPs()...)
	if s.headless() {
		for _, e := range s.endpoints {
			s.listed = append(s.listed, e.addr)
		}
	}
	for _, a := range s.listed {
		if x.addresses[a] == nil {
			x.addresses[a] = map[*service]int{}
		}
		x.addresses[a][s]++
	}
}

func (s *service) addEndpoints(slice *discoveryv1.EndpointSlice) {
	if slice.AddressType == discoveryv1.AddressTypeFQDN {
		return
	}
	for _, e := range slice.Endpoints {
		if e.Conditions.Ready != nil && !*e.Conditions.Ready && !s.object.Spec.PublishNotReadyAddresses {
			continue
		}
		for _, text := range e.Addresses {
			a, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			p := endpoint{addr: a.Unmap(), ports: slice.Ports}
			if e.Hostname != nil {
				p.hostname = strings.ToLower(*e.Hostname)
			}
			s.endpoints = append(s.endpoints, p)
		}
	}
}

func (s *service) headless() bool { return s.object.Spec.ClusterIP == corev1.ClusterIPNone }

func (s *service) external() bool { return s.object.Spec.Type == corev1.ServiceTypeExternalName }

func (s *service) clusterIPs() []netip.Addr {
	texts := s.object.Spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{s.object.Spec.ClusterIP}
	}
	var out []netip.Addr
	for _, t := range texts {
		if a, err := netip.ParseAddr(t); err == nil && !s.external() {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// label is the name of an endpoint below its service: its hostname, or its address with dashes.
func (e endpoint) label() string {
	if e.hostname != "" {
		return e.hostname
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(e.addr.String())
}
