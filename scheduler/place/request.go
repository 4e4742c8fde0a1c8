package place

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podresource "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// What a container without requests counts for when nodes are compared (not when they are filtered), so that
// pods without requests spread too. The figures are upstream's.
const (
	scoreMilliCPU = 100
	scoreMemory   = 200 << 20
)

// Request is what a pod asks of a node, computed once per pod. It is immutable.
type Request struct {
	Pod *corev1.Pod

	cpu, memory, ephemeral int64 // milli-CPU, bytes, bytes
	extended               []quantity
	scoreCPU, scoreMemory  int64 // as cpu and memory, with the defaults above
	ports                  []hostPort
	affinity               *nodeaffinity.RequiredNodeAffinity     // nil: any node
	preferred              *nodeaffinity.PreferredSchedulingTerms // nil: none
	owner                  types.UID                              // of the controller, "" for none
	images                 []string
	hash                   uint64 // of the UID
	volumes                bool   // names a claim
}

type quantity struct {
	name  corev1.ResourceName
	value int64
}

type hostPort struct {
	protocol corev1.Protocol
	ip       string
	port     int32
}

// clashes reports whether two sockets cannot be bound on one host.
func (p hostPort) clashes(q hostPort) bool {
	return p.protocol == q.protocol && p.port == q.port && (p.ip == q.ip || p.ip == anyAddress || q.ip == anyAddress)
}

const anyAddress = "0.0.0.0"

// NewRequest computes what a pod asks for.
func NewRequest(pod *corev1.Pod) *Request {
	r := &Request{Pod: pod, hash: hashOf(string(pod.UID))}
	r.resources(pod)
	for i := range pod.Spec.Containers {
		r.ports = appendPorts(r.ports, &pod.Spec.Containers[i])
		r.images = append(r.images, normalImage(pod.Spec.Containers[i].Image))
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			r.ports = appendPorts(r.ports, c)
		}
	}
	if a := pod.Spec.Affinity; len(pod.Spec.NodeSelector) > 0 || a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		required := nodeaffinity.GetRequiredNodeAffinity(pod)
		r.affinity = &required
	}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil && len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 {
		// Validation refuses terms that do not parse; one that slipped through is no preference.
		if p, err := nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution); err == nil {
			r.preferred = p
		}
	}
	for i := range pod.OwnerReferences {
		if ref := &pod.OwnerReferences[i]; ref.Controller != nil && *ref.Controller {
			r.owner = ref.UID
		}
	}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		r.volumes = r.volumes || v.PersistentVolumeClaim != nil || v.Ephemeral != nil
	}
	return r
}

func (r *Request) resources(pod *corev1.Pod) {
	for name, q := range podresource.PodRequests(pod, podresource.PodResourcesOptions{UseStatusResources: true}) {
		switch name {
		case corev1.ResourceCPU:
			r.cpu = q.MilliValue()
		case corev1.ResourceMemory:
			r.memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			r.ephemeral = q.Value()
		default:
			if v := q.Value(); v != 0 {
				r.extended = append(r.extended, quantity{name, v})
			}
		}
	}
	slices.SortFunc(r.extended, func(a, b quantity) int { return strings.Compare(string(a.name), string(b.name)) })
	r.scoreCPU, r.scoreMemory = r.cpu, r.memory
	for i := range pod.Spec.Containers {
		requests := pod.Spec.Containers[i].Resources.Requests
		if _, ok := requests[corev1.ResourceCPU]; !ok {
			r.scoreCPU += scoreMilliCPU
		}
		if _, ok := requests[corev1.ResourceMemory]; !ok {
			r.scoreMemory += scoreMemory
		}
	}
}

func appendPorts(ports []hostPort, c *corev1.Container) []hostPort {
	for i := range c.Ports {
		p := &c.Ports[i]
		if p.HostPort <= 0 {
			continue
		}
		hp := hostPort{protocol: p.Protocol, ip: p.HostIP, port: p.HostPort}
		if hp.protocol == "" {
			hp.protocol = corev1.ProtocolTCP
		}
		if hp.ip == "" {
			hp.ip = anyAddress
		}
		ports = append(ports, hp)
	}
	return ports
}

// normalImage adds the tag that a reference without one means; nodes report images with their tags.
func normalImage(name string) string {
	if strings.LastIndexByte(name, ':') <= strings.LastIndexByte(name, '/') {
		name += ":latest"
	}
	return name
}

func hashOf(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// tolerates reports whether the pod may be put on a node with the taint.
func (r *Request) tolerates(taint *corev1.Taint) bool {
	for i := range r.Pod.Spec.Tolerations {
		if r.Pod.Spec.Tolerations[i].ToleratesTaint(logr.Discard(), taint, true) {
			return true
		}
	}
	return false
}
