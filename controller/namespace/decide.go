package namespace

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

func decide(i in, _ none) (plan.Plan, none) {
	var p plan.Plan
	ns := i.namespace
	switch {
	case ns == nil:
	case len(i.content) > 0:
		i.empty(&p)
		i.status(&p)
	case slices.Contains(ns.Spec.Finalizers, corev1.FinalizerKubernetes):
		done := ns.DeepCopy()
		done.Spec.Finalizers = slices.DeleteFunc(done.Spec.Finalizers, func(f corev1.FinalizerName) bool { return f == corev1.FinalizerKubernetes })
		p.Do(plan.Finalize{Object: done})
	case len(ns.Spec.Finalizers) > 0 || len(ns.Finalizers) > 0:
		i.status(&p) // others have yet to let it go
	}
	return p, none{}
}

// empty deletes what is not being deleted yet: the pods, and when there are none left, all else.
func (i in) empty(p *plan.Plan) {
	for n, o := range i.content {
		if n > 0 && i.content[0].kind == kind.Pods {
			return
		}
		for _, obj := range o.list {
			if obj.GetDeletionTimestamp() != nil {
				continue
			}
			if len(p.Actions) == deletesMax {
				return
			}
			p.Do(plan.Delete{Key: view.KeyOf(o.kind, obj), UID: obj.GetUID(), Propagation: string(metav1.DeletePropagationBackground)})
		}
	}
}

// status writes what remains into the namespace's conditions, in upstream's words.
func (i in) status(p *plan.Plan) {
	ns := i.namespace.DeepCopy()
	ns.Status.Phase = corev1.NamespaceTerminating
	content, finalizers := i.remaining()
	set := func(t corev1.NamespaceConditionType, remains bool, reason, message string) {
		setCondition(ns, t, remains, reason, message, i.now)
	}
	set(corev1.NamespaceDeletionDiscoveryFailure, false, "ResourcesDiscovered", "All resources successfully discovered")
	set(corev1.NamespaceDeletionGVParsingFailure, false, "ParsedGroupVersions", "All legacy kube types successfully parsed")
	set(corev1.NamespaceDeletionContentFailure, false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization")
	if len(content) > 0 {
		set(corev1.NamespaceContentRemaining, true, "SomeResourcesRemain", "Some resources are remaining: "+strings.Join(content, ", "))
	} else {
		set(corev1.NamespaceContentRemaining, false, "ContentRemoved", "All content successfully removed")
	}
	if len(finalizers) > 0 {
		set(corev1.NamespaceFinalizersRemaining, true, "SomeFinalizersRemain",
			"Some content in the namespace has finalizers remaining: "+strings.Join(finalizers, ", "))
	} else {
		set(corev1.NamespaceFinalizersRemaining, false, "ContentHasNoFinalizers", "All content-preserving finalizers finished")
	}
	if !equality.Semantic.DeepEqual(ns.Status, i.namespace.Status) {
		p.Do(plan.UpdateStatus{Object: ns})
	}
	if len(content) > 0 {
		p.Say(plan.Reason{About: view.KeyOf(kind.Namespaces, ns), Message: "remaining: " + strings.Join(content, ", "), Waiting: true})
	}
}

// remaining words what there is of each kind, and which finalizers hold it.
func (i in) remaining() (content, finalizers []string) {
	held := make(map[string]int)
	for _, o := range i.content {
		gr := o.kind.GroupResource()
		content = append(content, fmt.Sprintf("%s.%s has %d resource instances", gr.Resource, gr.Group, len(o.list)))
		for _, obj := range o.list {
			for _, f := range obj.GetFinalizers() {
				held[f]++
			}
		}
	}
	for f, n := range held {
		finalizers = append(finalizers, fmt.Sprintf("%s in %d resource instances", f, n))
	}
	slices.Sort(content)
	slices.Sort(finalizers)
	return content, finalizers
}

func setCondition(ns *corev1.Namespace, t corev1.NamespaceConditionType, remains bool, reason, message string, now time.Time) {
	status := corev1.ConditionFalse
	if remains {
		status = corev1.ConditionTrue
	}
	want := corev1.NamespaceCondition{Type: t, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now.Truncate(time.Second))}
	for n := range ns.Status.Conditions {
		have := &ns.Status.Conditions[n]
		if have.Type == t {
			if have.Status == status {
				want.LastTransitionTime = have.LastTransitionTime
			}
			*have = want
			return
		}
	}
	ns.Status.Conditions = append(ns.Status.Conditions, want)
}
