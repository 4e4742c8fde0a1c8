// Package nodeauth is what a node agent may do: a node (the user system:node:NAME in the group system:nodes) sees
// its own Node and Lease, the pods that are bound to it, and of Secrets, ConfigMaps, claims, volumes and service
// accounts those that these pods name. For everything else it has the rules of RBAC's role system:node.
//
// [Authorizer] is a function of a snapshot: whether a pod needs an object is looked up among the pods of the node
// when the question comes, so there is no graph to keep. Other users are none of its business, and it allows them
// nothing.
package nodeauth

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"

	"sampan/apiserver/auth"
	"sampan/apiserver/auth/rbac"
	"sampan/kind"
	"sampan/kind/core"
	"sampan/view"
)

// NodeOf returns the name of the node that a user is. ok is false for everybody else.
func NodeOf(user auth.User) (name string, ok bool) {
	name, ok = strings.CutPrefix(user.Name, auth.NodeUserPrefix)
	return name, ok && name != "" && user.In(auth.GroupNodes)
}

// Authorizer decides about the requests of nodes by what their pods need in a snapshot.
func Authorizer(snap *view.Snapshot) auth.Authorizer {
	return func(a auth.Attributes) (bool, string) {
		node, ok := NodeOf(a.User)
		if !ok {
			return false, ""
		}
		if a.Path == "" {
			if why, restricted := restriction(snap, node, a); restricted {
				return why == "", why
			}
		}
		return slices.ContainsFunc(rbac.NodeRules(), func(r rbacv1.PolicyRule) bool { return rbac.Allows(r, a) }), ""
	}
}

// restriction decides about the resources of which a node sees its own. restricted is false if the role decides;
// otherwise an empty why means yes.
func restriction(snap *view.Snapshot, node string, a auth.Attributes) (why string, restricted bool) {
	needed := func(only, sub string, verbs ...string) (string, bool) {
		return needs(snap, node, a, only, sub, verbs), true
	}
	get := func() (string, bool) {
		return needed("can only get individual resources of this type", "cannot get subresource", "get")
	}
	switch kind.ID(a.Resource + suffix(a.Group)) {
	case kind.Secrets, kind.ConfigMaps:
		return needed("can only read resources of this type", "cannot read subresource", "get", "list", "watch")
	case kind.PersistentVolumeClaims:
		if a.Subresource == "status" {
			a.Subresource = ""
			return needed("can only get/update/patch this type", "can only update status subresource", "get", "update", "patch")
		}
		return get()
	case kind.PersistentVolumes, kind.VolumeAttachments:
		return get()
	case kind.ServiceAccounts:
		if a.Subresource == "token" {
			a.Subresource = ""
			return needed("can only create tokens for individual service accounts", "can only create token subresource of serviceaccount", "create")
		}
		return get()
	case kind.Leases:
		return lease(node, a), true
	case kind.CSINodes:
		return own(node, a, "CSINode", "cannot authorize CSINode subresources"), true
	case kind.Nodes:
		return nodes(node, a)
	case kind.Pods:
		return pods(snap, node, a)
	}
	return "", false
}

func suffix(group string) string {
	if group == "" {
		return ""
	}
	return "." + group
}

// needs says why a node may not see an object, or "" if one of its pods names it. only is what upstream says of other
// verbs than these, and sub what it says of a subresource.
func needs(snap *view.Snapshot, node string, a auth.Attributes, only, sub string, verbs []string) string {
	switch {
	case !slices.Contains(verbs, a.Verb):
		return only
	case a.Subresource != "":
		return sub
	case a.Name == "":
		return "No Object name found"
	}
	if related(snap, node, kind.ID(a.Resource+suffix(a.Group)), a.Namespace, a.Name) {
		return ""
	}
	return fmt.Sprintf("no relationship found between node '%s' and this object", node)
}

