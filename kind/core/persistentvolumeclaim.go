package core

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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
		ShortNames:    []string{"pvc"},
		New:           func() *corev1.PersistentVolumeClaim { return new(corev1.PersistentVolumeClaim) },
		NewList:       func() runtime.Object { return new(corev1.PersistentVolumeClaimList) },
		ReturnDeleted: true,

		Default: DefaultClaim,
		PrepareCreate: func(c *corev1.PersistentVolumeClaim) {
			c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
			prepareDataSources(&c.Spec, nil)
		},
		PrepareUpdate: func(c, old *corev1.PersistentVolumeClaim) {
			c.Status = *old.Status.DeepCopy()
			prepareDataSources(&c.Spec, &old.Spec)
		},

		Validate: func(c *corev1.PersistentVolumeClaim) field.ErrorList {
			return validateClaimSpec(&c.Spec, field.NewPath("spec"))
		},
		ValidateUpdate: validateClaimUpdate,
		Warnings:       claimWarnings,

		PrepareStatus: func(c, old *corev1.PersistentVolumeClaim) {
			c.Spec = *old.Spec.DeepCopy()
			if old.Status.HealthStatus == nil {
				c.Status.HealthStatus = nil // of a feature that is off (CSIVolumeHealth, KEP-1432)
			}
		},
		ValidateStatus: validateClaimStatus,
		Finalizers:     func(*corev1.PersistentVolumeClaim) []string { return []string{ClaimProtection} },

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
