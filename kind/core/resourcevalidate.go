package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"
)

// validateResources checks limits and requests whose names nameErrors accepts. claims are the resource claims of the pod.
func validateResources(r *corev1.ResourceRequirements, nameErrors func(corev1.ResourceName, *field.Path) field.ErrorList, claims map[string]bool, path *field.Path) field.ErrorList {
	if len(r.Limits) == 0 && len(r.Requests) == 0 && len(r.Claims) == 0 {
		return nil
	}
	var errs field.ErrorList
	compute, huge := false, false
	check := func(name corev1.ResourceName, amount resource.Quantity, p *field.Path) {
		errs = append(errs, nameErrors(name, p)...)
		errs = append(errs, resourceAmount(name, amount, p)...)
		if isHugePages(name) {
			huge = true
			if !dividesHugePages(name, amount) {
				errs = append(errs, field.Invalid(p, amount.String(), fmt.Sprintf("%s is not positive integer multiple of %s", amount.String(), name)))
			}
		}
		compute = compute || name == corev1.ResourceCPU || name == corev1.ResourceMemory
	}
	for _, name := range sortedNames(r.Limits) {
		check(name, r.Limits[name], path.Child("limits").Key(string(name)))
	}
	for _, name := range sortedNames(r.Requests) {
		request := r.Requests[name]
		check(name, request, path.Child("requests").Key(string(name)))
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
	if huge && !compute {
		errs = append(errs, field.Forbidden(path, "HugePages require cpu or memory"))
	}
	return append(errs, validateClaimRefs(r.Claims, claims, path.Child("claims"))...)
}

// validateClaimRefs checks which of the pod's resource claims a container uses: a whole one, or some of its requests.
func validateClaimRefs(refs []corev1.ResourceClaim, claims map[string]bool, path *field.Path) field.ErrorList {
	if len(refs) == 0 {
		return nil
	}
	const whole = "" // no request has this name
	var errs field.ErrorList
	used := make(map[string]map[string]bool, len(refs)) // requests by claim
	for i, ref := range refs {
		p := path.Index(i)
		if ref.Name == "" {
			errs = append(errs, field.Required(p, ""))
			continue
		}
		requests := used[ref.Name]
		switch {
		case requests[whole]:
			errs = append(errs, field.Duplicate(p, ref.Name))
		case ref.Request == whole:
			for range requests { // each of which it has too
				errs = append(errs, field.Duplicate(p, ref.Name))
			}
		default:
			errs = append(errs, labelIn(p, "request", ref.Request)...)
			if requests[ref.Request] {
				errs = append(errs, field.Duplicate(p, ref.Name+"/"+ref.Request))
			}
		}
		if requests == nil {
			requests = make(map[string]bool)
			used[ref.Name] = requests
		}
		requests[ref.Request] = true
		if !claims[ref.Name] {
			err := field.NotFound(p, ref.Name)
			err.Detail = "must be one of the names in pod.spec.resourceClaims"
			if len(claims) == 0 {
				err.Detail += " which is empty"
			} else {
				err.Detail += ": " + strings.Join(slices.Sorted(maps.Keys(claims)), ", ")
			}
			errs = append(errs, err)
		}
	}
	return errs
}

// resourceName checks the name of a resource of any kind.
func resourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if isComputeName(name) {
		return nil
	}
	errs := qualifiedName(path, string(name))
	if len(errs) == 0 && !strings.Contains(string(name), "/") && !isStandardName(name) {
		errs = append(errs, field.Invalid(path, name, "must be a standard resource type or fully qualified"))
	}
	return errs
}

// containerResourceName checks the name of a resource that containers use.
func containerResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if isComputeName(name) {
		return nil
	}
	errs := resourceName(name, path)
	switch {
	case !strings.Contains(string(name), "/"):
		if !isHugePages(name) {
			errs = append(errs, field.Invalid(path, name, "must be a standard resource for containers"))
		}
	case !isNative(name) && !isExtended(name):
		errs = append(errs, field.Invalid(path, name, "doesn't follow extended resource name standard"))
	}
	return errs
}

// podResourceName checks the name of a resource that a pod may ask for as a whole (KEP-2837).
func podResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	errs := resourceName(name, path)
	if len(errs) == 0 && !resourcehelper.IsSupportedPodLevelResource(name) {
		errs = append(errs, field.NotSupported(path, name, []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceHugePagesPrefix, corev1.ResourceMemory}))
	}
	return errs
}

func isComputeName(name corev1.ResourceName) bool {
	return name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage
}

// isStandardName says whether the API knows a name without a domain: of containers, claims, or a quota.
func isStandardName(name corev1.ResourceName) bool {
	bare := strings.TrimPrefix(strings.TrimPrefix(string(name), "requests."), "limits.")
	if isHugePages(name) || isComputeName(corev1.ResourceName(bare)) {
		return true
	}
	return isCount(name) || name == corev1.ResourceStorage || name == corev1.ResourceRequestsStorage ||
		strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

func isHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// dividesHugePages says whether an amount is made of whole pages of the size that is in the resource's name.
func dividesHugePages(name corev1.ResourceName, amount resource.Quantity) bool {
	size, err := resource.ParseQuantity(strings.TrimPrefix(string(name), corev1.ResourceHugePagesPrefix))
	return err == nil && size.Sign() > 0 && size.MilliValue()%1000 == 0 && amount.Value()%size.Value() == 0
}

// isNative says whether a resource is Kubernetes' own: it has no domain, or ours.
func isNative(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") || strings.Contains(string(name), corev1.ResourceDefaultNamespacePrefix)
}

// isExtended says whether a resource is somebody else's, such as a device: it has a domain, and room for the prefix
// that it gets in a quota.
func isExtended(name corev1.ResourceName) bool {
	return !isNative(name) && !strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) &&
		len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// isCount says whether a resource of a node or a quota is a number of objects.
func isCount(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers, corev1.ResourceSecrets,
		corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return false
}

// resourceAmount checks an amount: of a thing there is none or more, and of objects and devices only whole ones.
func resourceAmount(name corev1.ResourceName, amount resource.Quantity, path *field.Path) field.ErrorList {
	errs := nonNegativeAmount(amount, path)
	if (isExtended(name) || isCount(name)) && amount.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(path, amount, "must be an integer"))
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
	return isNative(name) && !isHugePages(name)
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	if len(list) == 0 {
		return nil
	}
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ValidateResources checks the limits and requests of a container, or what is given like them.
func ValidateResources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	return validateResources(r, containerResourceName, nil, path)
}
