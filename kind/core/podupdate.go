package core

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const podUpdateForbidden = "pod updates may not change fields other than " +
	"`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`," +
	"`spec.tolerations` (only additions to existing tolerations)," +
	"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

// validateChangedPod checks a pod as a whole after a change. What was wrong with it before may stay: rules get
// stricter, and an object that is stored must not become one that nobody can change.
func validateChangedPod(pod, old *corev1.Pod) field.ErrorList {
	return newErrors(pod, old, validateWholePod)
}

// newErrors returns what is wrong with pod that was not wrong with old.
func newErrors(pod, old *corev1.Pod, validate func(*corev1.Pod) field.ErrorList) field.ErrorList {
	errs := validate(pod)
	if len(errs) == 0 {
		return nil
	}
	known := sets.New[string]()
	for _, err := range validate(old) {
		known.Insert(err.Error())
	}
	var fresh field.ErrorList
	for _, err := range errs {
		if !known.Has(err.Error()) {
			fresh = append(fresh, err)
		}
	}
	return fresh
}

// validatePodUpdate lets a pod change in the few ways that do not make it another pod.
func validatePodUpdate(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateChangedPod(pod, old)
	errs = append(errs, validateAnnotationUpdate(pod.Annotations, old.Annotations)...)
	// What follows compares the specs container by container, so stop when there are others.
	if len(pod.Spec.Containers) != len(old.Spec.Containers) {
		return append(errs, field.Forbidden(path.Child("containers"), "pod updates may not add or remove containers"))
	}
	if len(pod.Spec.InitContainers) != len(old.Spec.InitContainers) {
		return append(errs, field.Forbidden(path.Child("initContainers"), "pod updates may not add or remove containers"))
	}
	deadline, stop := validateDeadlineUpdate(pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds, path.Child("activeDeadlineSeconds"))
	errs = append(errs, deadline...)
	if stop {
		return errs
	}
	errs = append(errs, onlyAddedTolerations(pod.Spec.Tolerations, old.Spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, onlyRemovedGates(pod.Spec.SchedulingGates, old.Spec.SchedulingGates, path.Child("schedulingGates"))...)
	if equality.Semantic.DeepEqual(&pod.Spec, &old.Spec) {
		return errs
	}

	// Take back what may change; the rest must be equal.
	rest := pod.Spec.DeepCopy()
	for i := range rest.Containers {
		rest.Containers[i].Image = old.Spec.Containers[i].Image
	}
	for i := range rest.InitContainers {
		rest.InitContainers[i].Image = old.Spec.InitContainers[i].Image
	}
	rest.ActiveDeadlineSeconds = old.Spec.ActiveDeadlineSeconds
	rest.Tolerations = old.Spec.Tolerations
	rest.SchedulingGates = old.Spec.SchedulingGates
	if s, is := old.Spec.TerminationGracePeriodSeconds, rest.TerminationGracePeriodSeconds; s != nil && *s < 0 && is != nil && *is == 1 {
		rest.TerminationGracePeriodSeconds = s
	}
	if len(old.Spec.SchedulingGates) > 0 {
		errs = append(errs, takeBackNarrowing(rest, &old.Spec, path)...)
	}
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(path, podUpdateForbidden+"\n"+diff.Diff(old.Spec, *rest)))
	}
	return errs
}

