package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Namespace returns the kind Namespace.
func Namespace() *kind.Kind {
	return kind.Typed[*corev1.Namespace]{
		ID: kind.Namespaces, Version: corev1.SchemeGroupVersion, Name: "Namespace", Singular: "namespace",
		ShortNames: []string{"ns"}, Cluster: true,
		New:     func() *corev1.Namespace { return new(corev1.Namespace) },
		NewList: func() runtime.Object { return new(corev1.NamespaceList) },
	}.Kind()
}
