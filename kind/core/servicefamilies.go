package core

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateClusterIPs checks the addresses of a service, its address families and how they go together.
func validateClusterIPs(spec *corev1.ServiceSpec, path *field.Path) field.ErrorList {
	if spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var errs field.ErrorList
	ips, families := path.Child("clusterIPs"), path.Child("ipFamilies")
	switch {
	case spec.ClusterIP != "" && len(spec.ClusterIPs) == 0:
		errs = append(errs, field.Required(ips, ""))
	case spec.ClusterIP != "" && spec.ClusterIPs[0] != spec.ClusterIP:
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "first value must match `clusterIP`"))
	case spec.ClusterIP == "" && len(spec.ClusterIPs) > 0:
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "must be empty when `clusterIP` is not specified"))
	}
	seen := sets.New[corev1.IPFamily]()
	for i, family := range spec.IPFamilies {
		errs = append(errs, supported(families.Index(i), family, corev1.IPv4Protocol, corev1.IPv6Protocol)...)
		if seen.Has(family) {
			errs = append(errs, field.Duplicate(families.Index(i), family))
		}
		seen.Insert(family)
	}
	if p := spec.IPFamilyPolicy; p != nil {
		errs = append(errs, supported(path.Child("ipFamilyPolicy"), *p,
			corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack, corev1.IPFamilyPolicySingleStack)...)
	}
	bad := false
	for i, ip := range spec.ClusterIPs {
		if i == 0 && ip == corev1.ClusterIPNone {
			if len(spec.ClusterIPs) > 1 {
				bad = true
				errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "'None' must be the first and only value"))
			}
			continue
		}
		invalid := validation.IsValidIPForLegacyField(ips.Index(i), ip, true, nil)
		bad = bad || len(invalid) > 0
		errs = append(errs, invalid...)
	}
	if len(spec.ClusterIPs) > 2 {
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "may only hold up to 2 values"))
	}
	if bad || headless(spec) {
		return errs // what follows would only repeat it
	}
	have := sets.New[corev1.IPFamily]()
	for _, ip := range spec.ClusterIPs {
		have.Insert(familyOf(ip))
	}
	if len(spec.ClusterIPs) > 1 && have.Len() != 2 {
		errs = append(errs, field.Invalid(ips, spec.ClusterIPs, "may specify no more than one IP for each IP family"))
	}
	for i, ip := range spec.ClusterIPs[:min(len(spec.ClusterIPs), len(spec.IPFamilies))] {
		if want := spec.IPFamilies[i]; want != familyOf(ip) && (want == corev1.IPv4Protocol || want == corev1.IPv6Protocol) {
			errs = append(errs, field.Invalid(ips.Index(i), ip, fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%d]`", want, i)))
		}
	}
	return errs
}

func familyOf(ip string) corev1.IPFamily {
	if addr, err := netip.ParseAddr(ip); err == nil && addr.Is6() {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

// validateFamilyChange lets a service get or lose its second address and family, but keep the first.
func validateFamilyChange(s, old *corev1.Service, path *field.Path) field.ErrorList {
	is, was := &s.Spec, &old.Spec
	if is.Type == corev1.ServiceTypeExternalName || was.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var errs field.ErrorList
	if !headless(is) || !headless(was) {
		errs = append(errs, validatePrimary(is.ClusterIPs, was.ClusterIPs, path.Child("clusterIPs"), "clusterIP")...)
		errs = append(errs, validateRelease(is, len(is.ClusterIPs), len(was.ClusterIPs), path, "clusterIP")...)
	}
	if !headless(is) && !headless(was) {
		errs = append(errs, validatePrimary(is.IPFamilies, was.IPFamilies, path.Child("ipFamilies"), "ipFamily")...)
		errs = append(errs, validateRelease(is, len(is.IPFamilies), len(was.IPFamilies), path, "ipFamily")...)
	}
	return errs
}

func validatePrimary[T comparable](is, was []T, path *field.Path, what string) field.ErrorList {
	if len(is) == len(was) {
		var errs field.ErrorList
		for i := range was {
			if is[i] != was[i] {
				errs = append(errs, field.Invalid(path.Index(i), is, "may not change once set"))
			}
		}
		return errs
	}
	switch {
	case len(is) == 0:
		return field.ErrorList{field.Invalid(path.Index(0), is, fmt.Sprintf("primary %s can not be unset", what))}
	case len(was) > 0 && is[0] != was[0]:
		return field.ErrorList{field.Invalid(path.Index(0), is, "may not change once set")}
	}
	return nil
}

func validateRelease(spec *corev1.ServiceSpec, is, was int, path *field.Path, what string) field.ErrorList {
	if is != 1 || was <= 1 || policyOf(spec) == corev1.IPFamilyPolicySingleStack {
		return nil
	}
	return field.ErrorList{field.Invalid(path.Child("ipFamilyPolicy"), spec.IPFamilyPolicy,
		fmt.Sprintf("must be set to 'SingleStack' when releasing the secondary %s", what))}
}

func policyOf(spec *corev1.ServiceSpec) corev1.IPFamilyPolicy {
	if spec.IPFamilyPolicy == nil {
		return ""
	}
	return *spec.IPFamilyPolicy
}

// InitServiceFamilies gives a service the address families that it asks for, of those that the cluster has (the first is
// the usual one), in place, and returns what cannot be had. old is the service as it was, nil for a new one. It comes
// after PrepareCreate or PrepareUpdate and before validation. The rules are those of KEP-563: nothing changes between one
// and two families unless ipFamilyPolicy says so.
func InitServiceFamilies(s, old *corev1.Service, cluster []corev1.IPFamily) field.ErrorList {
	spec, path := &s.Spec, field.NewPath("spec")
	if spec.Type == corev1.ServiceTypeExternalName || old != nil && keepsBothStacks(spec, &old.Spec) {
		return nil
	}
	bare := spec.ClusterIP == corev1.ClusterIPNone && len(spec.Selector) == 0 // headless, with endpoints of any family
	if spec.IPFamilyPolicy == nil {
		policy := corev1.IPFamilyPolicySingleStack
		switch {
		case old != nil && old.Spec.IPFamilyPolicy != nil:
			policy = *old.Spec.IPFamilyPolicy
		case bare:
			policy = corev1.IPFamilyPolicyRequireDualStack
		}
		spec.IPFamilyPolicy = &policy
	}
	if errs := validateClusterIPs(spec, path); len(errs) > 0 {
		return nil // validation says it
	}
	errs := reconcileFamilies(spec, old, path)
	for i := len(spec.IPFamilies); i < len(spec.ClusterIPs) && !headless(spec); i++ {
		family := familyOf(spec.ClusterIPs[i])
		if !slices.Contains(cluster, family) {
			errs = append(errs, field.Invalid(path.Child("clusterIPs").Index(i), spec.ClusterIPs, fmt.Sprintf("%s is not configured on this cluster", family)))
			continue
		}
		spec.IPFamilies = append(spec.IPFamilies, family)
	}
	if len(errs) > 0 {
		return errs
	}
	if !bare {
		if policyOf(spec) == corev1.IPFamilyPolicyRequireDualStack && len(cluster) < 2 {
			errs = append(errs, field.Invalid(path.Child("ipFamilyPolicy"), spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services"))
		}
		for i, family := range spec.IPFamilies {
			if !slices.Contains(cluster, family) {
				errs = append(errs, field.Invalid(path.Child("ipFamilies").Index(i), family, "not configured on this cluster"))
			}
		}
		if len(errs) > 0 {
			return errs
		}
	}
	if len(spec.IPFamilies) == 0 {
		spec.IPFamilies = []corev1.IPFamily{cluster[0]}
	}
	if policyOf(spec) != corev1.IPFamilyPolicySingleStack && len(spec.IPFamilies) == 1 && (bare || len(cluster) == 2) {
		other := corev1.IPv4Protocol
		if spec.IPFamilies[0] == corev1.IPv4Protocol {
			other = corev1.IPv6Protocol
		}
		spec.IPFamilies = append(spec.IPFamilies, other)
	}
	return nil
}

// keepsBothStacks reports whether nothing about addresses changes in a service that takes a second family where there
// is one: it stays what it is when the cluster changes.
func keepsBothStacks(is, was *corev1.ServiceSpec) bool {
	return is.Type == was.Type && policyOf(is) == corev1.IPFamilyPolicyPreferDualStack && policyOf(was) == corev1.IPFamilyPolicyPreferDualStack &&
		slices.Equal(is.ClusterIPs, was.ClusterIPs) && slices.Equal(is.IPFamilies, was.IPFamilies)
}

// reconcileFamilies takes the second address and family from a service that now wants one only, and refuses numbers of
// them that contradict the policy.
func reconcileFamilies(spec *corev1.ServiceSpec, old *corev1.Service, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	policy := func(text string) {
		errs = append(errs, field.Invalid(path.Child("ipFamilyPolicy"), spec.IPFamilyPolicy, text))
	}
	single := policyOf(spec) == corev1.IPFamilyPolicySingleStack
	if old != nil && single {
		if len(spec.ClusterIPs) > 1 && slices.Equal(spec.ClusterIPs, old.Spec.ClusterIPs) {
			spec.ClusterIPs = spec.ClusterIPs[:1:1]
		}
		if len(spec.IPFamilies) > 1 && slices.Equal(spec.IPFamilies, old.Spec.IPFamilies) {
			spec.IPFamilies = spec.IPFamilies[:1:1]
		}
	}
	if old != nil && !single {
		if reduced(spec.ClusterIPs, old.Spec.ClusterIPs) {
			policy("must be 'SingleStack' to release the secondary cluster IP")
		}
		if reduced(spec.IPFamilies, old.Spec.IPFamilies) {
			policy("must be 'SingleStack' to release the secondary IP family")
		}
	}
	if single && len(spec.ClusterIPs) == 2 {
		policy("must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified")
	}
	if single && len(spec.IPFamilies) == 2 {
		policy("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified")
	}
	return errs
}

// reduced reports whether the second of two values was let go and the first kept; none at all means that they were
// not repeated.
func reduced[T comparable](is, was []T) bool {
	return len(is) == 1 && len(was) == 2 && is[0] == was[0]
}