// takeBackNarrowing checks and takes back the changes of where a pod may go that are allowed while scheduling gates
// hold it (KEP-3838): more node labels, and more requirements in each term of its node affinity.
func takeBackNarrowing(spec, old *corev1.PodSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for key, value := range old.NodeSelector {
		if is, ok := spec.NodeSelector[key]; !ok || is != value {
			errs = append(errs, field.Invalid(path.Child("nodeSelector"), spec.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
			break
		}
	}
	spec.NodeSelector = old.NodeSelector

	was, is := nodeAffinityOf(old), nodeAffinityOf(spec)
	if equality.Semantic.DeepEqual(was, is) {
		return errs
	}
	errs = append(errs, validateNarrowedAffinity(is, was, path.Child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"))...)
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	spec.Affinity.NodeAffinity = was
	if old.Affinity == nil && *spec.Affinity == (corev1.Affinity{}) {
		spec.Affinity = nil
	}
	return errs
}

func nodeAffinityOf(spec *corev1.PodSpec) *corev1.NodeAffinity {
	if spec.Affinity == nil {
		return nil
	}
	return spec.Affinity.NodeAffinity
}

// validateNarrowedAffinity refuses a node affinity that lets a pod go where the old one did not. Terms are
// alternatives, so there may be no others; the requirements of a term must all be met, so there may be more.
func validateNarrowedAffinity(is, was *corev1.NodeAffinity, path *field.Path) field.ErrorList {
	terms := func(a *corev1.NodeAffinity) []corev1.NodeSelectorTerm {
		if a == nil || a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
			return nil
		}
		return a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	newTerms, oldTerms := terms(is), terms(was)
	if len(oldTerms) > 0 && len(oldTerms) != len(newTerms) {
		return field.ErrorList{field.Invalid(path, newTerms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")}
	}
	var errs field.ErrorList
	for i := range oldTerms {
		if !onlyAdds(&newTerms[i], &oldTerms[i]) {
			errs = append(errs, field.Invalid(path.Index(i), newTerms[i], "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

// onlyAdds says whether a term is the old one with requirements added. An empty term matches nothing, and with a
// requirement it would match something.
func onlyAdds(term, old *corev1.NodeSelectorTerm) bool {
	if len(old.MatchExpressions)+len(old.MatchFields) == 0 {
		return len(term.MatchExpressions)+len(term.MatchFields) == 0
	}
	begins := func(list, old []corev1.NodeSelectorRequirement) bool {
		return len(list) >= len(old) && (len(old) == 0 || equality.Semantic.DeepEqual(list[:len(old)], old))
	}
	return begins(term.MatchExpressions, old.MatchExpressions) && begins(term.MatchFields, old.MatchFields)
}

// validateDeadlineUpdate lets a deadline be set and come closer. It reports stop when the other changes do not matter.
func validateDeadlineUpdate(deadline, old *int64, path *field.Path) (errs field.ErrorList, stop bool) {
	switch {
	case deadline != nil && (*deadline < 0 || *deadline > math.MaxInt32):
		return field.ErrorList{field.Invalid(path, *deadline, validation.InclusiveRangeError(0, math.MaxInt32))}, true
	case old == nil:
		return nil, false
	case deadline == nil:
		return field.ErrorList{field.Invalid(path, deadline, "must not update from a positive integer to nil value")}, false
	case *deadline > *old:
		return field.ErrorList{field.Invalid(path, *deadline, "must be less than or equal to previous value")}, true
	}
	return nil, false
}

func onlyAddedTolerations(list, old []corev1.Toleration, path *field.Path) field.ErrorList {
	if len(old) == 0 {
		return nil
	}
	has := make(map[corev1.Toleration]bool, len(list))
	for _, is := range list {
		is.TolerationSeconds = nil
		has[is] = true
	}
	for _, was := range old {
		was.TolerationSeconds = nil
		if !has[was] {
			return field.ErrorList{field.Forbidden(path, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return nil
}

func onlyRemovedGates(gates, old []corev1.PodSchedulingGate, path *field.Path) field.ErrorList {
	if len(gates) == 0 {
		return nil
	}
	var errs field.ErrorList
	had := sets.New(old...)
	for i, gate := range gates {
		if !had.Has(gate) {
			errs = append(errs, field.Forbidden(path.Index(i).Child("name"), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", gate.Name)))
		}
	}
	return errs
}

// staticPodForbidden refuses what the mirror of a static pod cannot have done to it: its node does not listen to us.
func staticPodForbidden(old *corev1.Pod, what string) field.ErrorList {
	if _, mirror := old.Annotations[corev1.MirrorPodAnnotationKey]; !mirror {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods "+what)}
}
