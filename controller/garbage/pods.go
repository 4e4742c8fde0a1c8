package garbage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

const (
	// finishedMax is how many finished pods may stay, for people to look at.
	finishedMax = 12500
	// quarantine is how long a node must have been gone before its pods are taken for lost: it may be re-registering.
	quarantine = 40 * time.Second
)

// podIn is everything that a decision about one pod may know; for the key of no pod, about all finished ones.
type podIn struct {
	pod      *corev1.Pod // nil if it is gone
	hasNode  bool        // the pod's node exists
	finished []*corev1.Pod
	now      time.Time
}

// podMem is since when a pod's node has been seen to be gone.
type podMem struct{ since time.Time }

// NewPods returns the controller that removes pods which no node agent will finish.
func NewPods() plan.Controller {
	return plan.Define("pod-garbage-collector-controller", []plan.Watch{
		{Kind: kind.Pods, Keys: lostPod},
		{Kind: kind.Nodes, Keys: podsOfLostNode},
	}, gatherPod, decidePod)
}

// allPods is the key under which the number of finished pods is looked at.
func allPods() view.Key { return view.Key{Kind: kind.Pods} }

func lostPod(snap *view.Snapshot, c view.Change) []view.Key {
	pod, ok := c.New.(*corev1.Pod)
	if !ok {
		return nil
	}
	var keys []view.Key
	if lost(snap, pod) {
		keys = append(keys, c.Key)
	}
	if before, ok := c.Old.(*corev1.Pod); pods.Finished(pod) && (!ok || !pods.Finished(before)) && snap.Len(kind.Pods) > finishedMax {
		keys = append(keys, allPods())
	}
	return keys
}

// lost reports whether no node agent will ever finish the pod.
func lost(snap *view.Snapshot, pod *corev1.Pod) bool {
	if pod.Spec.NodeName == "" {
		return pod.DeletionTimestamp != nil
	}
	_, ok := view.Get[*corev1.Node](snap, kind.Nodes, "", pod.Spec.NodeName)
	return !ok
}

func podsOfLostNode(snap *view.Snapshot, c view.Change) []view.Key {
	if c.New != nil && c.Old != nil {
		return nil
	}
	var keys []view.Key
	for pod := range snap.PodsOn(c.Key.Name) {
		keys = append(keys, view.KeyOf(kind.Pods, pod))
	}
	return keys
}

func gatherPod(snap *view.Snapshot, key view.Key, now time.Time) podIn {
	i := podIn{now: now}
	if key == allPods() {
		if snap.Len(kind.Pods) > finishedMax {
			for pod := range view.All[*corev1.Pod](snap, kind.Pods, "") {
				if pods.Finished(pod) && pod.DeletionTimestamp == nil {
					i.finished = append(i.finished, pod)
				}
			}
		}
		return i
	}
	i.pod, _ = view.Get[*corev1.Pod](snap, kind.Pods, key.Namespace, key.Name)
	if i.pod != nil {
		_, i.hasNode = view.Get[*corev1.Node](snap, kind.Nodes, "", i.pod.Spec.NodeName)
	}
	return i
}

func decidePod(i podIn, m podMem) (plan.Plan, podMem) {
	var p plan.Plan
	switch {
	case len(i.finished) > finishedMax:
		slices.SortStableFunc(i.finished, func(a, b *corev1.Pod) int {
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
				strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
		})
		for _, pod := range i.finished[:len(i.finished)-finishedMax] {
			remove(&p, pod, "one of too many finished pods")
		}
	case i.pod == nil || i.hasNode:
		return p, podMem{}
	case i.pod.Spec.NodeName == "":
		if i.pod.DeletionTimestamp != nil {
			remove(&p, i.pod, "deleted before it was given a node")
		}
	case m.since.IsZero():
		m.since = i.now
		p.Wake(i.now.Add(quarantine))
	case i.now.Before(m.since.Add(quarantine)):
		p.Wake(m.since.Add(quarantine))
	default:
		i.fail(&p)
		remove(&p, i.pod, fmt.Sprintf("node %s no longer exists", i.pod.Spec.NodeName))
	}
	return p, m
}

// fail gives a pod a final phase before it is removed, for controllers that count.
func (i podIn) fail(p *plan.Plan) {
	if pods.Finished(i.pod) {
		return
	}
	pod := i.pod.DeepCopy()
	pod.Status.Phase = corev1.PodFailed
	pod.Status.Conditions = append(slices.DeleteFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget }),
		corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, ObservedGeneration: pod.Generation,
			LastTransitionTime: metav1.NewTime(i.now.Truncate(time.Second)),
			Reason:             "DeletionByPodGC", Message: "PodGC: node no longer exists",
		})
	p.Do(plan.UpdateStatus{Object: pod})
}

func remove(p *plan.Plan, pod *corev1.Pod, why string) {
	at := int64(0)
	p.Do(plan.Delete{Key: view.KeyOf(kind.Pods, pod), UID: pod.UID, GraceSeconds: &at},
		plan.Reason{About: view.KeyOf(kind.Pods, pod), Message: "removed: " + why})
}
