package admit

import (
	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/view"
)

// podOf returns the pod that a request creates or changes as a whole, or nil.
func podOf(req *Request) *corev1.Pod {
	if req.Kind.ID != kind.Pods || req.Subresource != "" || req.Verb == Delete {
		return nil
	}
	return req.Object.(*corev1.Pod)
}

// TolerationSeconds returns the rule that lets a pod stay on a node for a while that is not ready or cannot
// be reached, unless the pod says otherwise.
func TolerationSeconds(notReady, unreachable int64) Step {
	return func(req *Request, _ *view.Snapshot) error {
		pod := podOf(req)
		if pod == nil {
			return nil
		}
		tolerate(pod, corev1.TaintNodeNotReady, notReady)
		tolerate(pod, corev1.TaintNodeUnreachable, unreachable)
		return nil
	}
}

func tolerate(pod *corev1.Pod, taint string, seconds int64) {
	for i := range pod.Spec.Tolerations {
		t := &pod.Spec.Tolerations[i]
		if (t.Key == taint || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return
		}
	}
	pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
		Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
	})
}
