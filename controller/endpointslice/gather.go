package endpointslice

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// in is everything that a decision about one Service may know.
type in struct {
	service   *corev1.Service // nil if it is gone
	pods      []*corev1.Pod   // that it selects, by name
	zones     map[string]string
	slices    []*discoveryv1.EndpointSlice // of the service that are ours, by name
	endpoints *corev1.Endpoints            // of the service's name, or nil
	closing   bool                         // the namespace is being deleted: nothing new can be created in it
	labels    map[string]string            // that slices shall have; filled by the decision
}

// New returns the controller that keeps EndpointSlices.
func New() plan.Controller {
	return plan.Define("endpoint-slice-controller", []plan.Watch{
		{Kind: kind.Services, Keys: plan.Self},
		{Kind: kind.Pods, Keys: selecting},
		{Kind: kind.Nodes, Keys: zoneUsers},
		{Kind: kind.EndpointSlices, Keys: serviceOfSlice},
	}, func(snap *view.Snapshot, key view.Key, now time.Time) in {
		i := gather(snap, key)
		if i.service != nil {
			for s := range view.OwnedBy[*discoveryv1.EndpointSlice](snap, kind.EndpointSlices, i.service.UID) {
				if ours(s) && s.DeletionTimestamp == nil {
					i.slices = append(i.slices, s)
				}
			}
		}
		return i
	}, decideSlices)
}

// NewEndpoints returns the controller that keeps core/v1 Endpoints.
func NewEndpoints() plan.Controller {
	return plan.Define("endpoint-controller", []plan.Watch{
		{Kind: kind.Services, Keys: plan.Self},
		{Kind: kind.Pods, Keys: selecting},
		{Kind: kind.Endpoints, Keys: serviceOfEndpoints},
	}, func(snap *view.Snapshot, key view.Key, now time.Time) in {
		i := gather(snap, key)
		i.endpoints, _ = view.Get[*corev1.Endpoints](snap, kind.Endpoints, key.Namespace, key.Name)
		return i
	}, decideEndpoints)
}

func gather(snap *view.Snapshot, key view.Key) in {
	i := in{zones: make(map[string]string)}
	i.service, _ = view.Get[*corev1.Service](snap, kind.Services, key.Namespace, key.Name)
	if i.service == nil || !kept(i.service) {
		return i
	}
	if ns, ok := view.Get[*corev1.Namespace](snap, kind.Namespaces, "", key.Namespace); ok {
		i.closing = ns.DeletionTimestamp != nil
	}
	for pod := range view.All[*corev1.Pod](snap, kind.Pods, key.Namespace) {
		if !selects(i.service, pod) {
			continue
		}
		i.pods = append(i.pods, pod)
		if node, ok := view.Get[*corev1.Node](snap, kind.Nodes, "", pod.Spec.NodeName); ok {
			i.zones[node.Name] = node.Labels[corev1.LabelTopologyZone]
		}
	}
	return i
}

// kept reports whether the endpoints of the service are ours to keep.
func kept(s *corev1.Service) bool {
	return len(s.Spec.Selector) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName && s.DeletionTimestamp == nil
}

// selects reports whether the pod has all labels of the service's selector. A change of a pod asks this of every
// Service in the namespace, so nothing is allocated.
func selects(s *corev1.Service, pod *corev1.Pod) bool {
	for key, value := range s.Spec.Selector {
		if have, ok := pod.Labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}

func ours(s *discoveryv1.EndpointSlice) bool {
	return s.Labels[discoveryv1.LabelManagedBy] == managedBy
}

// selecting returns the Services that select a pod, or did before the change; none if nothing that endpoints show changed.
func selecting(snap *view.Snapshot, c view.Change) []view.Key {
	before, _ := c.Old.(*corev1.Pod)
	after, _ := c.New.(*corev1.Pod)
	if before != nil && after != nil && before.UID == after.UID && alike(before, after) {
		return nil
	}
	var keys []view.Key
	for s := range view.All[*corev1.Service](snap, kind.Services, c.Key.Namespace) {
		if kept(s) && (before != nil && selects(s, before) || after != nil && selects(s, after)) {
			keys = append(keys, view.KeyOf(kind.Services, s))
		}
	}
	return keys
}

// alike reports whether two versions of a pod make the same endpoints.
func alike(a, b *corev1.Pod) bool {
	return podReady(a) == podReady(b) && present(a) == present(b) &&
		(a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) &&
		a.Spec.NodeName == b.Spec.NodeName && a.Spec.Hostname == b.Spec.Hostname && a.Spec.Subdomain == b.Spec.Subdomain &&
		equality.Semantic.DeepEqual(a.Status.PodIPs, b.Status.PodIPs) && equality.Semantic.DeepEqual(a.Labels, b.Labels)
}

// zoneUsers returns the Services with pods on a node whose zone changed.
func zoneUsers(snap *view.Snapshot, c view.Change) []view.Key {
	before, _ := c.Old.(*corev1.Node)
	after, _ := c.New.(*corev1.Node)
	if after == nil || before == nil && after.Labels[corev1.LabelTopologyZone] == "" ||
		before != nil && before.Labels[corev1.LabelTopologyZone] == after.Labels[corev1.LabelTopologyZone] {
		return nil
	}
	seen := make(map[view.Key]bool)
	var keys []view.Key
	for pod := range snap.PodsOn(after.Name) {
		for _, key := range selecting(snap, view.Change{Key: view.KeyOf(kind.Pods, pod), New: pod}) {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func serviceOfSlice(_ *view.Snapshot, c view.Change) []view.Key {
	var keys []view.Key
	for _, obj := range []kind.Object{c.Old, c.New} {
		if s, ok := obj.(*discoveryv1.EndpointSlice); ok && ours(s) && s.Labels[discoveryv1.LabelServiceName] != "" {
			key := view.Key{Kind: kind.Services, Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
			if len(keys) == 0 || keys[0] != key {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func serviceOfEndpoints(_ *view.Snapshot, c view.Change) []view.Key {
	return []view.Key{{Kind: kind.Services, Namespace: c.Key.Namespace, Name: c.Key.Name}}
}
