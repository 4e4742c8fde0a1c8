package core

import (
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// Node returns the kind Node.
func Node() *kind.Kind {
	return kind.Typed[*corev1.Node]{
		ID: kind.Nodes, Version: corev1.SchemeGroupVersion, Name: "Node", Singular: "node",
		ShortNames: []string{"no"}, Cluster: true,
		New:     func() *corev1.Node { return new(corev1.Node) },
		NewList: func() runtime.Object { return new(corev1.NodeList) },

		Default: defaultNode,
		// A node may be created with its status: its agent registers it in one request.
		PrepareUpdate: func(n, old *corev1.Node) { n.Status = *old.Status.DeepCopy() },

		Validate:       validateNode,
		ValidateUpdate: validateNodeUpdate,

		PrepareStatus:  func(n, old *corev1.Node) { n.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: func(n, _ *corev1.Node) field.ErrorList { return validateNodeStatus(n) },

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Status", "string", "Whether the node is ready, and whether pods may be put on it."),
			kind.Column("Roles", "string", "Roles of the node, from its labels."),
			kind.AgeColumn(),
			kind.Column("Version", "string", "Version of the node's agent."),
			kind.WideColumn("Internal-IP", "string", "Address of the node inside the cluster."),
			kind.WideColumn("External-IP", "string", "Address of the node outside the cluster."),
			kind.WideColumn("OS-Image", "string", "Operating system of the node."),
			kind.WideColumn("Kernel-Version", "string", "Kernel of the node."),
			kind.WideColumn("Container-Runtime", "string", "Runtime of the node's containers."),
		},
		Row: nodeRow,
		Fields: func(n *corev1.Node) fields.Set {
			return fields.Set{"spec.unschedulable": strconv.FormatBool(n.Spec.Unschedulable)}
		},
	}.Kind()
}

func defaultNode(n *corev1.Node) {
	roundMilli(n.Status.Capacity)
	roundMilli(n.Status.Allocatable)
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
}

func validateNode(n *corev1.Node) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateTaints(n.Spec.Taints, path.Child("taints"))
	for i, cidr := range n.Spec.PodCIDRs {
		errs = append(errs, validation.IsValidCIDRForLegacyField(path.Child("podCIDRs").Index(i), cidr, true, nil)...)
	}
	if len(n.Spec.PodCIDRs) > 2 {
		errs = append(errs, field.Invalid(path.Child("podCIDRs"), n.Spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
	}
	return append(errs, validateNodeStatus(n)...)
}

func validateNodeStatus(n *corev1.Node) field.ErrorList {
	var errs field.ErrorList
	path := field.NewPath("status")
	for _, list := range []struct {
		name      string
		resources corev1.ResourceList
	}{{"capacity", n.Status.Capacity}, {"allocatable", n.Status.Allocatable}} {
		for _, name := range sortedNames(list.resources) {
			p := path.Child(list.name).Key(string(name))
			errs = append(errs, qualifiedName(p, string(name))...)
			errs = append(errs, resourceAmount(name, list.resources[name], p)...)
		}
	}
	seen := sets.New[corev1.NodeAddress]()
	for i, a := range n.Status.Addresses {
		if seen.Has(a) {
			errs = append(errs, field.Duplicate(path.Child("addresses").Index(i), a))
		}
		seen.Insert(a)
	}
	return errs
}

func validateTaints(taints []corev1.Taint, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	type pair struct {
		key    string
		effect corev1.TaintEffect
	}
	seen := sets.New[pair]()
	for i, t := range taints {
		p := path.Index(i)
		errs = append(errs, qualifiedName(p.Child("key"), t.Key)...)
		errs = append(errs, invalids(p.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))...)
		errs = append(errs, taintEffect(p.Child("effect"), t.Effect)...)
		if seen.Has(pair{t.Key, t.Effect}) {
			err := field.Duplicate(p, t)
			err.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, err)
		}
		seen.Insert(pair{t.Key, t.Effect})
	}
	return errs
}

func validateNodeUpdate(n, old *corev1.Node) field.ErrorList {
	errs := validateNode(n)
	path := field.NewPath("spec")
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(path.Child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"))
	}
	if old.Spec.ProviderID != "" && n.Spec.ProviderID != old.Spec.ProviderID {
		errs = append(errs, field.Forbidden(path.Child("providerID"), "node updates may not change providerID except from \"\" to valid"))
	}
	rest := n.Spec // shallow: only whole fields are set
	rest.PodCIDR, rest.PodCIDRs = old.Spec.PodCIDR, old.Spec.PodCIDRs
	rest.ProviderID = old.Spec.ProviderID
	rest.Unschedulable, rest.Taints = old.Spec.Unschedulable, old.Spec.Taints
	rest.ConfigSource, rest.DoNotUseExternalID = old.Spec.ConfigSource, old.Spec.DoNotUseExternalID
	if !equality.Semantic.DeepEqual(rest, old.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath(""), "node updates may only change labels, taints, or capacity"))
	}
	return errs
}

func nodeRow(n *corev1.Node, now time.Time) []any {
	info := n.Status.NodeInfo
	return []any{n.Name, nodeStatus(n), nodeRoles(n), kind.Age(n, now), info.KubeletVersion,
		orNone(nodeAddress(n, corev1.NodeInternalIP)), orNone(nodeAddress(n, corev1.NodeExternalIP)),
		orUnknown(info.OSImage), orUnknown(info.KernelVersion), orUnknown(info.ContainerRuntimeVersion)}
}

func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			status = "NotReady"
			if c.Status == corev1.ConditionTrue {
				status = "Ready"
			}
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

// nodeRoles collects roles from node-role.kubernetes.io/ROLE and from the older kubernetes.io/role.
func nodeRoles(n *corev1.Node) string {
	roles := sets.New[string]()
	for key, value := range n.Labels {
		if role, ok := strings.CutPrefix(key, "node-role.kubernetes.io/"); ok && role != "" {
			roles.Insert(role)
		} else if key == "kubernetes.io/role" && value != "" {
			roles.Insert(value)
		}
	}
	return orNone(strings.Join(sets.List(roles), ","))
}

func nodeAddress(n *corev1.Node, t corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == t {
			return a.Address
		}
	}
	return ""
}

func orUnknown(s string) string {
	if s == "" {
		return "<unknown>"
	}
	return s
}