// related reports whether an object belongs to a node, or a pod on it names the object.
func related(snap *view.Snapshot, node string, id kind.ID, namespace, name string) bool {
	switch id {
	case kind.VolumeAttachments:
		va, ok := view.Get[*storagev1.VolumeAttachment](snap, id, "", name)
		return ok && va.Spec.NodeName == node
	case kind.PersistentVolumes:
		pv, ok := view.Get[*corev1.PersistentVolume](snap, id, "", name)
		if !ok || pv.Spec.ClaimRef == nil {
			return false
		}
		namespace := pv.Spec.ClaimRef.Namespace
		return onNode(snap, node, namespace, func(pod *corev1.Pod) bool {
			return slices.Contains(core.ClaimsOf(pod), pv.Spec.ClaimRef.Name) && volumeOf(snap, namespace, pv.Spec.ClaimRef.Name) == name
		})
	case kind.Secrets:
		return onNode(snap, node, "", func(pod *corev1.Pod) bool {
			return pod.Namespace == namespace && has(core.SecretsOf(pod), name) || volumesNameSecret(snap, pod, namespace, name)
		})
	case kind.ConfigMaps:
		return onNode(snap, node, namespace, func(pod *corev1.Pod) bool { return has(core.ConfigMapsOf(pod), name) })
	case kind.PersistentVolumeClaims:
		return onNode(snap, node, namespace, func(pod *corev1.Pod) bool { return slices.Contains(core.ClaimsOf(pod), name) })
	case kind.ServiceAccounts:
		return onNode(snap, node, namespace, func(pod *corev1.Pod) bool { return pod.Spec.ServiceAccountName == name })
	}
	return false
}

// onNode reports whether a pod on the node, of a namespace unless that is empty, fulfils a condition. Mirror pods
// do not count: the node itself has made them, and would open every door with them.
func onNode(snap *view.Snapshot, node, namespace string, condition func(*corev1.Pod) bool) bool {
	for pod := range snap.PodsOn(node) {
		if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
			continue
		}
		if (namespace == "" || pod.Namespace == namespace) && condition(pod) {
			return true
		}
	}
	return false
}

func lease(node string, a auth.Attributes) string {
	switch {
	case a.Namespace != corev1.NamespaceNodeLease:
		return fmt.Sprintf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	default:
		return own(node, a, "node lease", "cannot access subresources of a node lease")
	}
}

// own says why a node may not touch an object that must have its name. sub is what is said of a subresource.
func own(node string, a auth.Attributes, what, sub string) string {
	switch {
	case !slices.Contains([]string{"get", "create", "update", "patch", "delete"}, a.Verb):
		return fmt.Sprintf("can only get, create, update, patch, or delete a %s", what)
	case a.Subresource != "":
		return sub
	case a.Verb != "create" && a.Name != node: // a creation names its object in the body; admission looks at that
		return fmt.Sprintf("can only access %s with the same name as the requesting node", what)
	}
	return ""
}

func nodes(node string, a auth.Attributes) (why string, restricted bool) {
	switch a.Verb {
	case "get", "list", "watch":
		switch {
		case a.Subresource != "" || a.Name == node:
		case a.Name == "":
			return fmt.Sprintf("node '%s' cannot read all nodes, only its own Node object", node), true
		default:
			return fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", node, a.Name), true
		}
	case "update", "patch":
		if a.Name != node {
			return fmt.Sprintf("node '%s' is not allowed to modify node '%s'", node, a.Name), true
		}
	}
	return "", false
}

func pods(snap *view.Snapshot, node string, a auth.Attributes) (why string, restricted bool) {
	if a.Verb == "list" || a.Verb == "watch" {
		if selector, err := fields.ParseSelector(a.FieldSelector); err == nil {
			if name, found := selector.RequiresExactMatch("spec.nodeName"); found && name == node {
				return "", false
			}
		}
		if a.Name == "" {
			return "can only list/watch pods with spec.nodeName field selector", true
		}
	}
	pod, ok := view.Get[*corev1.Pod](snap, kind.Pods, a.Namespace, a.Name)
	switch {
	case ok && pod.Spec.NodeName == node:
		return "", false
	case a.Verb == "get" || a.Verb == "list" || a.Verb == "watch":
		return fmt.Sprintf("no relationship found between node '%s' and this object", node), true
	case !ok:
		// There is nothing to protect, and the answer says so. A creation is of a mirror pod: admission sees to that.
		return "", false
	}
	return fmt.Sprintf("node '%s' can only change pods with spec.nodeName set to itself", node), true
}
