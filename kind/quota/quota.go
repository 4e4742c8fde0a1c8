// Package quota is what objects cost in terms of a ResourceQuota: the usage of one object by resource name, and
// whether a quota's scopes select it. Admission charges with it, and the controller that keeps status.used counts
// with it, so that both always agree.
//
// It is pure. Objects are read-only. The rules are upstream's quota evaluators: pods cost what they request and
// limit until they are over, claims cost storage in all and by class, Services cost node ports and load balancers,
// and every object counts one of its kind ("count/deployments.apps", and the old names such as "configmaps").
package quota

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"sampan/kind"
)

// The prefixes of resource names.
const (
	countPrefix    = "count/"
	requestsPrefix = "requests."
	limitsPrefix   = "limits."
	hugePages      = "hugepages-"
	classSuffix    = ".storageclass.storage.k8s.io/"
)

// Usage returns what an object costs at a time. Resources of which it needs nothing may be missing.
func Usage(id kind.ID, obj kind.Object, now time.Time) corev1.ResourceList {
	out := corev1.ResourceList{corev1.ResourceName(countPrefix + string(id)): one()}
	switch obj := obj.(type) {
	case *corev1.Pod:
		if charged(obj, now) {
			addPod(out, obj)
		}
	case *corev1.Service:
		addService(out, obj)
	case *corev1.PersistentVolumeClaim:
		addClaim(out, obj)
	default:
		if oldName(id) {
			out[corev1.ResourceName(id)] = one()
		}
	}
	return out
}

func one() resource.Quantity { return *resource.NewQuantity(1, resource.DecimalSI) }

// oldName reports whether a kind is counted under its plain name too.
func oldName(id kind.ID) bool {
	switch id {
	case kind.ConfigMaps, kind.Secrets, kind.ReplicationControllers, kind.ResourceQuotas:
		return true
	}
	return false
}

// Over returns the time from which a pod that is being deleted costs nothing any more although it is still there;
// zero if it is not being deleted. It protects users from being charged for what a lost node cannot confirm.
func Over(pod *corev1.Pod) time.Time {
	if pod.DeletionTimestamp == nil || pod.DeletionGracePeriodSeconds == nil {
		return time.Time{}
	}
	return pod.DeletionTimestamp.Add(time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
}

func charged(pod *corev1.Pod, now time.Time) bool {
	if pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return false
	}
	over := Over(pod)
	return over.IsZero() || !now.After(over)
}

func addPod(out corev1.ResourceList, pod *corev1.Pod) {
	out[corev1.ResourcePods] = one()
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	addCompute(out, requests, limits)
}

func addCompute(out, requests, limits corev1.ResourceList) {
	for name, q := range requests {
		switch {
		case compute(name), strings.HasPrefix(string(name), hugePages):
			out[name] = q
			out[requestsPrefix+name] = q
		case extended(name):
			out[requestsPrefix+name] = q
		}
	}
	for name, q := range limits {
		if compute(name) {
			out[limitsPrefix+name] = q
		}
	}
}

func compute(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage
}

// extended reports whether a resource is one that a device plugin or an administrator defined.
func extended(name corev1.ResourceName) bool {
	domain, _, qualified := strings.Cut(string(name), "/")
	return qualified && !strings.HasSuffix(domain, "kubernetes.io") && !strings.HasPrefix(string(name), requestsPrefix)
}

func addService(out corev1.ResourceList, svc *corev1.Service) {
	out[corev1.ResourceServices] = one()
	ports := 0
	switch svc.Spec.Type {
	case corev1.ServiceTypeNodePort:
		ports = len(svc.Spec.Ports)
	case corev1.ServiceTypeLoadBalancer:
		out[corev1.ResourceServicesLoadBalancers] = one()
		if svc.Spec.AllocateLoadBalancerNodePorts == nil || *svc.Spec.AllocateLoadBalancerNodePorts {
			ports = len(svc.Spec.Ports)
			break
		}
		for _, p := range svc.Spec.Ports {
			if p.NodePort != 0 {
				ports++
			}
		}
	}
	out[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(int64(ports), resource.DecimalSI)
}

func addClaim(out corev1.ResourceList, claim *corev1.PersistentVolumeClaim) {
	out[corev1.ResourcePersistentVolumeClaims] = one()
	class := claim.Annotations[corev1.BetaStorageClassAnnotation]
	if class == "" && claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	if class != "" {
		out[corev1.ResourceName(class+classSuffix+"persistentvolumeclaims")] = one()
	}
	size, ok := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		return
	}
	if got, ok := claim.Status.AllocatedResources[corev1.ResourceStorage]; ok && got.Cmp(size) > 0 {
		size = got
	}
	out[corev1.ResourceRequestsStorage] = size
	if class != "" {
		out[corev1.ResourceName(class+classSuffix+"requests.storage")] = size
	}
}

// Tracks reports whether objects of a kind can cost something of a resource. A quota of names that no kind tracks
// is kept as it is written and never full.
func Tracks(id kind.ID, name corev1.ResourceName) bool {
	n := string(name)
	if n == countPrefix+string(id) {
		return true
	}
	switch id {
	case kind.Pods:
		bare := corev1.ResourceName(strings.TrimPrefix(n, requestsPrefix))
		return name == corev1.ResourcePods || compute(bare) || strings.HasPrefix(string(bare), hugePages) ||
			bare != name && extended(bare) || compute(corev1.ResourceName(strings.TrimPrefix(n, limitsPrefix)))
	case kind.Services:
		return name == corev1.ResourceServices || name == corev1.ResourceServicesNodePorts || name == corev1.ResourceServicesLoadBalancers
	case kind.PersistentVolumeClaims:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage ||
			strings.HasSuffix(n, classSuffix+"persistentvolumeclaims") || strings.HasSuffix(n, classSuffix+"requests.storage")
	}
	return oldName(id) && n == string(id)
}

// Names returns the resource names of a list, ordered.
func Names(list corev1.ResourceList) []corev1.ResourceName {
	return slices.Sorted(maps.Keys(list))
}

// Unspecified returns for each of the required resource names the containers of a pod that do not say how much they
// want of it. A quota for cpu or memory makes the pod's author say so for each container, unless the pod does as a
// whole.
func Unspecified(pod *corev1.Pod, required []corev1.ResourceName) map[corev1.ResourceName][]string {
	whole := corev1.ResourceList{}
	if r := pod.Spec.Resources; r != nil {
		addCompute(whole, r.Requests, r.Limits)
	}
	missing := map[corev1.ResourceName][]string{}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			has := corev1.ResourceList{}
			addCompute(has, list[i].Resources.Requests, list[i].Resources.Limits)
			for _, name := range required {
				_, own := has[name]
				_, common := whole[name]
				if mustSay(name) && !own && !common {
					missing[name] = append(missing[name], list[i].Name)
				}
			}
		}
	}
	for _, names := range missing {
		slices.Sort(names)
	}
	return missing
}

func mustSay(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory:
		return true
	}
	return false
}
