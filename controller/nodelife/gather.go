package nodelife

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// in is everything that a decision about one node may know.
type in struct {
	node  *corev1.Node          // nil if it is gone
	lease *coordinationv1.Lease // nil if it has none
	pods  func() []*corev1.Pod  // on the node, not finished, by name; called only for nodes in trouble
	now   time.Time
}

// New returns the controller that follows the life of nodes.
func New() plan.Controller {
	return plan.Define("node-controller", []plan.Watch{
		{Kind: kind.Nodes, Keys: plan.Self},
		{Kind: kind.Leases, Keys: nodeOfLease},
		{Kind: kind.Pods, Keys: troubledNode},
	}, gather, decide)
}

func nodeOfLease(_ *view.Snapshot, c view.Change) []view.Key {
	if c.Key.Namespace != corev1.NamespaceNodeLease {
		return nil
	}
	return []view.Key{{Kind: kind.Nodes, Name: c.Key.Name}}
}

// troubledNode returns the node of a pod that came there or changed, if something must be done with pods there.
func troubledNode(snap *view.Snapshot, c view.Change) []view.Key {
	pod, ok := c.New.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" {
		return nil
	}
	if old, ok := c.Old.(*corev1.Pod); ok && old.Spec.NodeName == pod.Spec.NodeName && pods.Ready(old) == pods.Ready(pod) &&
		equality.Semantic.DeepEqual(old.Spec.Tolerations, pod.Spec.Tolerations) {
		return nil
	}
	node, ok := view.Get[*corev1.Node](snap, kind.Nodes, "", pod.Spec.NodeName)
	if !ok || readyStatus(node) != corev1.ConditionUnknown && !evicts(node) {
		return nil
	}
	return []view.Key{view.KeyOf(kind.Nodes, node)}
}

func evicts(node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		if node.Spec.Taints[i].Effect == corev1.TaintEffectNoExecute {
			return true
		}
	}
	return false
}

func readyStatus(node *corev1.Node) corev1.ConditionStatus {
	if c := condition(node, corev1.NodeReady); c != nil {
		return c.Status
	}
	return corev1.ConditionUnknown
}

func condition(node *corev1.Node, t corev1.NodeConditionType) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == t {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

func gather(snap *view.Snapshot, key view.Key, now time.Time) in {
	i := in{now: now}
	i.node, _ = view.Get[*corev1.Node](snap, kind.Nodes, "", key.Name)
	i.lease, _ = view.Get[*coordinationv1.Lease](snap, kind.Leases, corev1.NamespaceNodeLease, key.Name)
	i.pods = func() []*corev1.Pod {
		var list []*corev1.Pod
		for pod := range snap.PodsOn(key.Name) {
			if !pods.Finished(pod) {
				list = append(list, pod)
			}
		}
		return list
	}
	return i
}
