package core

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
		ShortNames: []string{"quota"},
		New:        func() *corev1.ResourceQuota { return new(corev1.ResourceQuota) },
		NewList:    func() runtime.Object { return new(corev1.ResourceQuotaList) },

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
			if !equality.Semantic.DeepEqual(slices.Sorted(slices.Values(q.Spec.Scopes)), slices.Sorted(slices.Values(old.Spec.Scopes))) {
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

func validateQuota(q *corev1.ResourceQuota) field.ErrorList {
	path := field.NewPath("spec")
	errs := quotaAmounts(q.Spec.Hard, path.Child("hard"))
	errs = append(errs, validateScopes(&q.Spec, path)...)
	return append(errs, validateScopeSelector(q.Spec.ScopeSelector, path.Child("scopeSelector", "matchExpressions"))...)
}

func validateQuotaStatus(q, _ *corev1.ResourceQuota) field.ErrorList {
	path := field.NewPath("status")
	if len(q.ResourceVersion) == 0 {
		return field.ErrorList{field.Required(field.NewPath("resourceVersion"), "")}
	}
	return append(quotaAmounts(q.Status.Hard, path.Child("hard")), quotaAmounts(q.Status.Used, path.Child("used"))...)
}

func quotaAmounts(list corev1.ResourceList, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range sortedNames(list) {
		p := path.Key(string(name))
		errs = append(errs, quotaResource(name, p)...)
		amount := list[name]
		errs = append(errs, nonNegativeAmount(amount, p)...)
		if counted(name) && amount.MilliValue()%1000 != 0 {
			errs = append(errs, field.Invalid(p, amount.String(), "must be an integer"))
		}
	}
	return errs
}

func quotaResource(name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs := qualifiedName(path, string(name))
	if len(errs) == 0 && !strings.Contains(string(name), "/") && !standardQuotaResource(name) {
		errs = append(errs, field.Invalid(path, name, "must be a standard resource for quota"))
	}
	return errs
}

// standardResource says whether a name without a domain is one that some kind of object can ask for.
func standardResource(name corev1.ResourceName) bool {
	return name == corev1.ResourceStorage || standardQuotaResource(name)
}

func standardQuotaResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage:
		return true
	}
	s := string(name)
	return counted(name) || strings.HasPrefix(s, corev1.ResourceHugePagesPrefix) || strings.HasPrefix(s, "requests."+corev1.ResourceHugePagesPrefix)
}

// counted says whether a quota of the resource counts objects.
func counted(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers, corev1.ResourceSecrets,
		corev1.ResourcePersistentVolumeClaims, corev1.ResourceConfigMaps, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return false
}

func validateScopes(spec *corev1.ResourceQuotaSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	scopes := sets.New(spec.Scopes...)
	for _, scope := range spec.Scopes {
		p := path.Child("scopes")
		if !knownScope(scope) {
			errs = append(errs, field.Invalid(p, spec.Scopes, "unsupported scope"))
			continue
		}
		for _, name := range sortedNames(spec.Hard) {
			if !scopeFits(scope, name) {
				errs = append(errs, field.Invalid(p, spec.Scopes, "unsupported scope applied to resource"))
				break
			}
		}
	}
	for _, pair := range [][2]corev1.ResourceQuotaScope{
		{corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort},
		{corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating},
	} {
		if scopes.HasAll(pair[0], pair[1]) {
			errs = append(errs, field.Invalid(path.Child("scopes"), spec.Scopes, "conflicting scopes"))
		}
	}
	return errs
}

func knownScope(scope corev1.ResourceQuotaScope) bool {
	switch scope {
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeBestEffort,
		corev1.ResourceQuotaScopeNotBestEffort, corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity,
		corev1.ResourceQuotaScopeVolumeAttributesClass:
		return true
	}
	return false
}

// scopeFits says whether a scope can narrow the use of a resource.
func scopeFits(scope corev1.ResourceQuotaScope, name corev1.ResourceName) bool {
	switch scope {
	case corev1.ResourceQuotaScopeBestEffort:
		return name == corev1.ResourcePods
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
	}
	switch name {
	case corev1.ResourcePods, corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceEphemeralStorage, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceLimitsEphemeralStorage:
		return true
	}
	return strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceHugePagesPrefix)
}

func validateScopeSelector(s *corev1.ScopeSelector, path *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	for i, e := range s.MatchExpressions {
		p := path.Index(i)
		if !knownScope(e.ScopeName) {
			errs = append(errs, field.Invalid(p.Child("scopeName"), e.ScopeName, "unsupported scope"))
		}
		switch e.ScopeName {
		case corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeVolumeAttributesClass:
		default:
			if e.Operator != corev1.ScopeSelectorOpExists {
				errs = append(errs, field.Invalid(p.Child("operator"), e.Operator,
					"must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"))
			}
		}
		switch e.Operator {
		case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
			if len(e.Values) == 0 {
				errs = append(errs, field.Required(p.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
			}
		case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
			if len(e.Values) > 0 {
				errs = append(errs, field.Invalid(p.Child("values"), e.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
			}
		default:
			errs = append(errs, field.Invalid(p.Child("operator"), e.Operator, "not a valid selector operator"))
		}
	}
	return errs
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
