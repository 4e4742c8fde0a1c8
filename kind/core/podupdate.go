package core

import (
	"fmt"
	"net/netip"

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

// validatePodUpdate lets a pod change in the few ways that do not make it another pod.
func validatePodUpdate(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	errs := validatePodSpec(&pod.Spec, path)
	// What follows compares the specs container by container, so stop when there are others.
	if len(pod.Spec.Containers) != len(old.Spec.Containers) {
		return append(errs, field.Forbidden(path.Child("containers"), "pod updates may not add or remove containers"))
	}
	if len(pod.Spec.InitContainers) != len(old.Spec.InitContainers) {
		return append(errs, field.Forbidden(path.Child("initContainers"), "pod updates may not add or remove containers"))
	}
	errs = append(errs, validateDeadlineUpdate(pod.Spec.ActiveDeadlineSeconds, old.Spec.ActiveDeadlineSeconds, path.Child("activeDeadlineSeconds"))...)
	errs = append(errs, onlyAddedTolerations(pod.Spec.Tolerations, old.Spec.Tolerations, path.Child("tolerations"))...)
	errs = append(errs, onlyRemovedGates(pod.Spec.SchedulingGates, old.Spec.SchedulingGates, path.Child("schedulingGates"))...)
	if len(errs) > 0 {
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
	if s := old.Spec.TerminationGracePeriodSeconds; s != nil && *s < 0 && *rest.TerminationGracePeriodSeconds == 1 {
		rest.TerminationGracePeriodSeconds = s
	}
	if len(old.Spec.SchedulingGates) > 0 {
		narrowed(rest, &old.Spec)
	}
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(path, podUpdateForbidden+"\n"+diff.Diff(old.Spec, *rest)))
	}
	return errs
}

// narrowed takes back the additions to where a pod may go that are allowed while scheduling gates hold it
// (KEP-3838): more node labels, and a node affinity where there was none.
func narrowed(spec, old *corev1.PodSpec) {
	for key, value := range old.NodeSelector {
		if spec.NodeSelector[key] != value {
			return
		}
	}
	spec.NodeSelector = old.NodeSelector
	if spec.Affinity != nil && (old.Affinity == nil || old.Affinity.NodeAffinity == nil) {
		spec.Affinity.NodeAffinity = nil
		if old.Affinity == nil && *spec.Affinity == (corev1.Affinity{}) {
			spec.Affinity = nil
		}
	}
}

func validateDeadlineUpdate(deadline, old *int64, path *field.Path) field.ErrorList {
	switch {
	case old == nil:
		return nil
	case deadline == nil:
		return field.ErrorList{field.Invalid(path, deadline, "must not update from a positive integer to nil value")}
	case *deadline > *old:
		return field.ErrorList{field.Invalid(path, *deadline, "must be less than or equal to previous value")}
	}
	return nil
}

func onlyAddedTolerations(list, old []corev1.Toleration, path *field.Path) field.ErrorList {
	for _, was := range old {
		was.TolerationSeconds = nil
		found := false
		for _, is := range list {
			is.TolerationSeconds = nil
			found = found || is == was
		}
		if !found {
			return field.ErrorList{field.Forbidden(path, "existing toleration can not be modified except its tolerationSeconds")}
		}
	}
	return nil
}

func onlyRemovedGates(gates, old []corev1.PodSchedulingGate, path *field.Path) field.ErrorList {
	had := sets.New(old...)
	for i, gate := range gates {
		if !had.Has(gate) {
			return field.ErrorList{field.Forbidden(path.Index(i), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", gate.Name))}
		}
	}
	return nil
}

func validatePodStatus(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("status")
	var errs field.ErrorList
	if n := pod.Status.NominatedNodeName; n != "" {
		errs = append(errs, invalids(path.Child("nominatedNodeName"), n, validation.IsDNS1123Subdomain(n))...)
	}
	if pod.Status.QOSClass != old.Status.QOSClass && old.Status.QOSClass != "" {
		errs = append(errs, field.Invalid(path.Child("qosClass"), pod.Status.QOSClass, "field is immutable"))
	}
	errs = append(errs, validatePodIPs(pod.Status.PodIPs, path.Child("podIPs"))...)
	errs = append(errs, noRevival(pod.Status.ContainerStatuses, old.Status.ContainerStatuses, &old.Spec, false, path.Child("containerStatuses"))...)
	errs = append(errs, noRevival(pod.Status.InitContainerStatuses, old.Status.InitContainerStatuses, &old.Spec, true, path.Child("initContainerStatuses"))...)
	return errs
}

// noRevival refuses a status in which a container that must not restart runs again.
func noRevival(list, old []corev1.ContainerStatus, spec *corev1.PodSpec, init bool, path *field.Path) field.ErrorList {
	if spec.RestartPolicy == corev1.RestartPolicyAlways {
		return nil
	}
	containers := spec.Containers
	if init {
		containers = spec.InitContainers
	}
	var errs field.ErrorList
	for _, was := range old {
		if was.State.Terminated == nil || (spec.RestartPolicy == corev1.RestartPolicyOnFailure && was.State.Terminated.ExitCode != 0) {
			continue
		}
		if mayRestart(containers, was.Name) {
			continue
		}
		for i, is := range list {
			if is.Name == was.Name && is.State.Terminated == nil {
				errs = append(errs, field.Forbidden(path.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
			}
		}
	}
	return errs
}

// mayRestart says whether a container has a restart policy or rules of its own, which go before the pod's.
func mayRestart(containers []corev1.Container, name string) bool {
	for i := range containers {
		c := &containers[i]
		if c.Name == name {
			return c.RestartPolicy != nil && (*c.RestartPolicy != corev1.ContainerRestartPolicyNever || len(c.RestartPolicyRules) > 0)
		}
	}
	return false
}

func validatePodIPs(ips []corev1.PodIP, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	v4, v6 := 0, 0
	seen := sets.New[string]()
	for i, ip := range ips {
		p := path.Index(i)
		errs = append(errs, validation.IsValidIPForLegacyField(p, ip.IP, true, nil)...)
		if seen.Has(ip.IP) {
			errs = append(errs, field.Duplicate(p, ip))
		}
		seen.Insert(ip.IP)
		if addr, err := netip.ParseAddr(ip.IP); err == nil && addr.Is4() {
			v4++
		} else {
			v6++
		}
	}
	if len(ips) > 1 && (v4 > 1 || v6 > 1) {
		errs = append(errs, field.Invalid(path, ips, "may specify no more than one IP for each IP family"))
	}
	return errs
}
