package endpointslice

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

const (
	labelEndpointsManagedBy = "endpoints.kubernetes.io/managed-by"
	endpointsManagedBy      = "endpoint-controller"

	// annotationOverCapacity says that addresses were left out, because one object must not grow without bound.
	annotationOverCapacity = corev1.EndpointsOverCapacity
	addressesMax           = 1000
)

func decideEndpoints(i in, _ none) (plan.Plan, none) {
	var p plan.Plan
	switch have := i.endpoints; {
	case i.service == nil:
		if have != nil && have.Labels[labelEndpointsManagedBy] == endpointsManagedBy {
			p.Do(plan.Delete{Key: view.KeyOf(kind.Endpoints, have), UID: have.UID})
		}
	case !kept(i.service):
	case have == nil && i.closing:
	case have == nil:
		e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: i.service.Namespace, Name: i.service.Name}}
		i.furnish(e)
		p.Do(plan.Create{Object: e})
	case have.DeletionTimestamp == nil:
		e := have.DeepCopy()
		i.furnish(e)
		if !equality.Semantic.DeepEqual(e, have) {
			p.Do(plan.Update{Object: e})
		}
	}
	return p, none{}
}

// furnish makes e what the service's Endpoints shall be.
func (i in) furnish(e *corev1.Endpoints) {
	e.Labels = make(map[string]string, len(i.service.Labels)+2)
	for k, v := range i.service.Labels {
		if k != corev1.IsHeadlessService {
			e.Labels[k] = v
		}
	}
	e.Labels[labelEndpointsManagedBy] = endpointsManagedBy
	if headless(i.service) {
		e.Labels[corev1.IsHeadlessService] = ""
	}
	over := false
	e.Subsets, over = i.subsets()
	if over {
		metav1.SetMetaDataAnnotation(&e.ObjectMeta, annotationOverCapacity, "truncated")
	} else {
		delete(e.Annotations, annotationOverCapacity)
	}
}

// subsets returns the service's addresses, grouped by ports; over is true if some had to be left out.
func (i in) subsets() (subsets []corev1.EndpointSubset, over bool) {
	family := families(i.service)[0]
	byPorts := make(map[string]*corev1.EndpointSubset)
	count := 0
	for _, pod := range i.pods {
		a := addresses(pod, family)
		if len(a) == 0 || !present(pod) || pod.DeletionTimestamp != nil && !i.service.Spec.PublishNotReadyAddresses {
			continue
		}
		if count == addressesMax {
			over = true
			break
		}
		count++
		ports := resolved(i.service, pod)
		subset := byPorts[portsKey(ports)]
		if subset == nil {
			subset = &corev1.EndpointSubset{Ports: oldPorts(ports)}
			byPorts[portsKey(ports)] = subset
		}
		address := corev1.EndpointAddress{IP: a[0], TargetRef: reference(pod)}
		if pod.Spec.NodeName != "" {
			name := pod.Spec.NodeName
			address.NodeName = &name
		}
		if named(i.service, pod) {
			address.Hostname = pod.Spec.Hostname
		}
		if i.service.Spec.PublishNotReadyAddresses || podReady(pod) {
			subset.Addresses = append(subset.Addresses, address)
		} else {
			subset.NotReadyAddresses = append(subset.NotReadyAddresses, address)
		}
	}
	keys := make([]string, 0, len(byPorts))
	for key := range byPorts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	byIP := func(a, b corev1.EndpointAddress) int { return strings.Compare(a.IP, b.IP) }
	for _, key := range keys {
		s := byPorts[key]
		slices.SortFunc(s.Addresses, byIP)
		slices.SortFunc(s.NotReadyAddresses, byIP)
		subsets = append(subsets, *s)
	}
	return subsets, over
}

func oldPorts(ports []discoveryv1.EndpointPort) []corev1.EndpointPort {
	var out []corev1.EndpointPort
	for _, p := range ports {
		out = append(out, corev1.EndpointPort{Name: *p.Name, Port: *p.Port, Protocol: *p.Protocol, AppProtocol: p.AppProtocol})
	}
	return out
}
