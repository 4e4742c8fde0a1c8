package core

import (
	"path"
	"reflect"
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

// PersistentVolume returns the kind PersistentVolume.
func PersistentVolume() *kind.Kind {
	return kind.Typed[*corev1.PersistentVolume]{
		ID: kind.PersistentVolumes, Version: corev1.SchemeGroupVersion, Name: "PersistentVolume", Singular: "persistentvolume",
		ShortNames: []string{"pv"}, Cluster: true,
		New:     func() *corev1.PersistentVolume { return new(corev1.PersistentVolume) },
		NewList: func() runtime.Object { return new(corev1.PersistentVolumeList) },

		Default: func(v *corev1.PersistentVolume) {
			if v.Status.Phase == "" {
				v.Status.Phase = corev1.VolumePending
			}
			if v.Spec.PersistentVolumeReclaimPolicy == "" {
				v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
			}
			if v.Spec.VolumeMode == nil {
				v.Spec.VolumeMode = new(corev1.PersistentVolumeFilesystem)
			}
			defaultHostPath(v.Spec.HostPath)
			roundMilli(v.Spec.Capacity)
		},
		PrepareCreate: func(v *corev1.PersistentVolume) {
			v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending}
		},
		PrepareUpdate: func(v, old *corev1.PersistentVolume) { v.Status = *old.Status.DeepCopy() },

		Validate:       validateVolume,
		ValidateUpdate: validateVolumeUpdate,
		PrepareStatus:  func(v, old *corev1.PersistentVolume) { v.Spec = *old.Spec.DeepCopy() },
		Finalizers:     func(*corev1.PersistentVolume) []string { return []string{VolumeProtection} },

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

func validateVolume(v *corev1.PersistentVolume) field.ErrorList {
	p, spec := field.NewPath("spec"), &v.Spec
	errs := validateAccessModes(spec.AccessModes, p.Child("accessModes"))
	capacity := p.Child("capacity")
	if len(spec.Capacity) == 0 {
		errs = append(errs, field.Required(capacity, ""))
	}
	if _, ok := spec.Capacity[corev1.ResourceStorage]; len(spec.Capacity) > 0 && (!ok || len(spec.Capacity) > 1) {
		errs = append(errs, field.NotSupported(capacity, spec.Capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, name := range sortedNames(spec.Capacity) {
		if size := spec.Capacity[name]; size.Sign() <= 0 {
			errs = append(errs, field.Invalid(capacity.Key(string(name)), size.String(), "must be greater than zero"))
		}
	}
	errs = append(errs, OneOf(p.Child("persistentVolumeReclaimPolicy"), spec.PersistentVolumeReclaimPolicy,
		corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	if spec.NodeAffinity != nil {
		if spec.NodeAffinity.Required == nil {
			errs = append(errs, field.Required(p.Child("nodeAffinity", "required"), "must specify required node constraints"))
		} else {
			errs = append(errs, validateNodeSelector(spec.NodeAffinity.Required, p.Child("nodeAffinity", "required"))...)
		}
	}
	errs = append(errs, validateVolumeOrigin(spec, p)...)
	if spec.HostPath != nil && path.Clean(spec.HostPath.Path) == "/" && spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		errs = append(errs, field.Forbidden(p.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
	}
	if name := spec.StorageClassName; name != "" {
		errs = append(errs, invalids(p.Child("storageClassName"), name, apivalidation.NameIsDNSSubdomain(name, false))...)
	}
	if spec.VolumeMode != nil {
		errs = append(errs, OneOf(p.Child("volumeMode"), *spec.VolumeMode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	}
	return errs
}

// validateVolumeOrigin checks that the volume has one source, and the sources that Sampan can mount in depth.
func validateVolumeOrigin(spec *corev1.PersistentVolumeSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	source := reflect.ValueOf(spec.PersistentVolumeSource)
	for i := range source.NumField() {
		if !source.Field(i).IsNil() {
			n++
		}
	}
	switch {
	case n == 0:
		return field.ErrorList{field.Required(p, "must specify a volume type")}
	case n > 1:
		return field.ErrorList{field.Forbidden(p, "may not specify more than 1 volume type")}
	}
	if spec.HostPath != nil {
		errs = append(errs, validateHostPath(spec.HostPath, p.Child("hostPath"))...)
	}
	if l := spec.Local; l != nil {
		if l.Path == "" {
			errs = append(errs, field.Required(p.Child("local", "path"), ""))
		} else {
			errs = append(errs, noBackSteps(p.Child("local", "path"), l.Path)...)
		}
		if spec.NodeAffinity == nil {
			errs = append(errs, field.Required(p.Child("nodeAffinity"), "Local volume requires node affinity"))
		}
	}
	if spec.NFS != nil {
		errs = append(errs, validateNFS(spec.NFS, p.Child("nfs"))...)
	}
	if c := spec.CSI; c != nil {
		errs = append(errs, required(p.Child("csi", "driver"), c.Driver)...)
		errs = append(errs, required(p.Child("csi", "volumeHandle"), c.VolumeHandle)...)
	}
	return errs
}

func validateVolumeUpdate(v, old *corev1.PersistentVolume) field.ErrorList {
	errs := validateVolume(v)
	p := field.NewPath("spec")
	if !equality.Semantic.DeepEqual(v.Spec.PersistentVolumeSource, old.Spec.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(p.Child("persistentvolumesource"),
			"spec.persistentvolumesource is immutable after creation\n"+diff.Diff(old.Spec.PersistentVolumeSource, v.Spec.PersistentVolumeSource)))
	}
	errs = append(errs, apivalidation.ValidateImmutableField(v.Spec.VolumeMode, old.Spec.VolumeMode, p.Child("volumeMode"))...)
	if old.Spec.NodeAffinity != nil {
		errs = append(errs, apivalidation.ValidateImmutableField(v.Spec.NodeAffinity, old.Spec.NodeAffinity, p.Child("nodeAffinity"))...)
	}
	return errs
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
