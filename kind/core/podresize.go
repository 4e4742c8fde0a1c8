package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
			if !sameContainers(wanted.Containers, old.Spec.Containers) || !sameContainers(wanted.InitContainers, old.Spec.InitContainers) {
				return // validation says what is wrong with that
			}
			restore(pod, old)
			takeResources(pod.Spec.Containers, wanted.Containers)
			takeResources(pod.Spec.InitContainers, wanted.InitContainers)
			pod.Spec.Resources = wanted.Resources
		},
		Validate: validateResize,
	}
}

func sameContainers(containers, old []corev1.Container) bool {
	return slices.EqualFunc(containers, old, func(is, was corev1.Container) bool { return is.Name == was.Name })
}

// takeResources gives containers the resources of those in the same place.
func takeResources(containers, wanted []corev1.Container) {
	for i := range wanted {
		containers[i].Resources = wanted[i].Resources
		containers[i].ResizePolicy = wanted[i].ResizePolicy
	}
}

func validateResize(pod, old *corev1.Pod) field.ErrorList {
	path := field.NewPath("spec")
	if errs := staticPodForbidden(old, "cannot be resized"); errs != nil {
		return errs
	}
	if windowsOnly(&old.Spec) {
		return field.ErrorList{field.Forbidden(field.NewPath(""), "windows pods cannot be resized")}
	}
	errs := validateChangedPod(pod, old)
	if QOSClass(&pod.Spec) != QOSClass(&old.Spec) {
		errs = append(errs, field.Invalid(path, pod.Status.QOSClass, "Pod QOS Class may not change as a result of resizing"))
	}
	if !resizable(old) {
		errs = append(errs, field.Forbidden(path, "Pod running on node without support for resize"))
	}
	rest := pod.Spec.DeepCopy()
	if pod.Spec.Resources != nil || old.Spec.Resources != nil {
		errs = append(errs, validatePodResize(rest, &old.Spec, path)...)
	}
	order := validateResizeOrder(pod.Spec.Containers, old.Spec.Containers, "containers", path)
	order = append(order, validateResizeOrder(pod.Spec.InitContainers, old.Spec.InitContainers, "initContainers", path)...)
	if len(order) > 0 {
		return append(errs, order...)
	}

	// The lists of resources may not get shorter: a container that runs without a limit cannot be given none.
	for i := range pod.Spec.InitContainers {
		errs = append(errs, nothingRemoved(&pod.Spec.InitContainers[i].Resources, &old.Spec.InitContainers[i].Resources, "", path.Child("initContainers").Index(i).Child("resources"))...)
	}
	for i := range pod.Spec.Containers {
		errs = append(errs, nothingRemoved(&pod.Spec.Containers[i].Resources, &old.Spec.Containers[i].Resources, "", path.Child("containers").Index(i).Child("resources"))...)
	}
	for i := range rest.Containers {
		c, was := &rest.Containers[i], &old.Spec.Containers[i]
		takeBack(&c.Resources, &was.Resources)
		if !equality.Semantic.DeepEqual(c, was) {
			errs = append(errs, field.Forbidden(path, "only cpu and memory resources are mutable"))
		}
	}
	for i := range rest.InitContainers {
		c, was, p := &rest.InitContainers[i], &old.Spec.InitContainers[i], path.Child("initContainers").Index(i)
		changed := !equality.Semantic.DeepEqual(c, was)
		takeBack(&c.Resources, &was.Resources)
		if !equality.Semantic.DeepEqual(c, was) {
			errs = append(errs, field.Forbidden(p, "only cpu and memory resources for init or sidecar containers are mutable"))
		}
		if changed && roleOf(c, true) != sidecarContainer && restartsOnResize(c) {
			errs = append(errs, field.Forbidden(p, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"))
		}
	}
	if len(errs) == 0 && !equality.Semantic.DeepEqual(*rest, old.Spec) {
		errs = append(errs, field.Forbidden(path, "only cpu and memory resources are mutable"))
	}
	return errs
}

func restartsOnResize(c *corev1.Container) bool {
	return slices.ContainsFunc(c.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
		return p.RestartPolicy == corev1.RestartContainer
	})
}

// validatePodResize checks and takes back a change of the resources of the pod as a whole.
func validatePodResize(rest, old *corev1.PodSpec, path *field.Path) field.ErrorList {
	if old.Resources != nil && rest.Resources == nil {
		return field.ErrorList{field.Forbidden(path.Child("resources"), "pod-level resources cannot be removed")}
	}
	var errs field.ErrorList
	was := &corev1.ResourceRequirements{}
	if old.Resources != nil {
		was = old.Resources
		errs = nothingRemoved(rest.Resources, was, "pod-level ", path.Child("resources"))
	}
	takeBack(rest.Resources, was)
	if r := rest.Resources; old.Resources == nil && len(r.Limits)+len(r.Requests)+len(r.Claims) == 0 {
		rest.Resources = nil
	}
	if !equality.Semantic.DeepEqual(rest.Resources, old.Resources) {
		errs = append(errs, field.Forbidden(path, "only cpu and memory resources are mutable at pod-level"))
	}
	return errs
}

// validateResizeOrder refuses to resize a pod of other containers.
func validateResizeOrder(containers, old []corev1.Container, list string, path *field.Path) field.ErrorList {
	if len(containers) != len(old) {
		return field.ErrorList{field.Forbidden(path.Child(list), list+" may not be added or removed on resize")}
	}
	var errs field.ErrorList
	for i := range containers {
		if containers[i].Name != old[i].Name {
			errs = append(errs, field.Forbidden(path.Child(list).Index(i).Child("name"), list+" may not be renamed or reordered on resize"))
		}
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

func nothingRemoved(is, was *corev1.ResourceRequirements, what string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if anyGone(is.Requests, was.Requests) {
		errs = append(errs, field.Forbidden(path.Child("requests"), what+"resource requests cannot be removed"))
	}
	if anyGone(is.Limits, was.Limits) {
		errs = append(errs, field.Forbidden(path.Child("limits"), what+"resource limits cannot be removed"))
	}
	return errs
}

func anyGone(is, was corev1.ResourceList) bool {
	for name := range was {
		if _, has := is[name]; !has {
			return true
		}
	}
	return false
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
