package check

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/view"
)

// Order: a pod of a StatefulSet with policy OrderedReady is created only when those of lower ordinals are there
// and ready. Since a controller sees the world late, it is enough that they were within the last while.
type Order struct{ ready map[view.Key]time.Time }

// late is how old a controller's view may be.
const late = 15 * time.Second

// Change implements Rule.
func (o *Order) Change(c view.Change, snap *view.Snapshot, now time.Time) error {
	pod, ok := c.Latest().(*corev1.Pod)
	if !ok {
		return nil
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != "StatefulSet" {
		return nil
	}
	if o.ready == nil {
		o.ready = make(map[view.Key]time.Time)
	}
	if old, ok := c.Old.(*corev1.Pod); ok && old != nil && pods.Ready(old) {
		o.ready[c.Key] = now // it was, until now
	}
	set, ok := view.Get[*appsv1.StatefulSet](snap, kind.StatefulSets, c.Key.Namespace, ref.Name)
	if c.Old != nil || !ok || set.Spec.PodManagementPolicy != appsv1.OrderedReadyPodManagement {
		return nil
	}
	first := 0
	if set.Spec.Ordinals != nil {
		first = int(set.Spec.Ordinals.Start)
	}
	for i := first; ; i++ {
		lower := view.Key{Kind: kind.Pods, Namespace: c.Key.Namespace, Name: fmt.Sprintf("%s-%d", set.Name, i)}
		if lower == c.Key || i > first+1000 {
			return nil
		}
		p, ok := snap.Get(lower).(*corev1.Pod)
		if ok && pods.Ready(p) {
			continue
		}
		if t, ok := o.ready[lower]; !ok || now.Sub(t) > late {
			return fmt.Errorf("pod %s was created before %s was ready", c.Key.Name, lower.Name)
		}
	}
}
