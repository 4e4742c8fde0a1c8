package core

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateClaimUpdate lets a claim be bound once, and grow and change its attributes while bound; all else would
// deceive its volume.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateClaimSpec(&c.Spec, path)
	bound := c.Status.Phase == corev1.ClaimBound
	is, was := c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if was.VolumeName == "" {
		was.VolumeName = is.VolumeName
	}
	fromAnnotation, mayClass := classUpgrade(c, old)
	if mayClass {
		is.StorageClassName = nil
	}
	if !fromAnnotation {
		errs = append(errs, apivalidation.ValidateImmutableField(c.Annotations[corev1.BetaStorageClassAnnotation], old.Annotations[corev1.BetaStorageClassAnnotation],
			field.NewPath("metadata", "annotations", corev1.BetaStorageClassAnnotation))...)
	}
	size, oldSize := is.Resources.Requests[corev1.ResourceStorage], was.Resources.Requests[corev1.ResourceStorage]
	if bound && is.Resources.Requests != nil {
		is.Resources.Requests[corev1.ResourceStorage] = oldSize
	}
	if bound {
		is.VolumeAttributesClassName = was.VolumeAttributesClassName
	}
	if !equality.Semantic.DeepEqual(is, was) {
		errs = append(errs, field.Forbidden(path, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"+diff.Diff(*was, *is)))
	}
	if capacity := old.Status.Capacity[corev1.ResourceStorage]; size.Cmp(oldSize) < 0 && size.Cmp(capacity) <= 0 {
		errs = append(errs, field.Forbidden(path.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	errs = append(errs, apivalidation.ValidateImmutableField(c.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...) // upstream's path
	return append(errs, validateAttributesRemoved(c, old, path.Child("volumeAttributesClassName"))...)
}

// validateAttributesRemoved lets a claim take back the class of its volume's attributes as long as the volume has none
// (KEP-3751): what was set cannot be unset.
func validateAttributesRemoved(c, old *corev1.PersistentVolumeClaim, path *field.Path) field.ErrorList {
	const why = " is forbidden when status.currentVolumeAttributesClassName is not nil"
	is := c.Spec.VolumeAttributesClassName
	switch {
	case old.Status.CurrentVolumeAttributesClassName == nil, equalTo(is, old.Spec.VolumeAttributesClassName):
		return nil
	case is == nil:
		return field.ErrorList{field.Forbidden(path, "update to nil"+why)}
	case *is == "":
		return field.ErrorList{field.Forbidden(path, "update to empty string"+why)}
	}
	return nil
}

// classUpgrade says whether a claim that had no class may be given the new one: the class that its annotation named
// before there was a field for it, or, as the default class may come later than the claim (KEP-3333), any one if it
// has no annotation. With the class the annotation may go.
func classUpgrade(c, old *corev1.PersistentVolumeClaim) (fromAnnotation, allowed bool) {
	if old.Spec.StorageClassName != nil || c.Spec.StorageClassName == nil {
		return false, false
	}
	was, had := old.Annotations[corev1.BetaStorageClassAnnotation]
	if !had {
		return false, true
	}
	same := *c.Spec.StorageClassName == was
	is, has := c.Annotations[corev1.BetaStorageClassAnnotation]
	return same && (!has || is == was), same
}

func validateClaimStatus(c, _ *corev1.PersistentVolumeClaim) field.ErrorList {
	errs := required(field.NewPath("resourceVersion"), c.ResourceVersion)
	if len(c.Spec.AccessModes) == 0 {
		errs = append(errs, field.Required(field.NewPath("Spec", "accessModes"), ""))
	}
	status := field.NewPath("status")
	for _, name := range sortedNames(c.Status.Capacity) {
		errs = append(errs, validAmount(c.Status.Capacity[name], status.Child("capacity").Key(string(name)))...)
	}
	path := status.Child("allocatedResourceStatuses")
	states := []corev1.ClaimResourceStatus{corev1.PersistentVolumeClaimControllerResizeInProgress, corev1.PersistentVolumeClaimControllerResizeInfeasible,
		corev1.PersistentVolumeClaimNodeResizeInProgress, corev1.PersistentVolumeClaimNodeResizeInfeasible, corev1.PersistentVolumeClaimNodeResizePending}
	for _, name := range slices.Sorted(maps.Keys(c.Status.AllocatedResourceStatuses)) {
		errs = append(errs, claimResource(name, path)...)
		if !slices.Contains(states, c.Status.AllocatedResourceStatuses[name]) {
			errs = append(errs, field.NotSupported(path, name, states))
		}
	}
	path = status.Child("allocatedResources")
	for _, name := range sortedNames(c.Status.AllocatedResources) {
		if more := claimResource(name, path); len(more) > 0 {
			errs = append(errs, more...)
			continue
		}
		errs = append(errs, validAmount(c.Status.AllocatedResources[name], path.Key(string(name)))...)
	}
	return errs
}

// claimResource checks the name of what a claim was given: storage, or something of a driver's.
func claimResource(name corev1.ResourceName, path *field.Path) field.ErrorList {
	if errs := qualifiedName(path, string(name)); len(errs) > 0 {
		return errs
	}
	if isNative(name) {
		return supported(path, name, corev1.ResourceStorage)
	}
	return nil
}

func claimWarnings(c *corev1.PersistentVolumeClaim) []string {
	w := &warner{}
	w.betaStorageClass(&c.ObjectMeta)
	p := field.NewPath("spec", "resources")
	w.fraction(c.Spec.Resources.Requests, corev1.ResourceStorage, p.Child("requests"))
	w.fraction(c.Spec.Resources.Limits, corev1.ResourceStorage, p.Child("limits"))
	return w.warnings
}
