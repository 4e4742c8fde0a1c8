package core

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// ResourceQuota returns the kind ResourceQuota.
func ResourceQuota() *kind.Kind {
	return kind.Typed[*corev1.ResourceQuota]{
		ID: kind.ResourceQuotas, Version: corev1.SchemeGroupVersion, Name: "ResourceQuota", Singular: "resourcequota",
		ShortNames:    []string{"quota"},
		New:           func() *corev1.ResourceQuota { return new(corev1.ResourceQuota) },
		NewList:       func() runtime.Object { return new(corev1.ResourceQuotaList) },
		ReturnDeleted: true,

		Default: func(q *corev1.ResourceQuota) {
			roundMilli(q.Spec.Hard)
			roundMilli(q.Status.Hard)
			roundMilli(q.Status.Used)
		},
		PrepareCreate: func(q *corev1.ResourceQuota) { q.Status = corev1.ResourceQuotaStatus{} },
		PrepareUpdate: func(q, old *corev1.ResourceQuota) { q.Status = *old.Status.DeepCopy() },

		Validate: validateQuota,
		ValidateUpdate: func(q, old *corev1.ResourceQuota) field.ErrorList {
			errs := validateQuota(q)
			// The amounts may change; what they are about may not.
			if !sets.New(q.Spec.Scopes...).Equal(sets.New(old.Spec.Scopes...)) {
				errs = append(errs, field.Invalid(field.NewPath("spec", "scopes"), q.Spec.Scopes, "field is immutable"))
			}
			return errs
		},

		PrepareStatus:  func(q, old *corev1.ResourceQuota) { q.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateQuotaStatus,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Request", "string", "What may be asked for, used and allowed."),
			kind.Column("Limit", "string", "What may be taken at most, used and allowed."),
			kind.AgeColumn(),
		},
		Row: quotaRow,
	}.Kind()
}

func quotaRow(q *corev1.ResourceQuota, now time.Time) []any {
	var requests, limits []string
	for _, name := range sortedNames(q.Status.Hard) {
		used, hard := q.Status.Used[name], q.Status.Hard[name]
		text := fmt.Sprintf("%s: %s/%s", name, used.String(), hard.String())
		if strings.HasPrefix(string(name), "limits.") {
			limits = append(limits, text)
		} else {
			requests = append(requests, text)
		}
	}
	return []any{q.Name, strings.Join(requests, ", "), strings.Join(limits, ", "), kind.Age(q, now)}
}
