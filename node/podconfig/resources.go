package podconfig

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/kubectl/pkg/util/qos"
)

const (
	sharesPerCPU = 1024
	sharesMin    = 2
	sharesMax    = 262144
	quotaPeriod  = 100_000 // microseconds
	quotaMin     = 1_000

	oomScoreGuaranteed = -997
	oomScoreBestEffort = 1000
	// oomScoreBurstableMin and Max bound what a burstable container gets, so that it never is as safe as a
	// guaranteed one nor as exposed as one that asks for nothing.
	oomScoreBurstableMin = 3
	oomScoreBurstableMax = 999
)

// containerResources returns the limits of one container.
func containerResources(pod *corev1.Pod, c *corev1.Container, memoryCapacity int64) *runtimeapi.LinuxContainerResources {
	r := limits(c.Resources.Requests, c.Resources.Limits)
	r.OomScoreAdj = oomScoreAdj(pod, c, memoryCapacity)
	return r
}

// podResources returns the limits of the whole pod: a limit holds only if every container has one.
func podResources(pod *corev1.Pod) *runtimeapi.LinuxContainerResources {
	requests := resource.PodRequests(pod, resource.PodResourcesOptions{ExcludeOverhead: true})
	all := resource.PodLimits(pod, resource.PodResourcesOptions{ExcludeOverhead: true})
	bounded := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit, ok := all[name]
		for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
			for i := range list {
				if q, set := list[i].Resources.Limits[name]; !set || q.IsZero() {
					ok = false
				}
			}
		}
		if pod.Spec.Resources != nil {
			if q, set := pod.Spec.Resources.Limits[name]; set {
				limit, ok = q, true
			}
		}
		if ok {
			bounded[name] = limit
		}
	}
	return limits(requests, bounded)
}

func limits(requests, limits corev1.ResourceList) *runtimeapi.LinuxContainerResources {
	r := &runtimeapi.LinuxContainerResources{CpuPeriod: quotaPeriod}
	milli := requests.Cpu().MilliValue()
	if _, ok := requests[corev1.ResourceCPU]; !ok {
		milli = limits.Cpu().MilliValue()
	}
	r.CpuShares = min(max(milli*sharesPerCPU/1000, sharesMin), sharesMax)
	if cpu := limits.Cpu().MilliValue(); cpu > 0 {
		r.CpuQuota = max(cpu*quotaPeriod/1000, quotaMin)
	}
	r.MemoryLimitInBytes = max(limits.Memory().Value(), 0)
	return r
}

// oomScoreAdj follows Kubernetes: the less of its request a container may exceed, the later it is killed.
func oomScoreAdj(pod *corev1.Pod, c *corev1.Container, memoryCapacity int64) int64 {
	if pod.Spec.PriorityClassName == "system-node-critical" {
		return oomScoreGuaranteed
	}
	switch qos.GetPodQOS(pod) {
	case corev1.PodQOSGuaranteed:
		return oomScoreGuaranteed
	case corev1.PodQOSBestEffort:
		return oomScoreBestEffort
	}
	if memoryCapacity <= 0 {
		return oomScoreBurstableMax
	}
	score := 1000 - 1000*c.Resources.Requests.Memory().Value()/memoryCapacity
	return min(max(score, oomScoreBurstableMin), oomScoreBurstableMax)
}
