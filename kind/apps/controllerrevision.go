package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// ControllerRevision returns the kind ControllerRevision.
func ControllerRevision() *kind.Kind {
	return kind.Typed[*appsv1.ControllerRevision]{
		ID: kind.ControllerRevisions, Version: appsv1.SchemeGroupVersion, Name: "ControllerRevision", Singular: "controllerrevision",
		New:     func() *appsv1.ControllerRevision { return new(appsv1.ControllerRevision) },
		NewList: func() runtime.Object { return new(appsv1.ControllerRevisionList) },
	}.Kind()
}
