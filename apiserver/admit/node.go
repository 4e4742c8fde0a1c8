package admit

import (
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

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

// NodeRestriction holds nodes to what is theirs: their own Node object, lease and certificates, the pods that are bound
// to them, and of claims how large they have become.
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
	case kind.PersistentVolumeClaims:
		return restrictClaim(req, node)
	case kind.ServiceAccounts:
		return restrictToken(req, snap, node)
	case kind.CertificateSigningRequests:
		return restrictSigning(req, node)
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
		next, ok := req.Object.(*corev1.Pod)
		switch {
		case !ok || pod == nil:
		case !equality.Semantic.DeepEqual(next.Labels, pod.Labels):
			return forbidden(req, "node %q cannot update labels through pod status", node)
		case !equality.Semantic.DeepEqual(next.Status.ResourceClaimStatuses, pod.Status.ResourceClaimStatuses):
			return forbidden(req, "node %q cannot update resource claim statuses", node)
		}
	case req.Subresource == "eviction":
		if !own {
			return forbidden(req, "node %s can only evict pods with spec.nodeName set to itself", node)
		}
	case req.Subresource != "":
		return forbidden(req, "unexpected pod subresource %q, only 'status' and 'eviction' are allowed", req.Subresource)
	default:
		return forbidden(req, "unexpected operation %q, node %q can only create and delete mirror pods", req.Verb, node)
	}
	return nil
}

// restrictClaim lets a node tell of a claim what has become of its growth, and nothing else.
func restrictClaim(req *Request, node string) error {
	next, ok := req.Object.(*corev1.PersistentVolumeClaim)
	old, had := req.Old.(*corev1.PersistentVolumeClaim)
	if req.Subresource != "status" || !ok || !had {
		return forbidden(req, "may only update PVC status")
	}
	next, old = next.DeepCopy(), old.DeepCopy()
	for _, c := range []*corev1.PersistentVolumeClaim{next, old} {
		c.ResourceVersion, c.ManagedFields = "", nil
		c.Status.Capacity, c.Status.Conditions = nil, nil
		c.Status.AllocatedResources, c.Status.AllocatedResourceStatuses = nil, nil
	}
	if !equality.Semantic.DeepEqual(next, old) {
		return forbidden(req, "node %q is not allowed to update fields other than status.quantity and status.conditions", node)
	}
	return nil
}

// restrictSigning lets a node ask for certificates of a node in its own name only.
func restrictSigning(req *Request, node string) error {
	csr, ok := req.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || req.Verb != Create {
		return nil
	}
	switch csr.Spec.SignerName {
	case certificatesv1.KubeletServingSignerName, certificatesv1.KubeAPIServerClientKubeletSignerName:
	default:
		return nil
	}
	asked, err := parseRequest(csr.Spec.Request)
	if err != nil {
		return forbidden(req, "unable to parse csr: %w", err)
	}
	if asked.Subject.CommonName != nodeUserPrefix+node {
		return forbidden(req, "can only create a node CSR with CN=%s%s", nodeUserPrefix, node)
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
	changed := forbiddenLabels(labels, next.Labels)
	switch {
	case len(changed) > 0 && old == nil:
		return forbidden(req, "node %q is not allowed to set the following labels: %s", node, strings.Join(changed, ", "))
	case len(changed) > 0:
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
