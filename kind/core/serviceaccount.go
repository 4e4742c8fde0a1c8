package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"sampan/kind"
)

// ServiceAccount returns the kind ServiceAccount.
func ServiceAccount() *kind.Kind {
	return kind.Typed[*corev1.ServiceAccount]{
		ID: kind.ServiceAccounts, Version: corev1.SchemeGroupVersion, Name: "ServiceAccount", Singular: "serviceaccount",
		ShortNames:    []string{"sa"},
		New:           func() *corev1.ServiceAccount { return new(corev1.ServiceAccount) },
		NewList:       func() runtime.Object { return new(corev1.ServiceAccountList) },
		ReturnDeleted: true,

		// Only names: the rest of a reference would pretend that another namespace could be meant.
		PrepareCreate: func(sa *corev1.ServiceAccount) { onlySecretNames(sa) },
		PrepareUpdate: func(sa, _ *corev1.ServiceAccount) { onlySecretNames(sa) },

		Warnings:       func(sa *corev1.ServiceAccount) []string { return mountableWarning(sa, nil) },
		UpdateWarnings: mountableWarning,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Secrets", "string", "Number of secrets that pods of this account may use."),
			kind.AgeColumn(),
		},
		Row: func(sa *corev1.ServiceAccount, now time.Time) []any {
			return []any{sa.Name, int64(len(sa.Secrets)), kind.Age(sa, now)}
		},
	}.Kind()
}

func onlySecretNames(sa *corev1.ServiceAccount) {
	for i := range sa.Secrets {
		sa.Secrets[i] = corev1.ObjectReference{Name: sa.Secrets[i].Name}
	}
}

// enforceMountable was to keep pods of an account to the secrets that the account lists.
const enforceMountable = "kubernetes.io/enforce-mountable-secrets"

// mountableWarning is for those who newly set what has gone out of use. old is nil for a new account.
func mountableWarning(sa, old *corev1.ServiceAccount) []string {
	if old != nil {
		if _, ok := old.Annotations[enforceMountable]; ok {
			return nil
		}
	}
	if _, ok := sa.Annotations[enforceMountable]; !ok {
		return nil
	}
	return []string{"metadata.annotations[" + enforceMountable + "]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"}
}
