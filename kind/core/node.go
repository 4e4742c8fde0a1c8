package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Node returns the kind Node.
func Node() *kind.Kind {
	return kind.Typed[*corev1.Node]{
		ID: kind.Nodes, Version: corev1.SchemeGroupVersion, Name: "Node", Singular: "node",
		ShortNames: []string{"no"}, Cluster: true,
		New:     func() *corev1.Node { return new(corev1.Node) },
		NewList: func() runtime.Object { return new(corev1.NodeList) },
	}.Kind()
}
