package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Pod returns the kind Pod.
func Pod() *kind.Kind {
	return kind.Typed[*corev1.Pod]{
		ID: kind.Pods, Version: corev1.SchemeGroupVersion, Name: "Pod", Singular: "pod",
		ShortNames: []string{"po"}, Categories: []string{"all"},
		New:     func() *corev1.Pod { return new(corev1.Pod) },
		NewList: func() runtime.Object { return new(corev1.PodList) },
	}.Kind()
}
