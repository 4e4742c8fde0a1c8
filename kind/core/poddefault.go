package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	resourcehelper "k8s.io/component-helpers/resource"
)

// DefaultPodTemplate fills a pod template, in place. A template gets less than a pod does: what depends on
// the pod as a whole (requests from limits, host ports, service links) is filled when the pod is created, so
// that the template shows what its writer wrote.
func DefaultPodTemplate(template *corev1.PodTemplateSpec) {
	dropInitContainerAnnotations(template.Annotations)
	defaultPodSpec(&template.Spec)
}

// dropInitContainerAnnotations drops what once stood for spec.initContainers and their statuses, so that nobody takes them
// for it.
func dropInitContainerAnnotations(annotations map[string]string) {
	for _, stage := range []string{"alpha", "beta"} {
		delete(annotations, "pod."+stage+".kubernetes.io/init-containers")
		delete(annotations, "pod."+stage+".kubernetes.io/init-container-statuses")
	}
}

func defaultPodSpec(spec *corev1.PodSpec) {
	if spec.DNSPolicy == "" {
		spec.DNSPolicy = corev1.DNSClusterFirst
	}
	if spec.RestartPolicy == "" {
		spec.RestartPolicy = corev1.RestartPolicyAlways
	}
	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	if spec.TerminationGracePeriodSeconds == nil {
		spec.TerminationGracePeriodSeconds = new(int64(corev1.DefaultTerminationGracePeriodSeconds))
	}
	if spec.SchedulerName == "" {
		spec.SchedulerName = corev1.DefaultSchedulerName
	}
	// serviceAccount is the deprecated name of serviceAccountName; the API shows both.
	if spec.ServiceAccountName == "" {
		spec.ServiceAccountName = spec.DeprecatedServiceAccount
	}
	spec.DeprecatedServiceAccount = spec.ServiceAccountName
	for i := range spec.Volumes {
		defaultVolume(&spec.Volumes[i])
	}
	for i := range spec.InitContainers {
		defaultContainer(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		defaultContainer(&spec.Containers[i])
	}
	for i := range spec.EphemeralContainers {
		c := corev1.Container(spec.EphemeralContainers[i].EphemeralContainerCommon)
		defaultContainer(&c)
		spec.EphemeralContainers[i].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
	}
	if spec.Resources != nil {
		roundResources(spec.Resources)
	}
	roundMilli(spec.Overhead)
}

// defaultPod fills what a pod gets beyond its template.
func defaultPod(pod *corev1.Pod) {
	spec := &pod.Spec
	dropInitContainerAnnotations(pod.Annotations)
	defaultPodSpec(spec)
	requestsFromLimits(spec.Containers)
	requestsFromLimits(spec.InitContainers)
	defaultPodResources(pod)
	if spec.EnableServiceLinks == nil {
		spec.EnableServiceLinks = new(corev1.DefaultEnableServiceLinks)
	}
	if spec.HostNetwork {
		hostPorts(spec.Containers)
		hostPorts(spec.InitContainers)
	}
}

// defaultPodResources fills what is left out of the resources of the pod as a whole (KEP-2837): limits of huge pages and
// requests from those of the containers, and the rest of the requests from the limits.
func defaultPodResources(pod *corev1.Pod) {
	r := pod.Spec.Resources
	if r == nil || len(r.Limits)+len(r.Requests) == 0 {
		return
	}
	for name, limit := range resourcehelper.AggregateContainerLimits(pod, resourcehelper.PodResourcesOptions{}) {
		_, limited := r.Limits[name]
		_, asked := r.Requests[name]
		if isHugePages(name) && !limited && !asked {
			if r.Limits == nil {
				r.Limits = make(corev1.ResourceList)
			}
			r.Limits[name] = limit.DeepCopy()
		}
	}
	if len(r.Limits) == 0 {
		return
	}
	fill := func(name corev1.ResourceName, amount resource.Quantity) {
		if _, asked := r.Requests[name]; asked || !resourcehelper.IsSupportedPodLevelResource(name) {
			return
		}
		if r.Requests == nil {
			r.Requests = make(corev1.ResourceList)
		}
		r.Requests[name] = amount.DeepCopy()
	}
	for name, request := range resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{}) {
		if overcommits(name) {
			fill(name, request)
		}
	}
	for name, limit := range r.Limits {
		fill(name, limit)
	}
}

