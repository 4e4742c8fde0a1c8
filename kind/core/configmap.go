package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// ConfigMap returns the kind ConfigMap.
func ConfigMap() *kind.Kind {
	return kind.Typed[*corev1.ConfigMap]{
		ID: kind.ConfigMaps, Version: corev1.SchemeGroupVersion, Name: "ConfigMap", Singular: "configmap",
		ShortNames: []string{"cm"},
		New:        func() *corev1.ConfigMap { return new(corev1.ConfigMap) },
		NewList:    func() runtime.Object { return new(corev1.ConfigMapList) },
	}.Kind()
}
