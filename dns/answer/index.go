// Package answer is what the cluster's DNS knows: the records of Services and pods, as version 1.1 of the
// Kubernetes DNS specification names them. It is pure; package dns has the sockets, and dns/feed makes its values
// out of the objects of the API.
//
// An [Index] follows Services and slices of endpoints change by change, and answers one question in a few map
// lookups. It belongs to one goroutine or one lock; any number of goroutines may ask at once while nobody changes it.
package answer

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Index has the records of one cluster.
type Index struct {
	domain     string // lower case, without a dot at the end
	namespaces map[string]map[string]*service
	owners     map[key]string // the Service of each slice
	// addresses has the services that an address belongs to, once for each time, for the names of addresses.
	addresses map[netip.Addr][]*service
}

type key struct{ namespace, name string }

// service is one Service with its endpoints.
type service struct {
	namespace, name string
	known           bool // false while only slices are
	Service
	slices    []Slice    // ordered by name; lists, not maps, since most have one item
	endpoints []endpoint // those that have names: of a headless Service all
	listed    []netip.Addr
}

// endpoint is one address behind the ports of its slice.
type endpoint struct {
	addr     netip.Addr
	hostname string
	ports    []Port
}

// New returns an empty index for a cluster domain.
func New(domain string) *Index {
	return &Index{
		domain:     strings.ToLower(strings.Trim(domain, ".")),
		namespaces: map[string]map[string]*service{},
		owners:     map[key]string{},
		addresses:  map[netip.Addr][]*service{},
	}
}

// PutService sets a Service, which must not be written to afterwards.
func (x *Index) PutService(svc Service) {
	s := x.entry(svc.Namespace, svc.Name)
	s.Service, s.known = svc, true
	x.refresh(s)
}

// RemoveService removes a Service.
func (x *Index) RemoveService(namespace, name string) {
	s := x.entry(namespace, name)
	s.Service, s.known = Service{}, false
	x.refresh(s)
}

// PutSlice sets a slice, which must not be written to afterwards. It may belong to another Service than before.
func (x *Index) PutSlice(e Slice) {
	at := key{e.Namespace, e.Name}
	if owner, ok := x.owners[at]; ok && owner != e.Service {
		x.RemoveSlice(e.Namespace, e.Name)
	}
	if e.Service == "" {
		return
	}
	x.owners[at] = e.Service
	s := x.entry(e.Namespace, e.Service)
	if i, there := s.slice(e.Name); there {
		s.slices[i] = e
	} else {
		s.slices = slices.Insert(s.slices, i, e)
	}
	x.refresh(s)
}

// RemoveSlice removes a slice.
func (x *Index) RemoveSlice(namespace, name string) {
	at := key{namespace, name}
	owner, ok := x.owners[at]
	if !ok {
		return
	}
	delete(x.owners, at)
	s := x.entry(namespace, owner)
	if i, there := s.slice(name); there {
		s.slices = slices.Delete(s.slices, i, i+1)
	}
	x.refresh(s)
}

func (x *Index) entry(namespace, name string) *service {
	if x.namespaces[namespace] == nil {
		x.namespaces[namespace] = map[string]*service{}
	}
	s := x.namespaces[namespace][name]
	if s == nil {
		s = &service{namespace: namespace, name: name}
		x.namespaces[namespace][name] = s
	}
	return s
}

// slice returns where a slice is in the list, or belongs.
func (s *service) slice(name string) (at int, there bool) {
	return slices.BinarySearchFunc(s.slices, name, func(e Slice, name string) int { return strings.Compare(e.Name, name) })
}

// lookup returns a Service that is there, or nil.
func (x *Index) lookup(namespace, name string) *service {
	if s := x.namespaces[namespace][name]; s != nil && s.known {
		return s
	}
	return nil
}

// refresh computes what follows from a service's objects.
func (x *Index) refresh(s *service) {
	for _, a := range s.listed {
		list := x.addresses[a]
		if i := slices.Index(list, s); i >= 0 {
			list = slices.Delete(list, i, i+1)
		}
		if x.addresses[a] = list; len(list) == 0 {
			delete(x.addresses, a)
		}
	}
	s.endpoints, s.listed = nil, nil
	if !s.known {
		if len(s.slices) == 0 {
			delete(x.namespaces[s.namespace], s.name)
			if len(x.namespaces[s.namespace]) == 0 {
				delete(x.namespaces, s.namespace)
			}
		}
		return
	}
	for _, slice := range s.slices {
		s.addEndpoints(slice)
	}
	slices.SortStableFunc(s.endpoints, func(a, b endpoint) int {
		return cmp.Or(a.addr.Compare(b.addr), strings.Compare(a.hostname, b.hostname))
	})
	s.listed = append(s.listed, s.Addresses...)
	if s.Headless {
		for _, e := range s.endpoints {
			s.listed = append(s.listed, e.addr)
		}
	}
	for _, a := range s.listed {
		x.addresses[a] = append(x.addresses[a], s)
	}
}

func (s *service) addEndpoints(slice Slice) {
	for _, e := range slice.Endpoints {
		if !e.Ready && !s.PublishNotReady || !s.Headless && e.Hostname == "" {
			continue
		}
		for _, a := range e.Addresses {
			s.endpoints = append(s.endpoints, endpoint{addr: a, hostname: e.Hostname, ports: slice.Ports})
		}
	}
}

// label is the name of an endpoint below its service: its hostname, or its address with dashes.
func (e endpoint) label() string {
	if e.hostname != "" {
		return e.hostname
	}
	return strings.NewReplacer(".", "-", ":", "-").Replace(e.addr.String())
}
