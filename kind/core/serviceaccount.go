package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// ServiceAccount returns the kind ServiceAccount.
func ServiceAccount() *kind.Kind {
	return kind.Typed[*corev1.ServiceAccount]{
		ID: kind.ServiceAccounts, Version: corev1.SchemeGroupVersion, Name: "ServiceAccount", Singular: "serviceaccount",
		ShortNames: []string{"sa"},
		New:        func() *corev1.ServiceAccount { return new(corev1.ServiceAccount) },
		NewList:    func() runtime.Object { return new(corev1.ServiceAccountList) },
	}.Kind()
}
