package admit

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/kind"
	"sampan/view"
)

// NodeTaint keeps pods from a new node until it has said that it is ready.
func NodeTaint(req *Request, _ *view.Snapshot) error {
	if req.Kind.ID != kind.Nodes || req.Verb != Create || req.Subresource != "" {
		return nil
	}
	node, ok := req.Object.(*corev1.Node)
	if !ok {
		return nil
	}
	taint := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&taint) }) {
		node.Spec.Taints = append(node.Spec.Taints, taint)
	}
	return nil
}

// The names by which nodes are known.
const (
	nodesGroup     = "system:nodes"
	nodeUserPrefix = "system:node:"
)

// nodeOf returns the name of the node that sends a request; ok is false if it is no node. The name is empty if the
// user is in the nodes' group without being one of them.
func nodeOf(req *Request) (name string, ok bool) {
	if !slices.Contains(req.Groups, nodesGroup) {
		return "", false
	}
	name, _ = strings.CutPrefix(req.User, nodeUserPrefix)
	if name == req.User {
		return "", false
	}
	return name, true
}

// NodeRestriction holds nodes to what is theirs: their own Node object and lease, and the pods that are bound to
// them. (Whose tokens a node gets is decided where tokens are made.)
func NodeRestriction(req *Request, snap *view.Snapshot) error {
	node, ok := nodeOf(req)
	if !ok {
		return nil
	}
	if node == "" {
		return forbidden(req, "could not determine node from user %q", req.User)
	}
	switch req.Kind.ID {
	case kind.Pods:
		return restrictPod(req, snap, node)
	case kind.Nodes:
		return restrictNode(req, node)
	case kind.Leases:
		if req.Namespace != corev1.NamespaceNodeLease {
			return forbidden(req, "can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
		}
		if named(req) != node {
			return forbidden(req, "can only access node lease with the same name as the requesting node")
		}
	case kind.CSINodes:
		if named(req) != node {
			return forbidden(req, "can only access CSINode with the same name as the requesting node")
		}
	}
	return nil
}

// named returns the name of the object that a request is for; a new one says it itself.
func named(req *Request) string {
	if req.Verb == Create && req.Object != nil {
		return req.Object.GetName()
	}
	return req.Name
}

func restrictPod(req *Request, snap *view.Snapshot, node string) error {
	if req.Verb == Create && req.Subresource == "" {
		return restrictMirror(req, snap, node)
	}
	pod, _ := req.Old.(*corev1.Pod)
	if pod == nil {
		pod, _ = view.Get[*corev1.Pod](snap, kind.Pods, req.Namespace, req.Name)
	}
	own := pod == nil || pod.Spec.NodeName == node // what is not there is told by the verb itself
	switch {
	case req.Verb == Delete:
		if !own {
			return forbidden(req, "node %q can only delete pods with spec.nodeName set to itself", node)
		}
	case req.Subresource == "status":
		if !own {
			return forbidden(req, "node %q can only update pod status for pods with spec.nodeName set to itself", node)
		}
		if next, ok := req.Object.(*corev1.Pod); ok && pod != nil && !equality.Semantic.DeepEqual(next.Labels, pod.Labels) {
			return forbidden(req, "node %q cannot update labels through pod status", node)
		}
	case req.Subresource == "eviction":
		if !own {
			return forbidden(req, "node %s can only evict pods with spec.nodeName set to itself", node)
		}
	default:
		return forbidden(req, "unexpected operation %q, node %q can only create and delete mirror pods", req.Verb, node)
	}
	return nil
}

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
	for _, v := range pod.Spec.Volumes {
		if v.ConfigMap != nil {
			return forbidden(req, "node %q can not create pods that reference configmaps", node)
		}
		if v.PersistentVolumeClaim != nil {
			return forbidden(req, "node %q can not create pods that reference persistentvolumeclaims", node)
		}
	}
	return nil
}

func restrictNode(req *Request, node string) error {
	name := named(req)
	if name != node {
		return forbidden(req, "node %q is not allowed to modify node %q", node, name)
	}
	next, _ := req.Object.(*corev1.Node)
	if next == nil {
		return nil
	}
	var labels map[string]string
	old, _ := req.Old.(*corev1.Node)
	if old != nil {
		labels = old.Labels
	}
	if changed := forbiddenLabels(labels, next.Labels); len(changed) > 0 {
		return forbidden(req, "is not allowed to modify labels: %s", strings.Join(changed, ", "))
	}
	if old != nil {
		if !equality.Semantic.DeepEqual(next.Spec.Taints, old.Spec.Taints) {
			return forbidden(req, "node %q is not allowed to modify taints", node)
		}
		if !equality.Semantic.DeepEqual(next.OwnerReferences, old.OwnerReferences) {
			return forbidden(req, "node %q is not allowed to modify ownerReferences", node)
		}
	}
	return nil
}

// forbiddenLabels returns the labels that differ and that a node may not decide about: those by which the cluster
// is divided, such as node-restriction.kubernetes.io/… and most others of kubernetes.io.
func forbiddenLabels(old, next map[string]string) (out []string) {
	check := func(key string) {
		was, had := old[key]
		is, has := next[key]
		if (had != has || was != is) && !ownLabel(key) && !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	for key := range old {
		check(key)
	}
	for key := range next {
		check(key)
	}
	slices.Sort(out)
	return out
}

func ownLabel(key string) bool {
	domain, _, qualified := strings.Cut(key, "/")
	under := func(suffix string) bool { return domain == suffix || strings.HasSuffix(domain, "."+suffix) }
	switch {
	case !qualified, !under("kubernetes.io") && !under("k8s.io"):
		return true
	case under("node-restriction.kubernetes.io"):
		return false
	case under("kubelet.kubernetes.io"), under("node.kubernetes.io"):
		return true
	}
	switch key {
	case corev1.LabelHostname, corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone,
		corev1.LabelFailureDomainBetaRegion, corev1.LabelInstanceType, corev1.LabelInstanceTypeStable, corev1.LabelOSStable,
		corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch":
		return true
	}
	return false
}
