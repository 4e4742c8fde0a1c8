package core

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// ClaimProtection keeps a claim while a pod uses it, and VolumeProtection a volume while it is bound.
const (
	ClaimProtection  = "kubernetes.io/pvc-protection"
	VolumeProtection = "kubernetes.io/pv-protection"
)

// PersistentVolumeClaim returns the kind PersistentVolumeClaim.
func PersistentVolumeClaim() *kind.Kind {
	return kind.Typed[*corev1.PersistentVolumeClaim]{
		ID: kind.PersistentVolumeClaims, Version: corev1.SchemeGroupVersion, Name: "PersistentVolumeClaim", Singular: "persistentvolumeclaim",
		ShortNames: []string{"pvc"},
		New:        func() *corev1.PersistentVolumeClaim { return new(corev1.PersistentVolumeClaim) },
		NewList:    func() runtime.Object { return new(corev1.PersistentVolumeClaimList) },

		Default: DefaultClaim,
		PrepareCreate: func(c *corev1.PersistentVolumeClaim) {
			c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
		},
		PrepareUpdate: func(c, old *corev1.PersistentVolumeClaim) { c.Status = *old.Status.DeepCopy() },

		Validate: func(c *corev1.PersistentVolumeClaim) field.ErrorList {
			return validateClaimSpec(&c.Spec, field.NewPath("spec"))
		},
		ValidateUpdate: validateClaimUpdate,

		PrepareStatus: func(c, old *corev1.PersistentVolumeClaim) { c.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: func(c, _ *corev1.PersistentVolumeClaim) field.ErrorList {
			var errs field.ErrorList
			for _, name := range sortedNames(c.Status.Capacity) {
				errs = append(errs, nonNegativeAmount(c.Status.Capacity[name], field.NewPath("status", "capacity").Key(string(name)))...)
			}
			return errs
		},
		Finalizers: func(*corev1.PersistentVolumeClaim) []string { return []string{ClaimProtection} },

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Status", "string", "Whether the claim has its volume."),
			kind.Column("Volume", "string", "Volume that the claim is bound to."),
			kind.Column("Capacity", "string", "Size of that volume."),
			kind.Column("Access Modes", "string", "How that volume may be mounted."),
			kind.Column("StorageClass", "string", "Class that the volume comes from."),
			kind.Column("VolumeAttributesClass", "string", "Class that sets the volume's changeable attributes."),
			kind.AgeColumn(),
			kind.WideColumn("VolumeMode", "string", "File system or block device."),
		},
		Row: claimRow,
	}.Kind()
}

// validateClaimUpdate lets a claim be bound once and grow while bound; all else would deceive its volume.
func validateClaimUpdate(c, old *corev1.PersistentVolumeClaim) field.ErrorList {
	path := field.NewPath("spec")
	errs := validateClaimSpec(&c.Spec, path)
	bound := c.Status.Phase == corev1.ClaimBound
	is, was := c.Spec.DeepCopy(), old.Spec.DeepCopy()
	if was.VolumeName == "" {
		was.VolumeName = is.VolumeName
	}
	if was.StorageClassName == nil && is.StorageClassName != nil && old.Annotations[corev1.BetaStorageClassAnnotation] == "" {
		was.StorageClassName = is.StorageClassName // the default class may come later than the claim (KEP-3333)
	}
	size, oldSize := is.Resources.Requests[corev1.ResourceStorage], was.Resources.Requests[corev1.ResourceStorage]
	if bound {
		if is.Resources.Requests != nil {
			is.Resources.Requests[corev1.ResourceStorage] = oldSize
		}
		is.VolumeAttributesClassName = was.VolumeAttributesClassName
	}
	if !equality.Semantic.DeepEqual(is, was) {
		errs = append(errs, field.Forbidden(path, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"+diff.Diff(*was, *is)))
	}
	if capacity := old.Status.Capacity[corev1.ResourceStorage]; bound && size.Cmp(oldSize) < 0 && size.Cmp(capacity) <= 0 {
		errs = append(errs, field.Forbidden(path.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	return append(errs, apivalidation.ValidateImmutableField(c.Spec.VolumeMode, old.Spec.VolumeMode, path.Child("volumeMode"))...)
}

func claimRow(c *corev1.PersistentVolumeClaim, now time.Time) []any {
	phase := string(c.Status.Phase)
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	capacity, modes := "", ""
	if c.Spec.VolumeName != "" {
		size := c.Status.Capacity[corev1.ResourceStorage]
		capacity, modes = size.String(), accessModes(c.Status.AccessModes)
	}
	class := c.Annotations[corev1.BetaStorageClassAnnotation]
	if class == "" && c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	return []any{c.Name, phase, c.Spec.VolumeName, capacity, modes, class,
		orUnset(c.Spec.VolumeAttributesClassName), kind.Age(c, now), orUnset(c.Spec.VolumeMode)}
}

func orUnset[T ~string](s *T) string {
	if s == nil {
		return "<unset>"
	}
	return string(*s)
}

// accessModes prints modes in their short form and customary order.
func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var list []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{
		{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"},
	} {
		for _, have := range modes {
			if have == m.mode {
				list = append(list, m.short)
				break
			}
		}
	}
	return strings.Join(list, ",")
}
