package core

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// resizePart is pods/resize (KEP-1287): the CPU and memory of the containers of a pod that runs are changed. It is
// the wish; what the containers have is in the status. A pod on a node whose agent does not report that cannot be
// resized, which upstream refuses in the same words: Sampan's own agent is one of them yet.
func resizePart() kind.TypedPart[*corev1.Pod] {
	return kind.TypedPart[*corev1.Pod]{
		Name: "resize",
		PrepareUpdate: func(pod, old *corev1.Pod) {
			wanted := pod.Spec
			restore(pod, old)
			takeResources(pod.Spec.Containers, wanted.Containers)
			takeResources(pod.Spec.InitContainers, wanted.InitContainers)
			if wanted.Resources != nil {
				pod.Spec.Resources = wanted.Resources
			}
		},
		Validate: validateResize,
	}
}

// takeResources gives containers the resources of those of the same name.
func takeResources(containers, wanted []corev1.Container) {
	for i := range wanted {
		for j := range containers {
			if containers[j].Name == wanted[i].Name {
				containers[j].Resources = wanted[i].Resources
				containers[j].ResizePolicy = wanted[i].ResizePolicy
			}
		}
	}
}

func validateResize(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	switch _, static := old.Annotations[corev1.MirrorPodAnnotationKey]; {
	case static:
		return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods cannot be resized")}
	case old.Spec.OS != nil && old.Spec.OS.Name == corev1.Windows:
		return field.ErrorList{field.Forbidden(field.NewPath(""), "windows pods cannot be resized")}
	}
	errs := validatePodSpec(&pod.Spec, path)
	if is, was := QOSClass(&pod.Spec), QOSClass(&old.Spec); is != was {
		errs = append(errs, field.Invalid(path, was, "Pod QOS Class may not change as a result of resizing"))
	}
	if !resizable(old) {
		errs = append(errs, field.Forbidden(path, "Pod running on node without support for resize"))
	}
	// The list of resources may not get shorter: a container that runs without a limit cannot be given none.
	for i := range pod.Spec.Containers {
		errs = append(errs, nothingRemoved(&pod.Spec.Containers[i].Resources, &old.Spec.Containers[i].Resources, path.Child("containers").Index(i).Child("resources"))...)
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		p := path.Child("initContainers").Index(i).Child("resources")
		if roleOf(c, true) == sidecarContainer {
			errs = append(errs, nothingRemoved(&c.Resources, &old.Spec.InitContainers[i].Resources, p)...)
		} else if !equality.Semantic.DeepEqual(c.Resources, old.Spec.InitContainers[i].Resources) {
			errs = append(errs, field.Forbidden(p, "resources for non-sidecar init containers are immutable"))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	rest := pod.Spec.DeepCopy()
	for i := range rest.Containers {
		takeBack(&rest.Containers[i].Resources, &old.Spec.Containers[i].Resources)
	}
	for i := range rest.InitContainers {
		takeBack(&rest.InitContainers[i].Resources, &old.Spec.InitContainers[i].Resources)
	}
	if rest.Resources != nil && old.Spec.Resources != nil {
		takeBack(rest.Resources, old.Spec.Resources)
	}
	if !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(path, fmt.Sprintf("only cpu and memory resources are mutable\n%v", diff.Diff(old.Spec, *rest))))
	}
	return errs
}

// resizable says whether the pod's node can resize it, as far as one can see: its agent then reports what a running
// container has.
func resizable(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.State.Running != nil {
			return c.Resources != nil
		}
	}
	return true
}

func nothingRemoved(is, was *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if gone(is.Limits, was.Limits, name) {
			errs = append(errs, field.Forbidden(path.Child("limits"), "resource limits cannot be removed"))
			break
		}
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if gone(is.Requests, was.Requests, name) {
			errs = append(errs, field.Forbidden(path.Child("requests"), "resource requests cannot be removed"))
			break
		}
	}
	return errs
}

func gone(is, was corev1.ResourceList, name corev1.ResourceName) bool {
	_, had := was[name]
	_, has := is[name]
	return had && !has
}

// takeBack undoes the changes of CPU and memory.
func takeBack(r, old *corev1.ResourceRequirements) {
	r.Limits = takenBack(r.Limits, old.Limits)
	r.Requests = takenBack(r.Requests, old.Requests)
}

func takenBack(list, old corev1.ResourceList) corev1.ResourceList {
	out := maps.Clone(list)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		delete(out, name)
		if was, ok := old[name]; ok {
			if out == nil {
				out = corev1.ResourceList{}
			}
			out[name] = was
		}
	}
	return out
}
