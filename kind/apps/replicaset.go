package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// ReplicaSet returns the kind ReplicaSet.
func ReplicaSet() *kind.Kind {
	return kind.Typed[*appsv1.ReplicaSet]{
		ID: kind.ReplicaSets, Version: appsv1.SchemeGroupVersion, Name: "ReplicaSet", Singular: "replicaset",
		ShortNames: []string{"rs"}, Categories: []string{"all"},
		New:     func() *appsv1.ReplicaSet { return new(appsv1.ReplicaSet) },
		NewList: func() runtime.Object { return new(appsv1.ReplicaSetList) },
	}.Kind()
}
