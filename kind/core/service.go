package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Service returns the kind Service.
func Service() *kind.Kind {
	return kind.Typed[*corev1.Service]{
		ID: kind.Services, Version: corev1.SchemeGroupVersion, Name: "Service", Singular: "service",
		ShortNames: []string{"svc"}, Categories: []string{"all"},
		New:     func() *corev1.Service { return new(corev1.Service) },
		NewList: func() runtime.Object { return new(corev1.ServiceList) },
	}.Kind()
}
