package storage

import (
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// StorageClass returns the kind StorageClass.
func StorageClass() *kind.Kind {
	return kind.Typed[*storagev1.StorageClass]{
		ID: kind.StorageClasses, Version: storagev1.SchemeGroupVersion, Name: "StorageClass", Singular: "storageclass",
		ShortNames: []string{"sc"}, Cluster: true,
		New:     func() *storagev1.StorageClass { return new(storagev1.StorageClass) },
		NewList: func() runtime.Object { return new(storagev1.StorageClassList) },
	}.Kind()
}
