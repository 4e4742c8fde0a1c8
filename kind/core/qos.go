package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// QOSClass returns the quality of service class that a pod's resources give it: Guaranteed if every container
// has CPU and memory limits equal to its requests, BestEffort if none asks for either, Burstable otherwise.
// Resources of the pod as a whole, if given, count instead of the containers'.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
func QOSClass(spec *corev1.PodSpec) corev1.PodQOSClass {
	var all []corev1.ResourceRequirements
	if r := spec.Resources; r != nil && (len(r.Requests) > 0 || len(r.Limits) > 0) {
		all = append(all, *r)
	} else {
		for i := range spec.Containers {
			all = append(all, spec.Containers[i].Resources)
		}
		for i := range spec.InitContainers {
			all = append(all, spec.InitContainers[i].Resources)
		}
	}
	asked, guaranteed := false, true
	for _, r := range all {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit := r.Limits[name]
			request, given := r.Requests[name]
			asked = asked || positive(limit) || positive(request)
			if !positive(limit) || (given && request.Cmp(limit) != 0) {
				guaranteed = false
			}
		}
	}
	switch {
	case !asked:
		return corev1.PodQOSBestEffort
	case guaranteed:
		return corev1.PodQOSGuaranteed
	default:
		return corev1.PodQOSBurstable
	}
}

func positive(q resource.Quantity) bool { return q.Sign() > 0 }