func requestsFromLimits(containers []corev1.Container) {
	for i := range containers {
		defaultRequests(&containers[i].Resources)
	}
}

func defaultRequests(r *corev1.ResourceRequirements) {
	for name, limit := range r.Limits {
		if _, ok := r.Requests[name]; ok {
			continue
		}
		if r.Requests == nil {
			r.Requests = make(corev1.ResourceList, len(r.Limits))
		}
		r.Requests[name] = limit.DeepCopy()
	}
}

// hostPorts gives containers on the host's network the host ports that they occupy anyway, so that the
// scheduler sees conflicts.
func hostPorts(containers []corev1.Container) {
	for i := range containers {
		for j := range containers[i].Ports {
			if p := &containers[i].Ports[j]; p.HostPort == 0 {
				p.HostPort = p.ContainerPort
			}
		}
	}
}

func defaultContainer(c *corev1.Container) {
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = pullPolicyFor(c.Image)
	}
	if c.TerminationMessagePath == "" {
		c.TerminationMessagePath = corev1.TerminationMessagePathDefault
	}
	if c.TerminationMessagePolicy == "" {
		c.TerminationMessagePolicy = corev1.TerminationMessageReadFile
	}
	for i := range c.Ports {
		if c.Ports[i].Protocol == "" {
			c.Ports[i].Protocol = corev1.ProtocolTCP
		}
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil {
			defaultFieldRef(from.FieldRef)
			if from.FileKeyRef != nil && from.FileKeyRef.Optional == nil {
				from.FileKeyRef.Optional = new(false)
			}
		}
	}
	defaultProbe(c.LivenessProbe)
	defaultProbe(c.ReadinessProbe)
	defaultProbe(c.StartupProbe)
	if c.Lifecycle != nil {
		if h := c.Lifecycle.PostStart; h != nil {
			defaultHTTPGet(h.HTTPGet)
		}
		if h := c.Lifecycle.PreStop; h != nil {
			defaultHTTPGet(h.HTTPGet)
		}
	}
	roundResources(&c.Resources)
}

// pullPolicyFor is Always for the tag "latest", written or implied, and IfNotPresent for everything else. A digest
// stands for the tag that is not there, but not for one that is.
func pullPolicyFor(image string) corev1.PullPolicy {
	name, _, pinned := strings.Cut(image, "@")
	last := name[strings.LastIndexByte(name, '/')+1:] // a colon before the slash belongs to the registry's port
	_, tag, tagged := strings.Cut(last, ":")
	if tag == "latest" || (!tagged && !pinned) {
		return corev1.PullAlways
	}
	return corev1.PullIfNotPresent
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	if p.TimeoutSeconds == 0 {
		p.TimeoutSeconds = 1
	}
	if p.PeriodSeconds == 0 {
		p.PeriodSeconds = 10
	}
	if p.SuccessThreshold == 0 {
		p.SuccessThreshold = 1
	}
	if p.FailureThreshold == 0 {
		p.FailureThreshold = 3
	}
	defaultHTTPGet(p.HTTPGet)
	if p.GRPC != nil && p.GRPC.Service == nil {
		p.GRPC.Service = new("")
	}
}

func defaultHTTPGet(get *corev1.HTTPGetAction) {
	if get == nil {
		return
	}
	if get.Path == "" {
		get.Path = "/"
	}
	if get.Scheme == "" {
		get.Scheme = corev1.URISchemeHTTP
	}
	if get.Port.Type == intstr.String && get.Port.StrVal == "" {
		get.Port = intstr.FromInt32(0)
	}
}

func defaultFieldRef(ref *corev1.ObjectFieldSelector) {
	if ref != nil && ref.APIVersion == "" {
		ref.APIVersion = "v1"
	}
}

func roundResources(r *corev1.ResourceRequirements) {
	roundMilli(r.Limits)
	roundMilli(r.Requests)
}

// roundMilli rounds quantities up to a thousandth, the smallest part that the API keeps.
func roundMilli(list corev1.ResourceList) {
	for name, q := range list {
		q := q.DeepCopy()
		if !q.RoundUp(resource.Milli) {
			list[name] = q
		}
	}
}
