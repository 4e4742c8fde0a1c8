package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// PersistentVolume returns the kind PersistentVolume.
func PersistentVolume() *kind.Kind {
	return kind.Typed[*corev1.PersistentVolume]{
		ID: kind.PersistentVolumes, Version: corev1.SchemeGroupVersion, Name: "PersistentVolume", Singular: "persistentvolume",
		ShortNames: []string{"pv"}, Cluster: true,
		New:     func() *corev1.PersistentVolume { return new(corev1.PersistentVolume) },
		NewList: func() runtime.Object { return new(corev1.PersistentVolumeList) },
	}.Kind()
}
