package admit

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/view"
)

// restrictMirror lets a node create mirror pods only: they are bound to it, belong to it, and name nothing that it could
// get to see by them.
func restrictMirror(req *Request, snap *view.Snapshot, node string) error {
	pod := req.Object.(*corev1.Pod)
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; !mirror {
		return forbidden(req, "pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return forbidden(req, "node %q can only create pods with spec.nodeName set to itself", node)
	}
	if len(pod.OwnerReferences) > 1 {
		return forbidden(req, "node %q can only create pods with a single owner reference set to itself", node)
	}
	if len(pod.OwnerReferences) == 0 {
		return forbidden(req, "node %q can only create pods with an owner reference set to itself", node)
	}
	owner := pod.OwnerReferences[0]
	if owner.APIVersion != "v1" || owner.Kind != "Node" || owner.Name != node {
		return forbidden(req, "node %q can only create pods with an owner reference set to itself", node)
	}
	if owner.Controller == nil || !*owner.Controller {
		return forbidden(req, "node %q can only create pods with a controller owner reference set to itself", node)
	}
	if owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion {
		return forbidden(req, "node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	self, ok := view.Get[*corev1.Node](snap, kind.Nodes, "", node)
	if !ok {
		return apierrors.NewNotFound(kind.Nodes.GroupResource(), node)
	}
	if owner.UID != self.UID {
		return forbidden(req, "node %s UID mismatch: expected %s got %s", node, owner.UID, self.UID)
	}
	if what := references(pod); what != "" {
		return forbidden(req, "node %q can not create pods that reference %s", node, what)
	}
	return nil
}

// references says what other objects a pod names that nodes see by their pods only; "" for none.
func references(pod *corev1.Pod) string {
	switch {
	case pod.Spec.ServiceAccountName != "":
		return "a service account"
	case some(core.SecretsOf(pod)):
		return "secrets"
	case some(core.ConfigMapsOf(pod)):
		return "configmaps"
	}
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			return "persistentvolumeclaims"
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ClusterTrustBundle != nil {
				return "clustertrustbundles"
			}
		}
	}
	return ""
}

// some reports whether there is one at all.
func some(names iter.Seq[string]) bool {
	for range names {
		return true
	}
	return false
}

// checkMirror refuses a mirror pod that would get something secret from the API by way of its node.
func checkMirror(req *Request, pod *corev1.Pod) error {
	switch {
	case pod.Spec.ServiceAccountName != "":
		return forbidden(req, "a mirror pod may not reference service accounts")
	case some(core.SecretsOf(pod)):
		return forbidden(req, "a mirror pod may not reference secrets")
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				return forbidden(req, "a mirror pod may not use ServiceAccountToken volume projections")
			}
		}
	}
	return nil
}
