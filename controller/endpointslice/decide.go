package endpointslice

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

const (
	managedBy = "endpointslice-controller.k8s.io"

	// endpointsMax bounds a slice, and so the size of one update to every watcher.
	endpointsMax = 100
)

// none is the memory of decisions that remember nothing.
type none struct{}

// group is the endpoints that belong in slices of one address type and one set of ports.
type group struct {
	addressType discoveryv1.AddressType
	ports       []discoveryv1.EndpointPort
	endpoints   []discoveryv1.Endpoint // by pod name
}

func (g *group) key() string { return string(g.addressType) + "|" + portsKey(g.ports) }

func decideSlices(i in, _ none) (plan.Plan, none) {
	var p plan.Plan
	if i.service == nil || !kept(i.service) {
		return p, none{} // the slices of a Service that is gone are garbage by their owner reference
	}
	i.labels = sliceLabels(i.service)
	existing := make(map[string][]*discoveryv1.EndpointSlice)
	used := make(map[string]bool)
	for _, s := range i.slices {
		key := string(s.AddressType) + "|" + portsKey(s.Ports)
		existing[key] = append(existing[key], s)
		used[s.Name] = true
	}
	var stale []*discoveryv1.EndpointSlice
	slot := 0
	for _, g := range groups(i) {
		stale = append(stale, i.fill(&p, g, existing[g.key()], used, &slot)...)
		delete(existing, g.key())
	}
	// What replaces a stale slice is written first, so that no endpoint is out of sight for a moment.
	for _, s := range i.slices {
		if _, ok := existing[string(s.AddressType)+"|"+portsKey(s.Ports)]; ok || slices.Contains(stale, s) {
			p.Do(plan.Delete{Key: view.KeyOf(kind.EndpointSlices, s), UID: s.UID})
		}
	}
	return p, none{}
}

// groups sorts the service's endpoints into groups, ordered by address type and ports. Each address type has at least
// one group: an empty slice tells readers that there are no endpoints, not that nobody looked yet.
func groups(i in) []*group {
	var out []*group
	for _, t := range families(i.service) {
		byKey := make(map[string]*group)
		for _, pod := range i.pods {
			a := addresses(pod, t)
			if len(a) == 0 || !present(pod) {
				continue
			}
			ports := resolved(i.service, pod)
			g := byKey[portsKey(ports)]
			if g == nil {
				g = &group{addressType: t, ports: ports}
				byKey[portsKey(ports)] = g
			}
			g.endpoints = append(g.endpoints, endpoint(i.service, pod, a, i.zones[pod.Spec.NodeName]))
		}
		if len(byKey) == 0 {
			byKey[""] = &group{addressType: t, ports: []discoveryv1.EndpointPort{}}
		}
		keys := make([]string, 0, len(byKey))
		for key := range byKey {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			g := byKey[key]
			slices.SortFunc(g.endpoints, func(a, b discoveryv1.Endpoint) int {
				return strings.Compare(a.TargetRef.Name, b.TargetRef.Name)
			})
			out = append(out, g)
		}
	}
	return out
}

// draft is a slice as it shall be.
type draft struct {
	was       *discoveryv1.EndpointSlice
	endpoints []discoveryv1.Endpoint
}

// fill plans the slices of one group and returns those that are left over. Endpoints stay where they are; new ones
// go where there is room, first into slices that are written anyway.
func (i in) fill(p *plan.Plan, g *group, have []*discoveryv1.EndpointSlice, used map[string]bool, slot *int) (stale []*discoveryv1.EndpointSlice) {
	wanted := make(map[types.UID]discoveryv1.Endpoint, len(g.endpoints))
	for _, e := range g.endpoints {
		wanted[e.TargetRef.UID] = e
	}
	var drafts []*draft
	for _, s := range have {
		d := &draft{was: s}
		for _, e := range s.Endpoints {
			if e.TargetRef == nil || len(d.endpoints) == endpointsMax {
				continue
			}
			if w, ok := wanted[e.TargetRef.UID]; ok {
				d.endpoints = append(d.endpoints, w)
				delete(wanted, e.TargetRef.UID)
			}
		}
		drafts = append(drafts, d)
	}
	rest := slices.DeleteFunc(slices.Clone(g.endpoints), func(e discoveryv1.Endpoint) bool {
		_, ok := wanted[e.TargetRef.UID]
		return !ok
	})
	drafts = i.settle(drafts, rest)
	if len(g.endpoints) == 0 {
		drafts = append(drafts, &draft{})[:1] // the empty slice of a group without endpoints
	} else {
		drafts = slices.DeleteFunc(drafts, func(d *draft) bool { return len(d.endpoints) == 0 })
	}
	kept := make(map[*discoveryv1.EndpointSlice]bool)
	for _, d := range drafts {
		kept[d.was] = true
		i.write(p, g, d, used, slot)
	}
	return slices.DeleteFunc(slices.Clone(have), func(s *discoveryv1.EndpointSlice) bool { return kept[s] })
}

