package replicaset

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// Mem is what a decision leaves to the next.
type Mem struct {
	// Failure is the reason and text of the creation or deletion that failed since, if any.
	Failure, Message string
}

// failed notes a failure, for the condition and the event of the next decision.
func failed(mem any, f plan.Failure) any {
	m, _ := mem.(Mem)
	switch f.Action.(type) {
	case plan.Create:
		m = Mem{"FailedCreate", f.Err.Error()}
	case plan.Delete:
		m = Mem{"FailedDelete", f.Err.Error()}
	}
	return m
}

func gvk() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("ReplicaSet") }

func replicas(set *appsv1.ReplicaSet) int32 {
	if set.Spec.Replicas == nil {
		return 1
	}
	return *set.Spec.Replicas
}

func active(all []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range all {
		if pods.Active(p) {
			out = append(out, p)
		}
	}
	return out
}

// Decide says what to do about a ReplicaSet.
func Decide(in In, mem Mem) (plan.Plan, Mem) {
	var p plan.Plan
	switch {
	case in.Set == nil:
		return p, Mem{}
	case in.Invalid != nil:
		p.Say(plan.Reason{About: in.Key, Waiting: true, Message: "the selector is invalid: " + in.Invalid.Error()})
		return p, Mem{}
	}
	in.Claim.Plan(&p)
	victims := victims(in)
	status, wake := status(in, victims, mem)
	p.Wake(wake)
	if mem.Failure != "" {
		// The creations below may well fail again and end the plan, so the report goes first.
		writeStatus(&p, in.Set, status)
		verb := map[string]string{"FailedCreate": "creating", "FailedDelete": "deleting"}[mem.Failure]
		p.Say(plan.Reason{About: in.Key, EventReason: mem.Failure, Warning: true, Message: "Error " + verb + ": " + mem.Message})
	}
	if in.Set.DeletionTimestamp == nil {
		scale(&p, in, victims)
	}
	if mem.Failure == "" {
		writeStatus(&p, in.Set, status)
	}
	return p, Mem{}
}

// victims chooses the pods that are too many.
func victims(in In) []*corev1.Pod {
	have := active(in.Claim.Owned)
	tooMany := min(len(have)-int(replicas(in.Set)), burst)
	if tooMany <= 0 || in.Set.DeletionTimestamp != nil {
		return nil
	}
	return pods.Victims(have, tooMany, in.Crowd, pods.Seconds(in.Set.Spec.MinReadySeconds), in.Now)
}

// scale makes missing pods and removes the victims.
func scale(p *plan.Plan, in In, victims []*corev1.Pod) {
	for _, slot := range in.Free {
		pod := pods.FromTemplate(&in.Set.Spec.Template, in.Set, gvk(), slot.Name)
		p.Do(plan.Create{Object: pod}, plan.Reason{
			About: in.Key, EventReason: "SuccessfulCreate", Message: "Created pod: " + slot.Name,
		})
	}
	for _, pod := range victims {
		p.Do(plan.Delete{Key: view.KeyOf(kind.Pods, pod), UID: pod.UID}, plan.Reason{
			About: in.Key, EventReason: "SuccessfulDelete", Message: "Deleted pod: " + pod.Name,
		})
	}
}

// status computes the status, and when a ready pod becomes available next. The victims count no longer: the
// status is written after their deletion, and a Deployment that reads it must not rely on them. (After a
// failure it is written before, and they count.)
func status(in In, victims []*corev1.Pod, mem Mem) (s appsv1.ReplicaSetStatus, wake time.Time) {
	s = *in.Set.Status.DeepCopy()
	if mem.Failure != "FailedDelete" { // else the size is not acted upon yet, which a Deployment must know
		s.ObservedGeneration = in.Set.Generation
	}
	s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas = 0, 0, 0, 0
	template := labels.SelectorFromSet(in.Set.Spec.Template.Labels)
	minReady := pods.Seconds(in.Set.Spec.MinReadySeconds)
	going := make(map[*corev1.Pod]bool)
	if mem.Failure == "" {
		for _, pod := range victims {
			going[pod] = true
		}
	}
	var terminating int32
	for _, pod := range in.Claim.Owned {
		if pods.Terminating(pod) {
			terminating++
		}
		if !pods.Active(pod) || going[pod] {
			continue
		}
		s.Replicas++
		if template.Matches(labels.Set(pod.Labels)) {
			s.FullyLabeledReplicas++
		}
		if !pods.Ready(pod) {
			continue
		}
		s.ReadyReplicas++
		ok, at := pods.Available(pod, minReady, in.Now)
		if ok {
			s.AvailableReplicas++
		} else if !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	s.TerminatingReplicas = &terminating
	s.Conditions = conditions(s.Conditions, in, mem)
	return s, wake
}

// conditions sets or removes ReplicaFailure, the one condition of a ReplicaSet.
func conditions(have []appsv1.ReplicaSetCondition, in In, mem Mem) []appsv1.ReplicaSetCondition {
	i := slices.IndexFunc(have, func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure })
	switch {
	case mem.Failure == "" && i >= 0:
		return slices.Delete(have, i, i+1)
	case mem.Failure == "":
		return have
	}
	c := appsv1.ReplicaSetCondition{
		Type:               appsv1.ReplicaSetReplicaFailure,
		Status:             corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(in.Now.Truncate(time.Second)),
		Reason:             mem.Failure,
		Message:            mem.Message,
	}
	if i < 0 {
		return append(have, c)
	}
	if have[i].Reason == c.Reason { // as upstream: the first text of a series of failures stays
		return have
	}
	have[i] = c
	return have
}

func writeStatus(p *plan.Plan, set *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) {
	p.Say(progress(set, status))
	if equality.Semantic.DeepEqual(set.Status, status) {
		return
	}
	set = set.DeepCopy()
	set.Status = status
	p.Do(plan.UpdateStatus{Object: set})
}

// progress says in one line how far the set is, for people.
func progress(set *appsv1.ReplicaSet, s appsv1.ReplicaSetStatus) plan.Reason {
	want := replicas(set)
	return plan.Reason{
		About:   view.KeyOf(kind.ReplicaSets, set),
		Waiting: s.Replicas != want || s.AvailableReplicas != want,
		Message: fmt.Sprintf("%d of %d pods exist, %d are ready, %d are available", s.Replicas, want, s.ReadyReplicas, s.AvailableReplicas),
	}
}
