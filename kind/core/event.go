package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Event returns the kind Event.
func Event() *kind.Kind {
	return kind.Typed[*corev1.Event]{
		ID: kind.Events, Version: corev1.SchemeGroupVersion, Name: "Event", Singular: "event",
		ShortNames: []string{"ev"},
		New:        func() *corev1.Event { return new(corev1.Event) },
		NewList:    func() runtime.Object { return new(corev1.EventList) },
	}.Kind()
}
