package ruleset

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Index has the Services with their EndpointSlices, so that what a change touches is found without a search.
// The zero value is empty. It belongs to one goroutine; objects in it are read-only.
type Index struct {
	services map[types.NamespacedName]*indexed
}

type indexed struct {
	service *corev1.Service
	slices  map[string]*discoveryv1.EndpointSlice
}

// PutService sets a Service.
func (x *Index) PutService(svc *corev1.Service) types.NamespacedName {
	key := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	x.entry(key).service = svc
	return key
}

// RemoveService removes a Service.
func (x *Index) RemoveService(svc *corev1.Service) types.NamespacedName {
	key := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	x.entry(key).service = nil
	x.drop(key)
	return key
}

// PutSlice sets an EndpointSlice; ok is false if it belongs to no Service.
func (x *Index) PutSlice(s *discoveryv1.EndpointSlice) (key types.NamespacedName, ok bool) {
	if key, ok = ownerOf(s); ok {
		x.entry(key).slices[s.Name] = s
	}
	return key, ok
}

// RemoveSlice removes an EndpointSlice; ok is false if it belongs to no Service.
func (x *Index) RemoveSlice(s *discoveryv1.EndpointSlice) (key types.NamespacedName, ok bool) {
	if key, ok = ownerOf(s); ok {
		delete(x.entry(key).slices, s.Name)
		x.drop(key)
	}
	return key, ok
}

// Compile returns the rules of a Service of the index, nothing if it is not there.
func (x *Index) Compile(key types.NamespacedName, node Node) Part {
	e := x.services[key]
	if e == nil || e.service == nil {
		return Part{}
	}
	names := slices.Sorted(maps.Keys(e.slices))
	list := make([]*discoveryv1.EndpointSlice, 0, len(names))
	for _, n := range names {
		list = append(list, e.slices[n])
	}
	return Compile(e.service, list, node)
}

// Services returns the keys of all Services, in order.
func (x *Index) Services() []types.NamespacedName {
	var keys []types.NamespacedName
	for k, e := range x.services {
		if e.service != nil {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b types.NamespacedName) int {
		if a.Namespace != b.Namespace {
			return strings.Compare(a.Namespace, b.Namespace)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return keys
}

func (x *Index) entry(key types.NamespacedName) *indexed {
	if x.services == nil {
		x.services = map[types.NamespacedName]*indexed{}
	}
	e := x.services[key]
	if e == nil {
		e = &indexed{slices: map[string]*discoveryv1.EndpointSlice{}}
		x.services[key] = e
	}
	return e
}

func (x *Index) drop(key types.NamespacedName) {
	if e := x.services[key]; e.service == nil && len(e.slices) == 0 {
		delete(x.services, key)
	}
}

func ownerOf(s *discoveryv1.EndpointSlice) (types.NamespacedName, bool) {
	name := s.Labels[discoveryv1.LabelServiceName]
	return types.NamespacedName{Namespace: s.Namespace, Name: name}, name != ""
}
