package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// StatefulSet returns the kind StatefulSet.
func StatefulSet() *kind.Kind {
	return kind.Typed[*appsv1.StatefulSet]{
		ID: kind.StatefulSets, Version: appsv1.SchemeGroupVersion, Name: "StatefulSet", Singular: "statefulset",
		ShortNames: []string{"sts"}, Categories: []string{"all"},
		New:     func() *appsv1.StatefulSet { return new(appsv1.StatefulSet) },
		NewList: func() runtime.Object { return new(appsv1.StatefulSetList) },
	}.Kind()
}
