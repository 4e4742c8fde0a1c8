package admit

import (
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"sampan/kind"
	"sampan/kind/scheduling"
	"sampan/view"
)

// Priority sets a new pod's priority and preemption policy from its priority class; without one, from the default
// class if there is one, and to 0 and PreemptLowerPriority otherwise. An update that leaves them out keeps them. There
// can be one default class only, and those of the system stay.
func Priority(req *Request, snap *view.Snapshot) error {
	if req.Kind.ID == kind.PriorityClasses && req.Verb == Delete && systemClass(req.Name) {
		return forbidden(req, "this is a system priority class and cannot be deleted")
	}
	if req.Kind.ID == kind.PriorityClasses && req.Verb != Delete && req.Subresource == "" {
		return oneDefault(req, snap)
	}
	pod := podOf(req)
	if pod == nil {
		return nil
	}
	if old, _ := req.Old.(*corev1.Pod); old != nil {
		if pod.Spec.Priority == nil && old.Spec.Priority != nil {
			pod.Spec.Priority = new(*old.Spec.Priority)
		}
		if pod.Spec.PreemptionPolicy == nil && old.Spec.PreemptionPolicy != nil {
			pod.Spec.PreemptionPolicy = new(*old.Spec.PreemptionPolicy)
		}
		return nil
	}
	var class *schedulingv1.PriorityClass
	if name := pod.Spec.PriorityClassName; name == "" {
		if class = defaultPriority(snap); class != nil {
			pod.Spec.PriorityClassName = class.Name
		}
	} else if class = priorityClass(snap, name); class == nil {
		return forbidden(req, "no PriorityClass with name %v was found", name)
	}
	var priority int32
	policy := corev1.PreemptLowerPriority
	if class != nil {
		priority = class.Value
		if class.PreemptionPolicy != nil {
			policy = *class.PreemptionPolicy
		}
	}
	if p := pod.Spec.Priority; p != nil && *p != priority {
		return forbidden(req, "the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", *p, priority)
	}
	if p := pod.Spec.PreemptionPolicy; p != nil && *p != policy {
		return forbidden(req, "the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", *p, policy)
	}
	pod.Spec.Priority, pod.Spec.PreemptionPolicy = &priority, &policy
	return nil
}

func priorityClass(snap *view.Snapshot, name string) *schedulingv1.PriorityClass {
	if class, ok := view.Get[*schedulingv1.PriorityClass](snap, kind.PriorityClasses, "", name); ok {
		return class
	}
	switch name {
	case scheduling.ClusterCritical: // these two hold from the first pod on, with or without objects
		return &schedulingv1.PriorityClass{Value: scheduling.SystemCritical}
	case scheduling.NodeCritical:
		return &schedulingv1.PriorityClass{Value: scheduling.SystemCritical + 1000}
	}
	return nil
}

// defaultPriority returns the default class: the one of the lowest value, if two writers made one each.
func defaultPriority(snap *view.Snapshot) *schedulingv1.PriorityClass {
	var lowest *schedulingv1.PriorityClass
	for class := range view.All[*schedulingv1.PriorityClass](snap, kind.PriorityClasses, "") {
		if class.GlobalDefault && (lowest == nil || class.Value < lowest.Value) {
			lowest = class
		}
	}
	return lowest
}

func systemClass(name string) bool {
	return name == scheduling.ClusterCritical || name == scheduling.NodeCritical
}

func oneDefault(req *Request, snap *view.Snapshot) error {
	class, ok := req.Object.(*schedulingv1.PriorityClass)
	if !ok || !class.GlobalDefault {
		return nil
	}
	if have := defaultPriority(snap); have != nil && have.Name != class.Name {
		return forbidden(req, "PriorityClass %v is already marked as default. Only one default can exist", have.Name)
	}
	return nil
}
