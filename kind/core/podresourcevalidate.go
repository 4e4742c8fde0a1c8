package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	resourcehelper "k8s.io/component-helpers/resource"
)

// validatePodResources checks the resources of a pod as a whole (KEP-2837) against those of its containers.
func (pod *podRules) validatePodResources(path *field.Path) field.ErrorList {
	r := pod.Resources
	if r == nil {
		return nil
	}
	p := path.Child("resources")
	if pod.windows() {
		return field.ErrorList{field.Forbidden(p, "may not be set for a windows pod")}
	}
	var errs field.ErrorList
	if r.Claims != nil {
		errs = append(errs, field.Forbidden(p.Child("claims"), "claims may not be set for Resources at pod-level"))
	}
	errs = append(errs, validateResources(r, podResourceName, pod.claims, p)...)

	whole := &corev1.Pod{Spec: *pod.PodSpec}
	requests := resourcehelper.AggregateContainerRequests(whole, resourcehelper.PodResourcesOptions{})
	for _, name := range sortedNames(requests) {
		if own, ok := r.Requests[name]; ok {
			if sum := requests[name]; sum.Cmp(own) > 0 {
				errs = append(errs, field.Invalid(p.Child("requests").Key(string(name)), own.String(),
					fmt.Sprintf("must be greater than or equal to aggregate container requests of %s", sum.String())))
			}
		}
	}
	// Huge pages are handed out whole, so their limits add up as requests do.
	limits := resourcehelper.AggregateContainerLimits(whole, resourcehelper.PodResourcesOptions{})
	for _, name := range sortedNames(limits) {
		if own, ok := r.Limits[name]; ok && isHugePages(name) {
			if sum := limits[name]; sum.Cmp(own) > 0 {
				errs = append(errs, field.Invalid(p.Child("limits").Key(string(name)), own.String(),
					fmt.Sprintf("must be greater than or equal to aggregate container limits of %s", sum.String())))
			}
		}
	}
	for i := range pod.Containers {
		of := pod.Containers[i].Resources.Limits
		for _, name := range sortedNames(of) {
			if own, ok := r.Limits[name]; ok {
				if limit := of[name]; limit.Cmp(own) > 0 {
					errs = append(errs, field.Invalid(p.Child("containers").Index(i).Key(string(name)).Child("limits"), limit.String(),
						fmt.Sprintf("must be less than or equal to pod limits of %s", own.String())))
				}
			}
		}
	}
	return errs
}

// validateResourceClaims checks which claims of devices a pod has, and notes their names.
func (pod *podRules) validateResourceClaims(path *field.Path) field.ErrorList {
	if len(pod.ResourceClaims) == 0 {
		return nil
	}
	if pod.meta != nil {
		if _, mirror := pod.meta.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
			return field.ErrorList{field.Forbidden(field.NewPath(""), "static pods do not support resource claims")}
		}
	}
	var errs field.ErrorList
	pod.claims = make(map[string]bool, len(pod.ResourceClaims))
	for i, claim := range pod.ResourceClaims {
		p := path.Child("resourceClaims").Index(i)
		switch {
		case claim.Name == "":
			errs = append(errs, field.Required(p.Child("name"), ""))
		case pod.claims[claim.Name]:
			errs = append(errs, field.Duplicate(p.Child("name"), claim.Name))
		default:
			errs = append(errs, labelIn(p, "name", claim.Name)...)
			pod.claims[claim.Name] = true
		}
		switch {
		case claim.ResourceClaimName != nil && claim.ResourceClaimTemplateName != nil:
			errs = append(errs, field.Invalid(p, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"))
		case claim.ResourceClaimName == nil && claim.ResourceClaimTemplateName == nil:
			errs = append(errs, field.Invalid(p, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
		}
		if name := claim.ResourceClaimName; name != nil {
			errs = append(errs, subdomainIn(p, "resourceClaimName", *name)...)
		}
		if name := claim.ResourceClaimTemplateName; name != nil {
			errs = append(errs, subdomainIn(p, "resourceClaimTemplateName", *name)...)
		}
	}
	return errs
}
