package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Endpoints returns the kind Endpoints.
func Endpoints() *kind.Kind {
	return kind.Typed[*corev1.Endpoints]{
		ID: kind.Endpoints, Version: corev1.SchemeGroupVersion, Name: "Endpoints", Singular: "endpoints",
		ShortNames: []string{"ep"},
		New:        func() *corev1.Endpoints { return new(corev1.Endpoints) },
		NewList:    func() runtime.Object { return new(corev1.EndpointsList) },
	}.Kind()
}
