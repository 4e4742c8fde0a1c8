package core

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateResources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range sortedNames(r.Limits) {
		p := path.Child("limits").Key(string(name))
		errs = append(errs, containerResourceName(name, p)...)
		errs = append(errs, resourceAmount(name, r.Limits[name], p)...)
	}
	for _, name := range sortedNames(r.Requests) {
		p := path.Child("requests").Key(string(name))
		request := r.Requests[name]
		errs = append(errs, containerResourceName(name, p)...)
		errs = append(errs, resourceAmount(name, request, p)...)
		limit, limited := r.Limits[name]
		switch {
		case limited && request.Cmp(limit) != 0 && !overcommits(name):
			errs = append(errs, field.Invalid(path.Child("requests"), request.String(), fmt.Sprintf("must be equal to %s limit of %s", name, limit.String())))
		case limited && request.Cmp(limit) > 0:
			errs = append(errs, field.Invalid(path.Child("requests"), request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		case !limited && !overcommits(name):
			errs = append(errs, field.Required(path.Child("limits"), "Limit must be set for non overcommitable resources"))
		}
	}
	seen := sets.New[corev1.ResourceClaim]()
	for i, claim := range r.Claims {
		p := path.Child("claims").Index(i)
		switch {
		case claim.Name == "":
			errs = append(errs, field.Required(p, ""))
		case seen.Has(claim):
			errs = append(errs, field.Duplicate(p, claim.Name))
		}
		seen.Insert(claim)
	}
	return errs
}

func containerResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs := qualifiedName(path, string(name))
	if len(errs) > 0 || strings.Contains(string(name), "/") {
		return errs
	}
	switch {
	case name == corev1.ResourceCPU, name == corev1.ResourceMemory, name == corev1.ResourceEphemeralStorage:
		return nil
	case strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix):
		return nil
	}
	return append(errs, field.Invalid(path, name, "must be a standard resource for containers"))
}

func resourceAmount(name corev1.ResourceName, amount resource.Quantity, path *field.Path) field.ErrorList {
	errs := nonNegativeAmount(amount, path)
	if strings.Contains(string(name), "/") && amount.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(path, amount.String(), "must be an integer"))
	}
	return errs
}

func nonNegativeAmount(amount resource.Quantity, path *field.Path) field.ErrorList {
	if amount.Sign() < 0 {
		return field.ErrorList{field.Invalid(path, amount.String(), apivalidation.IsNegativeErrorMsg)}
	}
	return nil
}

// overcommits says whether a request may be below its limit: huge pages and extended resources are
// handed out whole.
func overcommits(name corev1.ResourceName) bool {
	return !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) && !strings.Contains(string(name), "/")
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ValidateResources checks the limits and requests of a container, or what is given like them.
func ValidateResources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	return validateResources(r, path)
}
