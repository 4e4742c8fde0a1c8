package policy

import (
	"strconv"
	"strings"
	"time"

	policyv1 "k8s.io/api/policy/v1"
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// PodDisruptionBudget returns the kind PodDisruptionBudget.
func PodDisruptionBudget() *kind.Kind {
	return kind.Typed[*policyv1.PodDisruptionBudget]{
		ID: kind.PodDisruptionBudgets, Version: policyv1.SchemeGroupVersion, Name: "PodDisruptionBudget", Singular: "poddisruptionbudget",
		ShortNames: []string{"pdb"}, RevisionRequired: true,
		New:     func() *policyv1.PodDisruptionBudget { return new(policyv1.PodDisruptionBudget) },
		NewList: func() runtime.Object { return new(policyv1.PodDisruptionBudgetList) },

		Counted:       func(b *policyv1.PodDisruptionBudget) any { return &b.Spec },
		PrepareCreate: func(b *policyv1.PodDisruptionBudget) { b.Status = policyv1.PodDisruptionBudgetStatus{} },
		PrepareUpdate: func(b, old *policyv1.PodDisruptionBudget) { b.Status = *old.Status.DeepCopy() },

		ValidateName:   pathvalidation.ValidatePathSegmentName,
		Validate:       validateBudget,
		ValidateUpdate: func(b, _ *policyv1.PodDisruptionBudget) field.ErrorList { return validateBudget(b) },

		PrepareStatus:  func(b, old *policyv1.PodDisruptionBudget) { b.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateBudgetStatus,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Min Available", "string", "Pods that must stay available."),
			kind.Column("Max Unavailable", "string", "Pods that may be unavailable."),
			kind.Column("Allowed Disruptions", "integer", "Pods that may be evicted now."),
			kind.AgeColumn(),
		},
		Row: func(b *policyv1.PodDisruptionBudget, now time.Time) []any {
			return []any{b.Name, orNA(b.Spec.MinAvailable), orNA(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), kind.Age(b, now)}
		},
	}.Kind()
}

func orNA(v *intstr.IntOrString) string {
	if v == nil {
		return "N/A"
	}
	return v.String()
}

func validateBudget(b *policyv1.PodDisruptionBudget) field.ErrorList {
	path, spec := field.NewPath("spec"), &b.Spec
	var errs field.ErrorList
	if spec.MinAvailable != nil && spec.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(path, *spec, "minAvailable and maxUnavailable cannot be both set"))
	}
	errs = append(errs, amount(path.Child("minAvailable"), spec.MinAvailable)...)
	errs = append(errs, amount(path.Child("maxUnavailable"), spec.MaxUnavailable)...)
	if spec.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(spec.Selector, metavalidation.LabelSelectorValidationOptions{}, path.Child("selector"))...)
	}
	if p := spec.UnhealthyPodEvictionPolicy; p != nil && *p != policyv1.IfHealthyBudget && *p != policyv1.AlwaysAllow {
		errs = append(errs, field.NotSupported(path.Child("unhealthyPodEvictionPolicy"), *p,
			[]policyv1.UnhealthyPodEvictionPolicyType{policyv1.AlwaysAllow, policyv1.IfHealthyBudget}))
	}
	return errs
}

func amount(path *field.Path, v *intstr.IntOrString) field.ErrorList {
	if v == nil {
		return nil
	}
	errs := core.PositiveIntOrPercent(path, *v)
	if percent, ok := strings.CutSuffix(v.StrVal, "%"); ok && v.Type == intstr.String {
		if n, err := strconv.Atoi(percent); err == nil && n > 100 {
			errs = append(errs, field.Invalid(path, *v, "must not be greater than 100%"))
		}
	}
	return errs
}

func validateBudgetStatus(b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	path, s := field.NewPath("status"), &b.Status
	errs := metavalidation.ValidateConditions(s.Conditions, path.Child("conditions"))
	errs = append(errs, core.NonNegative(path.Child("disruptionsAllowed"), &s.DisruptionsAllowed)...)
	errs = append(errs, core.NonNegative(path.Child("currentHealthy"), &s.CurrentHealthy)...)
	errs = append(errs, core.NonNegative(path.Child("desiredHealthy"), &s.DesiredHealthy)...)
	return append(errs, core.NonNegative(path.Child("expectedPods"), &s.ExpectedPods)...)
}
