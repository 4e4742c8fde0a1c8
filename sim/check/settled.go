package check

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/view"
)

// Settled returns what is not as it was asked for, in a cluster that had the time to settle.
func Settled(snap *view.Snapshot) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for d := range view.All[*appsv1.Deployment](snap, kind.Deployments, "") {
		n, s := *d.Spec.Replicas, d.Status
		if s.Replicas != n || s.UpdatedReplicas != n || s.AvailableReplicas != n || s.ObservedGeneration != d.Generation {
			say("deployment %s wants %d replicas, its status is %+v", d.Name, n, s)
		}
		if active, _ := count(d, snap, time.Time{}); active != n {
			say("deployment %s has %d pods instead of %d", d.Name, active, n)
		}
	}
	for set := range view.All[*appsv1.StatefulSet](snap, kind.StatefulSets, "") {
		n, s := *set.Spec.Replicas, set.Status
		if s.Replicas != n || s.ReadyReplicas != n || s.UpdatedReplicas != n || s.CurrentRevision != s.UpdateRevision || s.ObservedGeneration != set.Generation {
			say("stateful set %s wants %d replicas, its status is %+v", set.Name, n, s)
		}
	}
	for p := range view.All[*corev1.Pod](snap, kind.Pods, "") {
		if !pods.Active(p) || !pods.Ready(p) {
			say("pod %s is not ready", p.Name)
		}
		if ref := metav1.GetControllerOfNoCopy(p); ref != nil && !exists(snap, p, ref) {
			say("pod %s has lost its %s %s", p.Name, ref.Kind, ref.Name)
		}
	}
	for svc := range view.All[*corev1.Service](snap, kind.Services, "") {
		if len(svc.Spec.Selector) == 0 {
			continue
		}
		want, have := selected(snap, svc), endpoints(snap, svc)
		if want != have {
			say("service %s has %d ready endpoints for %d ready pods", svc.Name, have, want)
		}
	}
	return wrong
}

func exists(snap *view.Snapshot, child metav1.Object, ref *metav1.OwnerReference) bool {
	id := map[string]kind.ID{"ReplicaSet": kind.ReplicaSets, "StatefulSet": kind.StatefulSets}[ref.Kind]
	owner := snap.Get(view.Key{Kind: id, Namespace: child.GetNamespace(), Name: ref.Name})
	return owner != nil && owner.GetUID() == ref.UID
}

func selected(snap *view.Snapshot, svc *corev1.Service) (n int) {
	selector := labels.SelectorFromSet(svc.Spec.Selector)
	for p := range view.All[*corev1.Pod](snap, kind.Pods, svc.Namespace) {
		if selector.Matches(labels.Set(p.Labels)) && pods.Ready(p) && p.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

func endpoints(snap *view.Snapshot, svc *corev1.Service) (n int) {
	for s := range view.All[*discoveryv1.EndpointSlice](snap, kind.EndpointSlices, svc.Namespace) {
		if s.Labels[discoveryv1.LabelServiceName] != svc.Name {
			continue
		}
		for _, e := range s.Endpoints {
			if e.Conditions.Ready != nil && *e.Conditions.Ready {
				n++
			}
		}
	}
	return n
}
