package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The annotation in which tolerations were written before they had a field.
const tolerationsAnnotation = "scheduler.alpha.kubernetes.io/tolerations"

// validatePodAnnotations checks the annotations of a pod that the API gives a meaning.
func validatePodAnnotations(annotations map[string]string, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	if len(annotations) == 0 {
		return nil
	}
	var errs field.ErrorList
	if value, mirror := annotations[corev1.MirrorPodAnnotationKey]; mirror && spec.NodeName == "" {
		errs = append(errs, field.Invalid(path.Key(corev1.MirrorPodAnnotationKey), value, "must set spec.nodeName if mirror pod annotation is set"))
	}
	if value := annotations[tolerationsAnnotation]; value != "" {
		var tolerations []corev1.Toleration
		if err := json.Unmarshal([]byte(value), &tolerations); err != nil {
			errs = append(errs, field.Invalid(path, tolerationsAnnotation, err.Error()))
		} else {
			errs = append(errs, ValidateTolerations(tolerations, path.Child(tolerationsAnnotation))...)
		}
	}
	if cost, ok := annotations[corev1.PodDeletionCost]; ok && !isDeletionCost(cost) {
		errs = append(errs, field.Invalid(path.Key(corev1.PodDeletionCost), cost, "must be a 32bit integer"))
	}
	var containers map[string]bool
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		if key == corev1.SeccompPodAnnotationKey || strings.HasPrefix(key, corev1.SeccompContainerAnnotationKeyPrefix) {
			errs = append(errs, validateSeccompAnnotation(value, path.Child(key))...)
		}
		if name, ok := strings.CutPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix); ok {
			if containers == nil {
				containers = make(map[string]bool)
				eachContainer(spec, nil, func(c *corev1.Container, _ containerAt) { containers[c.Name] = true })
			}
			if !containers[name] {
				errs = append(errs, field.Invalid(path.Key(key), name, "container not found"))
			}
			if _, ok := appArmorOf(value); !ok {
				errs = append(errs, field.Invalid(path.Key(key), value, fmt.Sprintf("invalid AppArmor profile name: %q", value)))
			}
		}
	}
	return errs
}

// isDeletionCost matches a number of 32 bits, written without a plus or leading zeros.
func isDeletionCost(s string) bool {
	if s == "" || (s != "0" && s[0] != '-' && (s[0] < '1' || s[0] > '9')) {
		return false
	}
	_, err := strconv.ParseInt(s, 10, 32)
	return err == nil
}

func validateSeccompAnnotation(profile string, path *field.Path) field.ErrorList {
	switch profile {
	case corev1.SeccompProfileRuntimeDefault, corev1.DeprecatedSeccompProfileDockerDefault, corev1.SeccompProfileNameUnconfined:
		return nil
	}
	if file, ok := strings.CutPrefix(profile, corev1.SeccompLocalhostProfileNamePrefix); ok {
		return relativePath(path, file)
	}
	return field.ErrorList{field.Invalid(path, profile, "must be a valid seccomp profile")}
}

// appArmorOf returns the profile that an annotation stands for, nil if it is empty. It reports false for a text that
// stands for none.
func appArmorOf(annotation string) (*corev1.AppArmorProfile, bool) {
	switch annotation {
	case "":
		return nil, true
	case corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}, true
	case corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}, true
	}
	if name, ok := strings.CutPrefix(annotation, corev1.DeprecatedAppArmorBetaProfileNamePrefix); ok {
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}, true
	}
	return nil, false
}

// validateProfilesMatch checks that the annotations of old do not contradict the fields that took their place.
func validateProfilesMatch(annotations map[string]string, spec *corev1.PodSpec, path *field.Path) field.ErrorList {
	if len(annotations) == 0 {
		return nil
	}
	var errs field.ErrorList
	var appArmorOfPod *corev1.AppArmorProfile
	if sc := spec.SecurityContext; sc != nil {
		appArmorOfPod = sc.AppArmorProfile
		if annotation, ok := annotations[corev1.SeccompPodAnnotationKey]; ok {
			errs = append(errs, seccompMatches(annotation, sc.SeccompProfile, path)...)
		}
	}
	eachContainer(spec, path, func(c *corev1.Container, at containerAt) {
		appArmor := appArmorOfPod
		if sc := c.SecurityContext; sc != nil {
			if annotation, ok := annotations[corev1.SeccompContainerAnnotationKeyPrefix+c.Name]; ok {
				errs = append(errs, seccompMatches(annotation, sc.SeccompProfile, at.path())...)
			}
			if sc.AppArmorProfile != nil {
				appArmor = sc.AppArmorProfile
			}
		}
		if annotation, ok := annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]; ok && appArmor != nil && !windowsOnly(spec) {
			errs = append(errs, appArmorMatches(annotation, appArmor, at.path())...)
		}
	})
	return errs
}

func windowsOnly(spec *corev1.PodSpec) bool { return spec.OS != nil && spec.OS.Name == corev1.Windows }

func seccompMatches(annotation string, profile *corev1.SeccompProfile, parent *field.Path) field.ErrorList {
	if profile == nil {
		return nil
	}
	p := parent.Child("securityContext", "seccompProfile")
	file, local := strings.CutPrefix(annotation, corev1.SeccompLocalhostProfileNamePrefix)
	matches := true
	switch profile.Type {
	case corev1.SeccompProfileTypeUnconfined:
		matches = annotation == corev1.SeccompProfileNameUnconfined
	case corev1.SeccompProfileTypeRuntimeDefault:
		matches = annotation == corev1.SeccompProfileRuntimeDefault || annotation == corev1.DeprecatedSeccompProfileDockerDefault
	case corev1.SeccompProfileTypeLocalhost:
		if local && (profile.LocalhostProfile == nil || file != *profile.LocalhostProfile) {
			return field.ErrorList{field.Forbidden(p.Child("localhostProfile"), "seccomp profile in annotation and field must match")}
		}
		matches = local
	}
	if !matches {
		return field.ErrorList{field.Forbidden(p.Child("type"), "seccomp type in annotation and field must match")}
	}
	return nil
}

func appArmorMatches(annotation string, profile *corev1.AppArmorProfile, parent *field.Path) field.ErrorList {
	p := parent.Child("securityContext", "appArmorProfile")
	other, _ := appArmorOf(annotation)
	switch {
	case other == nil || other.Type != profile.Type:
		return field.ErrorList{field.Forbidden(p.Child("type"), "apparmor type in annotation and field must match")}
	case other.LocalhostProfile != nil && (profile.LocalhostProfile == nil || *other.LocalhostProfile != *profile.LocalhostProfile):
		return field.ErrorList{field.Forbidden(p.Child("localhostProfile"), "apparmor profile in annotation and field must match")}
	}
	return nil
}

// validateAnnotationUpdate keeps the annotations that a pod is made with.
func validateAnnotationUpdate(annotations, old map[string]string) field.ErrorList {
	fixed := func(key string) (what string, ok bool) {
		if key == corev1.MirrorPodAnnotationKey {
			return "mirror pod annotation", true
		}
		return "AppArmor annotations", strings.HasPrefix(key, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix)
	}
	var errs field.ErrorList
	path := field.NewPath("metadata", "annotations")
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if value, has := annotations[key]; !has || value != old[key] {
			if what, ok := fixed(key); ok {
				errs = append(errs, field.Forbidden(path.Key(key), "may not remove or update "+what))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if _, had := old[key]; !had {
			if what, ok := fixed(key); ok {
				errs = append(errs, field.Forbidden(path.Key(key), "may not add "+what))
			}
		}
	}
	return errs
}