// settle puts endpoints that have no slice yet into the drafts, and into new ones.
func (i in) settle(drafts []*draft, rest []discoveryv1.Endpoint) []*draft {
	put := func(d *draft) {
		n := min(len(rest), endpointsMax-len(d.endpoints))
		d.endpoints = append(d.endpoints, rest[:n]...)
		rest = rest[n:]
	}
	for _, d := range drafts {
		if i.differs(d) {
			put(d)
		}
	}
	// One untouched slice with room is better than a slice more; the fullest that takes all, if there is one.
	for len(rest) > 0 {
		var best *draft
		for _, d := range drafts {
			room := endpointsMax - len(d.endpoints)
			if room == 0 {
				continue
			}
			if best == nil || room >= len(rest) && (len(d.endpoints) > len(best.endpoints) || endpointsMax-len(best.endpoints) < len(rest)) {
				best = d
			}
		}
		if best == nil {
			best = &draft{}
			drafts = append(drafts, best)
		}
		put(best)
	}
	return drafts
}

// differs reports whether an existing slice must be written to become the draft.
func (i in) differs(d *draft) bool {
	return !slices.EqualFunc(d.was.Endpoints, d.endpoints, same) || !maps.Equal(d.was.Labels, i.labels)
}

// same compares what we write of an endpoint. It is called for every endpoint of a Service whenever one of them
// changes, which is too often for a comparison by reflection.
func same(a, b discoveryv1.Endpoint) bool {
	return slices.Equal(a.Addresses, b.Addresses) &&
		equal(a.Conditions.Ready, b.Conditions.Ready) && equal(a.Conditions.Serving, b.Conditions.Serving) &&
		equal(a.Conditions.Terminating, b.Conditions.Terminating) &&
		equal(a.Hostname, b.Hostname) && equal(a.NodeName, b.NodeName) && equal(a.Zone, b.Zone) &&
		equal(a.TargetRef, b.TargetRef) && a.Hints == nil && b.Hints == nil
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func (i in) write(p *plan.Plan, g *group, d *draft, used map[string]bool, slot *int) {
	if d.was != nil {
		if i.differs(d) {
			s := d.was.DeepCopy()
			s.Endpoints, s.Labels = d.endpoints, maps.Clone(i.labels)
			p.Do(plan.Update{Object: s})
		}
		return
	}
	if i.closing {
		return
	}
	name := ""
	for name == "" || used[name] {
		name = plan.ChildName(i.service.Name+"-", i.service.UID, *slot)
		*slot++
	}
	used[name] = true
	endpoints := d.endpoints
	if endpoints == nil {
		endpoints = []discoveryv1.Endpoint{}
	}
	p.Do(plan.Create{Object: &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: i.service.Namespace, Name: name, Labels: maps.Clone(i.labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(i.service, corev1.SchemeGroupVersion.WithKind("Service"))},
		},
		AddressType: g.addressType,
		Endpoints:   endpoints,
		Ports:       g.ports,
	}})
}

// sliceLabels returns the service's labels and our own. Those that have a meaning on slices are never inherited.
func sliceLabels(s *corev1.Service) map[string]string {
	out := make(map[string]string, len(s.Labels)+3)
	for k, v := range s.Labels {
		if k != discoveryv1.LabelServiceName && k != discoveryv1.LabelManagedBy && k != corev1.IsHeadlessService {
			out[k] = v
		}
	}
	out[discoveryv1.LabelServiceName] = s.Name
	out[discoveryv1.LabelManagedBy] = managedBy
	if headless(s) {
		out[corev1.IsHeadlessService] = ""
	}
	return out
}

func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }
