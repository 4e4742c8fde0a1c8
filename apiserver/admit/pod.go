package admit

import (
	"slices"

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

const defaultServiceAccount = "default"

// ServiceAccount gives a new pod the account "default" if it names none, and the account's image pull secrets
// if it has none of its own. An account must exist, except "default": the controller that makes it may be a
// moment behind the namespace, and a pod takes nothing from it that could be missed. Pods of static
// manifests (mirror pods) have no account.
func ServiceAccount(req *Request, snap *view.Snapshot) error {
	pod := podOf(req)
	if pod == nil || req.Verb != Create {
		return nil
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return nil
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultServiceAccount
	}
	name := pod.Spec.ServiceAccountName
	pod.Spec.DeprecatedServiceAccount = name
	account, _ := snap.Get(view.Key{Kind: kind.ServiceAccounts, Namespace: req.Namespace, Name: name}).(*corev1.ServiceAccount)
	switch {
	case account != nil:
		if len(pod.Spec.ImagePullSecrets) == 0 {
			pod.Spec.ImagePullSecrets = slices.Clone(account.ImagePullSecrets)
		}
	case name != defaultServiceAccount:
		return forbidden(req, "error looking up service account %s/%s: serviceaccount %q not found", req.Namespace, name, name)
	}
	return nil
}

// Priorities of the classes that every cluster has.
const (
	systemClusterCritical = 2000000000
	systemNodeCritical    = systemClusterCritical + 1000
)

// Priority sets a new pod's priority and preemption policy from its priority class: 0 and PreemptLowerPriority
// without one. An update that leaves them out keeps them.
func Priority(req *Request, _ *view.Snapshot) error {
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
	var priority int32
	policy := corev1.PreemptLowerPriority
	switch pod.Spec.PriorityClassName {
	case "":
	case "system-cluster-critical":
		priority = systemClusterCritical
	case "system-node-critical":
		priority = systemNodeCritical
	default:
		return forbidden(req, "no PriorityClass with name %v was found", pod.Spec.PriorityClassName)
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
