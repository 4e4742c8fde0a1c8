package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// Secret returns the kind Secret.
func Secret() *kind.Kind {
	return kind.Typed[*corev1.Secret]{
		ID: kind.Secrets, Version: corev1.SchemeGroupVersion, Name: "Secret", Singular: "secret",
		New:     func() *corev1.Secret { return new(corev1.Secret) },
		NewList: func() runtime.Object { return new(corev1.SecretList) },
	}.Kind()
}
