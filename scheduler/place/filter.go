package place

import corev1 "k8s.io/api/core/v1"

// Why a node does not fit, in upstream's words (v1.37).
const (
	reasonUnschedulable = "node(s) were unschedulable"
	reasonName          = "node(s) didn't match the requested node name"
	reasonTaint         = "node(s) had untolerated taint(s)"
	reasonAffinity      = "node(s) didn't match Pod's node affinity/selector"
	reasonPorts         = "node(s) didn't have free ports for the requested pod ports"
	reasonTooManyPods   = "Too many pods"
	reasonInsufficient  = "Insufficient " // and the resource's name
	reasonVolumeNode    = "node(s) didn't match PersistentVolume's node affinity"
	reasonVolumeFind    = "node(s) didn't find available persistent volumes to bind"
)

// filter calls reject with each reason for which the node cannot take the pod. Only the first kind of reason is
// looked for, but of resources every one that is short is named.
func (n *node) filter(r *Request, v *volumes, reject func(reason string)) (ok bool) {
	if reason := n.excluded(r); reason != "" {
		reject(reason)
		return false
	}
	if !n.enough(r, reject) {
		return false
	}
	if v != nil {
		if reason := v.excluded(n.object); reason != "" {
			reject(reason)
			return false
		}
	}
	return true
}

// excluded answers for everything but amounts and volumes.
func (n *node) excluded(r *Request) string {
	if n.object.Spec.Unschedulable && !r.tolerates(unschedulableTaint()) {
		return reasonUnschedulable
	}
	if r.Pod.Spec.NodeName != "" && r.Pod.Spec.NodeName != n.name {
		return reasonName
	}
	for i := range n.repel {
		if !r.tolerates(&n.repel[i]) {
			return reasonTaint
		}
	}
	if r.affinity != nil {
		if ok, err := r.affinity.Match(n.object); err != nil || !ok {
			return reasonAffinity
		}
	}
	for _, want := range r.ports {
		for _, have := range n.ports {
			if want.clashes(have) {
				return reasonPorts
			}
		}
	}
	return ""
}

// unschedulableTaint is the taint that a cordoned node stands for; a pod that tolerates it (a DaemonSet's) goes there.
func unschedulableTaint() *corev1.Taint {
	return &corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
}

func (n *node) enough(r *Request, reject func(reason string)) bool {
	ok := true
	short := func(reason string) {
		ok = false
		reject(reason)
	}
	if n.pods+1 > n.maxPods {
		short(reasonTooManyPods)
	}
	// A pod that asks for nothing of a resource fits however overcommitted the node is.
	if r.cpu > 0 && r.cpu > n.allocatable.cpu-n.taken.cpu {
		short(reasonInsufficient + string(corev1.ResourceCPU))
	}
	if r.memory > 0 && r.memory > n.allocatable.memory-n.taken.memory {
		short(reasonInsufficient + string(corev1.ResourceMemory))
	}
	if r.ephemeral > 0 && r.ephemeral > n.allocatable.ephemeral-n.taken.ephemeral {
		short(reasonInsufficient + string(corev1.ResourceEphemeralStorage))
	}
	for _, q := range r.extended {
		if q.value > n.allocatable.extended[q.name]-n.taken.extended[q.name] {
			short(reasonInsufficient + string(q.name))
		}
	}
	return ok
}
