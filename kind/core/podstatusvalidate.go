package core

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePodStatus refuses changes of the status that no pod can go through.
func validatePodStatus(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("status")
	status, was := &pod.Status, &old.Status
	errs := validateAnnotationUpdate(pod.Annotations, old.Annotations)
	errs = append(errs, newErrors(pod, old, validateOwnAnnotations)...)
	errs = append(errs, validatePodConditions(status.Conditions, path.Child("conditions"))...)
	if n := status.NominatedNodeName; n != was.NominatedNodeName && n != "" {
		errs = append(errs, subdomainIn(path, "nominatedNodeName", n)...)
		if old.Spec.NodeName != "" {
			errs = append(errs, field.Forbidden(path.Child("nominatedNodeName"), "may not be set on pods that are already bound to a node"))
		}
	}
	if g := status.ObservedGeneration; g < 0 {
		errs = append(errs, field.Invalid(path.Child("observedGeneration"), g, "must be a non-negative integer"))
	}
	if status.QOSClass != was.QOSClass {
		errs = append(errs, field.Invalid(path.Child("qosClass"), status.QOSClass, "field is immutable"))
	}
	errs = append(errs, noRevival(status.ContainerStatuses, was.ContainerStatuses, old.Spec.Containers, &old.Spec, path.Child("containerStatuses"))...)
	errs = append(errs, noRevival(status.InitContainerStatuses, was.InitContainerStatuses, old.Spec.InitContainers, &old.Spec, path.Child("initContainerStatuses"))...)
	errs = append(errs, noRevival(status.EphemeralContainerStatuses, was.EphemeralContainerStatuses, nil, nil, path.Child("ephemeralContainerStatuses"))...)
	errs = append(errs, validateClaimStatuses(pod, path)...)
	errs = append(errs, validatePodIPs(status, was, path.Child("podIPs"))...)
	errs = append(errs, validateHostIPs(status, was, path.Child("hostIPs"))...)
	for _, list := range []struct {
		name       string
		statuses   []corev1.ContainerStatus
		containers []corev1.Container
		ephemeral  bool
	}{
		{"containerStatuses", status.ContainerStatuses, pod.Spec.Containers, false},
		{"initContainerStatuses", status.InitContainerStatuses, pod.Spec.InitContainers, false},
		{"ephemeralContainerStatuses", status.EphemeralContainerStatuses, nil, true},
	} {
		for i := range list.statuses {
			c, p := &list.statuses[i], containerAt{path, list.name, i}
			errs = append(errs, validateStatusUser(c, pod.Spec.OS, p)...)
			if len(c.AllocatedResourcesStatus) > 0 {
				if list.ephemeral {
					errs = append(errs, field.Forbidden(p.path().Child("allocatedResourcesStatus"), "must not be specified in container status"))
				} else {
					errs = append(errs, validateAllocated(c, list.containers, status, p.path().Child("allocatedResourcesStatus"))...)
				}
			}
			errs = append(errs, validateVolumeStatuses(c, p)...)
		}
	}
	return errs
}

// validatePodConditions checks the conditions that are not the API's own.
func validatePodConditions(conditions []corev1.PodCondition, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range conditions {
		c := &conditions[i]
		if c.ObservedGeneration < 0 {
			errs = append(errs, field.Invalid(path.Index(i).Child("observedGeneration"), c.ObservedGeneration, "must be a non-negative integer"))
		}
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.PodInitialized, corev1.ContainersReady:
		default:
			errs = append(errs, qualifiedName(path.Index(i).Child("Type"), string(c.Type))...)
		}
	}
	return errs
}

// noRevival refuses a status in which a container that must not restart runs again. Ephemeral containers, which have
// no spec here, never do.
func noRevival(list, old []corev1.ContainerStatus, containers []corev1.Container, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	if spec != nil && allMayRestart(spec) {
		return nil
	}
	var errs field.ErrorList
	for i := range old {
		end := old[i].State.Terminated
		if end == nil {
			continue
		}
		at := slices.IndexFunc(list, func(s corev1.ContainerStatus) bool { return s.Name == old[i].Name })
		if at < 0 || list[at].State.Terminated != nil {
			continue
		}
		c := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == old[i].Name })
		if c < 0 || !mayRestart(&containers[c], spec.RestartPolicy, end.ExitCode) {
			errs = append(errs, field.Forbidden(path.Index(i).Child("state"), "may not be transitioned to non-terminated state"))
		}
	}
	return errs
}

// allMayRestart says whether the end of one container can restart all of its pod, whatever their own policy is.
func allMayRestart(spec *corev1.PodSpec) bool {
	has := func(containers []corev1.Container) bool {
		for i := range containers {
			for _, rule := range containers[i].RestartPolicyRules {
				if rule.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
					return true
				}
			}
		}
		return false
	}
	return has(spec.Containers) || has(spec.InitContainers)
}

// mayRestart says whether a container restarts after it ended with a code. Its rules go before its policy, and that
// before the pod's (KEP-5307).
func mayRestart(c *corev1.Container, policy corev1.RestartPolicy, code int32) bool {
	if c.RestartPolicy != nil {
		for _, rule := range c.RestartPolicyRules {
			if on := rule.ExitCodes; on != nil {
				in := slices.Contains(on.Values, code)
				if in == (on.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
					return true
				}
			}
		}
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	switch policy {
	case corev1.RestartPolicyAlways:
		return true
	case corev1.RestartPolicyOnFailure:
		return code != 0
	}
	return false
}

func validatePodIPs(status, old *corev1.PodStatus, path *field.Path) field.ErrorList {
	if len(status.PodIPs) == 0 {
		return nil
	}
	return validateIPs(status.PodIPs, old.PodIPs, path)
}

func validateHostIPs(status, old *corev1.PodStatus, path *field.Path) field.ErrorList {
	if len(status.HostIPs) == 0 {
		return nil
	}
	var errs field.ErrorList
	if first := status.HostIPs[0].IP; first != status.HostIP {
		errs = append(errs, field.Invalid(path.Index(0).Child("ip"), first, "must be equal to `hostIP`"))
	}
	return append(errs, validateIPs(status.HostIPs, old.HostIPs, path)...)
}

// validateIPs checks addresses: at most one of each family. Those of before were there already.
func validateIPs[T corev1.PodIP | corev1.HostIP](ips, before []T, path *field.Path) field.ErrorList {
	known := make([]string, len(before))
	for i, ip := range before {
		known[i] = corev1.PodIP(ip).IP
	}
	var errs field.ErrorList
	families := [2]int{}
	for i, ip := range ips {
		ip := corev1.PodIP(ip).IP
		errs = append(errs, legacyIP(path.Index(i), ip, known...)...)
		if addr, err := netip.ParseAddr(ip); err == nil && addr.Is6() {
			families[1]++
		} else {
			families[0]++
		}
	}
	if families[0] > 1 || families[1] > 1 {
		errs = append(errs, field.Invalid(path, ips, "may specify no more than one IP for each IP family"))
	}
	return errs
}
