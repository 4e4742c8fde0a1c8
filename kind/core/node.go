package core

import (
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
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
		// A node may be created with its status: its agent registers it in one request. Configuration from a ConfigMap is
		// a feature that was removed; what a node says of preemption for a resize is one that is off
		// (InPlacePodVerticalScalingSchedulerPreemption, KEP-5836).
		PrepareCreate: func(n *corev1.Node) {
			n.Spec.ConfigSource, n.Status.Config, n.Spec.PodPreemptionPolicy = nil, nil, nil
		},
		PrepareUpdate: func(n, old *corev1.Node) {
			n.Status = *old.Status.DeepCopy()
			if old.Spec.ConfigSource == nil {
				n.Spec.ConfigSource = nil
			}
			if old.Spec.PodPreemptionPolicy == nil {
				n.Spec.PodPreemptionPolicy = nil
			}
		},

		Validate: validateNode,
		ValidateUpdate: func(n, old *corev1.Node) field.ErrorList {
			return append(validateNode(n), validateNodeUpdate(n, old)...)
		},
		Warnings: nodeWarnings,

		PrepareStatus: func(n, old *corev1.Node) {
			n.Spec = *old.Spec.DeepCopy()
			if old.Status.Config == nil {
				n.Status.Config = nil
			}
		},
		ValidateStatus: func(n, old *corev1.Node) field.ErrorList {
			return append(validateNodeReport(n), validateNodeUpdate(n, old)...)
		},

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
	// podCIDR is the first of podCIDRs. Of two that differ, the older field is the one that its writer knows.
	switch spec := &n.Spec; {
	case spec.PodCIDR != "" && (len(spec.PodCIDRs) == 0 || spec.PodCIDRs[0] != spec.PodCIDR):
		spec.PodCIDRs = []string{spec.PodCIDR}
	case len(spec.PodCIDRs) > 0:
		spec.PodCIDR = spec.PodCIDRs[0]
	}
	roundMilli(n.Status.Capacity)
	roundMilli(n.Status.Allocatable)
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
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
