package admit

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"sampan/kind"
	"sampan/view"
)

// RuntimeClass gives a new pod what its runtime class says of it: the overhead of the runtime, and the nodes that
// have it. A pod may not say otherwise itself.
func RuntimeClass(req *Request, snap *view.Snapshot) error {
	pod := podOf(req)
	if pod == nil || req.Verb != Create {
		return nil
	}
	if pod.Spec.RuntimeClassName == nil {
		if len(pod.Spec.Overhead) > 0 {
			return forbidden(req, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
		}
		return nil
	}
	name := *pod.Spec.RuntimeClassName
	class, ok := view.Get[*nodev1.RuntimeClass](snap, kind.RuntimeClasses, "", name)
	if !ok {
		return forbidden(req, "pod rejected: RuntimeClass %q not found", name)
	}
	if err := overhead(req, pod, class); err != nil {
		return err
	}
	if class.Scheduling == nil {
		return nil
	}
	selector := maps.Clone(pod.Spec.NodeSelector)
	for key, value := range class.Scheduling.NodeSelector {
		if have, ok := selector[key]; ok && have != value {
			return forbidden(req, "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", key, value, key, have)
		}
		if selector == nil {
			selector = map[string]string{}
		}
		selector[key] = value
	}
	pod.Spec.NodeSelector = selector
	for _, t := range class.Scheduling.Tolerations {
		if !tolerates(pod, t) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, *t.DeepCopy())
		}
	}
	return nil
}

func overhead(req *Request, pod *corev1.Pod, class *nodev1.RuntimeClass) error {
	var fixed corev1.ResourceList
	if class.Overhead != nil {
		fixed = class.Overhead.PodFixed
	}
	switch {
	case len(pod.Spec.Overhead) == 0:
		if len(fixed) > 0 {
			pod.Spec.Overhead = fixed.DeepCopy()
		}
	case class.Overhead == nil:
		return forbidden(req, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	case !equality.Semantic.DeepEqual(pod.Spec.Overhead, fixed):
		return forbidden(req, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
	}
	return nil
}

func tolerates(pod *corev1.Pod, want corev1.Toleration) bool {
	for _, have := range pod.Spec.Tolerations {
		if equality.Semantic.DeepEqual(have, want) {
			return true
		}
	}
	return false
}
