package rbac

import (
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// Role returns the kind Role.
func Role() *kind.Kind {
	return kind.Typed[*rbacv1.Role]{
		ID: kind.Roles, Version: rbacv1.SchemeGroupVersion, Name: "Role", Singular: "role", CreateOnUpdate: true,
		New:          func() *rbacv1.Role { return new(rbacv1.Role) },
		NewList:      func() runtime.Object { return new(rbacv1.RoleList) },
		ValidateName: path.ValidatePathSegmentName, // names such as "system:node" are usual
		Validate:     func(r *rbacv1.Role) field.ErrorList { return validateRules(r.Rules, true) },
		ValidateUpdate: func(r, _ *rbacv1.Role) field.ErrorList {
			return validateRules(r.Rules, true)
		},
		Columns: roleColumns(),
		Row:     func(r *rbacv1.Role, _ time.Time) []any { return []any{r.Name, kind.CreatedAt(r)} },
	}.Kind()
}

// ClusterRole returns the kind ClusterRole.
func ClusterRole() *kind.Kind {
	return kind.Typed[*rbacv1.ClusterRole]{
		ID: kind.ClusterRoles, Version: rbacv1.SchemeGroupVersion, Name: "ClusterRole", Singular: "clusterrole", CreateOnUpdate: true,
		Cluster:      true,
		New:          func() *rbacv1.ClusterRole { return new(rbacv1.ClusterRole) },
		NewList:      func() runtime.Object { return new(rbacv1.ClusterRoleList) },
		ValidateName: path.ValidatePathSegmentName, // names such as "system:node" are usual
		Validate:     func(r *rbacv1.ClusterRole) field.ErrorList { return validateClusterRole(r, false) },
		ValidateUpdate: func(r, old *rbacv1.ClusterRole) field.ErrorList {
			return validateClusterRole(r, badSelectorValues(old))
		},
		Columns: roleColumns(),
		Row:     func(r *rbacv1.ClusterRole, _ time.Time) []any { return []any{r.Name, kind.CreatedAt(r)} },
	}.Kind()
}

func roleColumns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{kind.NameColumn(), kind.Column("Created At", "date", "When the object was created.")}
}

// validateClusterRole bears with selector values that are no labels if badValues is true: the old role has some.
func validateClusterRole(r *rbacv1.ClusterRole, badValues bool) field.ErrorList {
	errs := validateRules(r.Rules, false)
	if r.AggregationRule == nil {
		return errs
	}
	at, selectors := field.NewPath("aggregationRule", "clusterRoleSelectors"), r.AggregationRule.ClusterRoleSelectors
	if len(selectors) == 0 {
		errs = append(errs, field.Required(at, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
	}
	options := metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: badValues}
	for i := range selectors {
		errs = append(errs, metavalidation.ValidateLabelSelector(&selectors[i], options, at.Index(i))...)
		if _, err := metav1.LabelSelectorAsSelector(&selectors[i]); err != nil {
			errs = append(errs, field.Invalid(at.Index(i), nil, "invalid label selector."))
		}
	}
	return errs
}

func badSelectorValues(r *rbacv1.ClusterRole) bool {
	return r.AggregationRule != nil && slices.ContainsFunc(r.AggregationRule.ClusterRoleSelectors, func(s metav1.LabelSelector) bool {
		return metavalidation.LabelSelectorHasInvalidLabelValue(&s)
	})
}

func validateRules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i := range rules {
		r, at := &rules[i], field.NewPath("rules").Index(i)
		if len(r.Verbs) == 0 {
			errs = append(errs, field.Required(at.Child("verbs"), ""))
		}
		if len(r.NonResourceURLs) > 0 {
			if namespaced {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
			}
			if len(r.APIGroups)+len(r.Resources)+len(r.ResourceNames) > 0 {
				errs = append(errs, field.Invalid(at.Child("nonResourceURLs"), r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
			}
			continue
		}
		if len(r.APIGroups) == 0 {
			errs = append(errs, field.Required(at.Child("apiGroups"), "resource rules must supply at least one api group"))
		}
		if len(r.Resources) == 0 {
			errs = append(errs, field.Required(at.Child("resources"), "resource rules must supply at least one resource"))
		}
	}
	return errs
}
