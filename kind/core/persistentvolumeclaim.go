package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// PersistentVolumeClaim returns the kind PersistentVolumeClaim.
func PersistentVolumeClaim() *kind.Kind {
	return kind.Typed[*corev1.PersistentVolumeClaim]{
		ID: kind.PersistentVolumeClaims, Version: corev1.SchemeGroupVersion, Name: "PersistentVolumeClaim", Singular: "persistentvolumeclaim",
		ShortNames: []string{"pvc"},
		New:        func() *corev1.PersistentVolumeClaim { return new(corev1.PersistentVolumeClaim) },
		NewList:    func() runtime.Object { return new(corev1.PersistentVolumeClaimList) },
	}.Kind()
}
