package nodelife

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

const (
	// grace is how long a node may be silent: four renewals.
	grace = 40 * time.Second
	// startupGrace is how long a new node may take to report for the first time.
	startupGrace = 60 * time.Second
)

// memory is what a node was last heard to say, and when that was noticed. Times are ours: clocks of nodes differ, and
// after a restart every node gets the full grace.
type memory struct {
	renewed   time.Time // the lease's renewTime
	heartbeat time.Time // the Ready condition's lastHeartbeatTime
	at        time.Time
	// tainted is when NoExecute taints without a time of their own were first seen, by key and value.
	tainted map[string]time.Time
}

func decide(i in, m memory) (plan.Plan, memory) {
	var p plan.Plan
	if i.node == nil {
		return p, memory{}
	}
	m = m.hear(i)
	if silentAt := m.at.Add(i.patience()); i.now.Before(silentAt) {
		p.Wake(silentAt)
	} else if i.lapse(&p) {
		return p, m // the taints follow from the new status, with the next view
	}
	i.taint(&p)
	if readyStatus(i.node) == corev1.ConditionUnknown && condition(i.node, corev1.NodeReady) != nil {
		i.unready(&p)
	}
	return p, i.evict(&p, m)
}

// hear notes whether the node said anything since.
func (m memory) hear(i in) memory {
	var renewed, heartbeat time.Time
	if i.lease != nil && i.lease.Spec.RenewTime != nil {
		renewed = i.lease.Spec.RenewTime.Time
	}
	if c := condition(i.node, corev1.NodeReady); c != nil {
		heartbeat = c.LastHeartbeatTime.Time
	}
	if m.at.IsZero() || !renewed.Equal(m.renewed) || !heartbeat.Equal(m.heartbeat) {
		m.renewed, m.heartbeat, m.at = renewed, heartbeat, i.now
	}
	return m
}

func (i in) patience() time.Duration {
	if condition(i.node, corev1.NodeReady) == nil {
		return startupGrace
	}
	return grace
}

// lapse makes the conditions of a silent node Unknown.
func (i in) lapse(p *plan.Plan) bool {
	node := i.node.DeepCopy()
	now := metav1.NewTime(i.now.Truncate(time.Second))
	changed := false
	for _, t := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		switch c := condition(node, t); {
		case c == nil:
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
				Type: t, Status: corev1.ConditionUnknown, Reason: "NodeStatusNeverUpdated", Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: now,
			})
			changed = true
		case c.Status != corev1.ConditionUnknown:
			c.Status, c.Reason, c.Message, c.LastTransitionTime = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status.", now
			changed = true
		}
	}
	if changed {
		p.Do(plan.UpdateStatus{Object: node}, plan.Reason{
			About: view.KeyOf(kind.Nodes, node), EventReason: "NodeNotReady",
			Message: fmt.Sprintf("Node %s status is now: NodeNotReady", node.Name),
		})
	}
	return changed
}

// unready marks the pods of a silent node as not ready, so that Services stop sending to them. A node that reports
// itself as not ready still speaks for its pods.
func (i in) unready(p *plan.Plan) {
	for _, have := range i.pods() {
		pod := have.DeepCopy()
		for n := range pod.Status.Conditions {
			c := &pod.Status.Conditions[n]
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				c.Status, c.LastTransitionTime = corev1.ConditionFalse, metav1.NewTime(i.now.Truncate(time.Second))
				p.Do(plan.UpdateStatus{Object: pod}, plan.Reason{
					About: view.KeyOf(kind.Pods, pod), EventReason: "NodeNotReady", Warning: true, Message: "Node is not ready",
				})
			}
		}
	}
}
