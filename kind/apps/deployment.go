package apps

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Deployment returns the kind Deployment.
func Deployment() *kind.Kind {
	return kind.Typed[*appsv1.Deployment]{
		ID: kind.Deployments, Version: appsv1.SchemeGroupVersion, Name: "Deployment", Singular: "deployment",
		ShortNames: []string{"deploy"}, Categories: []string{"all"},
		New:     func() *appsv1.Deployment { return new(appsv1.Deployment) },
		NewList: func() runtime.Object { return new(appsv1.DeploymentList) },
	}.Kind()
}
