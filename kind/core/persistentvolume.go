package core

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// PersistentVolume returns the kind PersistentVolume.
func PersistentVolume() *kind.Kind {
	return kind.Typed[*corev1.PersistentVolume]{
		ID: kind.PersistentVolumes, Version: corev1.SchemeGroupVersion, Name: "PersistentVolume", Singular: "persistentvolume",
		ShortNames: []string{"pv"}, Cluster: true,
		New:           func() *corev1.PersistentVolume { return new(corev1.PersistentVolume) },
		NewList:       func() runtime.Object { return new(corev1.PersistentVolumeList) },
		ReturnDeleted: true,

		Default: defaultPersistentVolume,
		PrepareCreate: func(v *corev1.PersistentVolume) {
			v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending}
			if t := v.CreationTimestamp; !t.IsZero() {
				v.Status.LastPhaseTransitionTime = &t
			}
		},
		PrepareUpdate: func(v, old *corev1.PersistentVolume) { v.Status = *old.Status.DeepCopy() },

		Validate:       validatePersistentVolume,
		ValidateUpdate: validatePersistentVolumeUpdate,
		Warnings:       persistentVolumeWarnings,

		PrepareStatus: func(v, old *corev1.PersistentVolume) { v.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: func(v, _ *corev1.PersistentVolume) field.ErrorList {
			return required(field.NewPath("resourceVersion"), v.ResourceVersion)
		},
		Finalizers: func(*corev1.PersistentVolume) []string { return []string{VolumeProtection} },

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Capacity", "string", "Size of the volume."),
			kind.Column("Access Modes", "string", "How the volume may be mounted."),
			kind.Column("Reclaim Policy", "string", "What becomes of the volume when its claim is gone."),
			kind.Column("Status", "string", "Whether the volume is free, bound or left over."),
			kind.Column("Claim", "string", "Claim that has the volume."),
			kind.Column("StorageClass", "string", "Class that the volume comes from."),
			kind.Column("VolumeAttributesClass", "string", "Class that sets the volume's changeable attributes."),
			kind.Column("Reason", "string", "Why the volume is in that status."),
			kind.AgeColumn(),
			kind.WideColumn("VolumeMode", "string", "File system or block device."),
		},
		Row: volumeRow,
	}.Kind()
}

func defaultPersistentVolume(v *corev1.PersistentVolume) {
	spec := &v.Spec
	defaultText((*string)(&v.Status.Phase), string(corev1.VolumePending))
	defaultText((*string)(&spec.PersistentVolumeReclaimPolicy), string(corev1.PersistentVolumeReclaimRetain))
	defaultPointer(&spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	defaultHostPath(spec.HostPath)
	defaultDriverSource(&corev1.VolumeSource{AzureDisk: spec.AzureDisk})
	if s := spec.ISCSI; s != nil {
		defaultISCSI(&s.ISCSIInterface)
	}
	if r := spec.RBD; r != nil {
		defaultRBD(&r.RBDPool, &r.RadosUser, &r.Keyring)
	}
	if d := spec.ScaleIO; d != nil {
		defaultScaleIO(&d.StorageMode, &d.FSType)
	}
	roundMilli(spec.Capacity)
}

func volumeRow(v *corev1.PersistentVolume, now time.Time) []any {
	claim := ""
	if ref := v.Spec.ClaimRef; ref != nil {
		claim = ref.Namespace + "/" + ref.Name
	}
	phase := string(v.Status.Phase)
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	class := v.Annotations[corev1.BetaStorageClassAnnotation]
	if class == "" {
		class = v.Spec.StorageClassName
	}
	size := v.Spec.Capacity[corev1.ResourceStorage]
	return []any{v.Name, size.String(), accessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase,
		claim, class, orUnset(v.Spec.VolumeAttributesClassName), v.Status.Reason, kind.Age(v, now), orUnset(v.Spec.VolumeMode)}
}
