package admit

import (
	"maps"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/view"
)

// PodTopologyLabels gives a pod that is created on a node the node's zone and region as labels, so that its
// containers can read them. Pods that are bound later get them with their binding.
func PodTopologyLabels(req *Request, snap *view.Snapshot) error {
	pod := podOf(req)
	if pod == nil || req.Verb != Create || pod.Spec.NodeName == "" {
		return nil
	}
	if labels := TopologyLabels(snap, pod.Spec.NodeName); len(labels) > 0 {
		if pod.Labels == nil {
			pod.Labels = map[string]string{}
		}
		maps.Copy(pod.Labels, labels)
	}
	return nil
}

// TopologyLabels returns the labels that a node passes on to its pods; nil if it has none, or is not there.
func TopologyLabels(snap *view.Snapshot, node string) map[string]string {
	n, ok := view.Get[*corev1.Node](snap, kind.Nodes, "", node)
	if !ok {
		return nil
	}
	var out map[string]string
	for _, key := range [...]string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion} {
		if value, ok := n.Labels[key]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[key] = value
		}
	}
	return out
}
