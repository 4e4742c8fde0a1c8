package core

import (
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validatePersistentVolume(v *corev1.PersistentVolume) field.ErrorList {
	errs := validatePersistentVolumeSpec(&v.Spec, v.Name, field.NewPath("spec"))
	if _, ok := v.Annotations[corev1.MountOptionAnnotation]; ok && !takesMountOptions(&v.Spec) {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "annotations", corev1.MountOptionAnnotation), "may not specify mount options for this volume type"))
	}
	return errs
}

// takesMountOptions says whether a volume has a source to which the annotation of old, before spec.mountOptions, applies.
func takesMountOptions(s *corev1.PersistentVolumeSpec) bool {
	return s.GCEPersistentDisk != nil || s.AWSElasticBlockStore != nil || s.Glusterfs != nil || s.NFS != nil || s.RBD != nil ||
		s.Quobyte != nil || s.ISCSI != nil || s.Cinder != nil || s.CephFS != nil || s.AzureFile != nil || s.VsphereVolume != nil ||
		s.AzureDisk != nil || s.PortworxVolume != nil
}

func validatePersistentVolumeSpec(spec *corev1.PersistentVolumeSpec, name string, p *field.Path) field.ErrorList {
	errs := validateVolumeModes(spec.AccessModes, "", p.Child("accessModes"))
	errs = append(errs, validateCapacity(spec.Capacity, p.Child("capacity"))...)
	if policy := spec.PersistentVolumeReclaimPolicy; policy != "" {
		errs = append(errs, supported(p.Child("persistentVolumeReclaimPolicy"), policy,
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	}
	if a := spec.NodeAffinity; a != nil {
		if at := p.Child("nodeAffinity", "required"); a.Required == nil {
			errs = append(errs, field.Required(at, "must specify required node constraints"))
		} else {
			errs = append(errs, validateNodeSelector(a.Required, at)...)
		}
	}
	errs = append(errs, validateVolumeOrigin(spec, name, p)...)
	if class := spec.StorageClassName; class != "" {
		errs = append(errs, className(class, p.Child("storageClassName"))...)
	}
	if spec.VolumeMode != nil {
		errs = append(errs, volumeMode(*spec.VolumeMode, p.Child("volumeMode"))...)
	}
	return append(errs, validateAttributesClass(spec, p)...)
}

// ValidateInlineVolumeSpec checks a volume that is not an object of its own, but written where it is attached.
func ValidateInlineVolumeSpec(spec *corev1.PersistentVolumeSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct {
		name string
		set  bool
	}{{"claimRef", spec.ClaimRef != nil}, {"capacity", len(spec.Capacity) > 0}, {"nodeAffinity", spec.NodeAffinity != nil}, {"storageClassName", spec.StorageClassName != ""}} {
		if f.set {
			errs = append(errs, field.Forbidden(p.Child(f.name), "may not be specified in the context of inline volumes"))
		}
	}
	if spec.CSI == nil {
		errs = append(errs, field.Required(p.Child("csi"), "has to be specified in the context of inline volumes"))
	}
	errs = append(errs, validateVolumeModes(spec.AccessModes, "", p.Child("accessModes"))...)
	if policy := spec.PersistentVolumeReclaimPolicy; policy != "" && policy != corev1.PersistentVolumeReclaimRetain {
		errs = append(errs, field.Forbidden(p.Child("persistentVolumeReclaimPolicy"), "may only be Retain in the context of inline volumes"))
	}
	errs = append(errs, validateVolumeOrigin(spec, "", p)...)
	if mode := spec.VolumeMode; mode != nil && *mode != corev1.PersistentVolumeFilesystem {
		errs = append(errs, field.Forbidden(p.Child("volumeMode"), "may not specify volumeMode other than Filesystem in the context of inline volumes"))
	}
	return append(errs, validateAttributesClass(spec, p)...)
}

func validateCapacity(capacity corev1.ResourceList, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(capacity) == 0 {
		errs = append(errs, field.Required(p, ""))
	}
	if _, ok := capacity[corev1.ResourceStorage]; !ok || len(capacity) > 1 {
		errs = append(errs, field.NotSupported(p, capacity, []corev1.ResourceName{corev1.ResourceStorage}))
	}
	for _, name := range sortedNames(capacity) {
		size := capacity[name]
		errs = append(errs, validAmount(size, p.Key(string(name)))...)
		if size.Sign() <= 0 {
			errs = append(errs, field.Invalid(p.Key(string(name)), size.String(), "must be greater than zero"))
		}
	}
	return errs
}

func validAmount(amount resource.Quantity, p *field.Path) field.ErrorList {
	if amount.Value() < 0 {
		return field.ErrorList{field.Invalid(p, amount.Value(), "must be a valid resource quantity")}
	}
	return nil
}

func className(name string, p *field.Path) field.ErrorList {
	return invalids(p, name, apivalidation.NameIsDNSSubdomain(name, false))
}

func volumeMode(mode corev1.PersistentVolumeMode, p *field.Path) field.ErrorList {
	return supported(p, mode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)
}

// validateVolumeModes checks how a volume may be mounted; why says what is missing if it is not said.
func validateVolumeModes(modes []corev1.PersistentVolumeAccessMode, why string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(modes) == 0 {
		errs = append(errs, field.Required(p, why))
	}
	alone, others := false, false
	for _, mode := range modes {
		unknown := supported(p, mode, corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod)
		errs = append(errs, unknown...)
		alone = alone || mode == corev1.ReadWriteOncePod
		others = others || mode != corev1.ReadWriteOncePod && len(unknown) == 0
	}
	if alone && others {
		errs = append(errs, field.Forbidden(p, fmt.Sprintf("may not use %s with other access modes", corev1.ReadWriteOncePod)))
	}
	return errs
}

func validateAttributesClass(spec *corev1.PersistentVolumeSpec, p *field.Path) field.ErrorList {
	if spec.VolumeAttributesClassName == nil {
		return nil
	}
	var errs field.ErrorList
	if class := *spec.VolumeAttributesClassName; class == "" {
		errs = append(errs, field.Required(p.Child("volumeAttributesClassName"), "an empty string is disallowed"))
	} else {
		errs = append(errs, className(class, p.Child("volumeAttributesClassName"))...)
	}
	if spec.CSI == nil {
		errs = append(errs, field.Required(p.Child("csi"), "has to be specified when using volumeAttributesClassName"))
	}
	return errs
}

func validateRecycling(spec *corev1.PersistentVolumeSpec, p *field.Path) field.ErrorList {
	if spec.HostPath != nil && path.Clean(spec.HostPath.Path) == "/" && spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		return field.ErrorList{field.Forbidden(p.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'")}
	}
	return nil
}

// validatePersistentVolumeUpdate keeps what makes a volume the one that it is. Some paths lack "spec", as upstream's do.
func validatePersistentVolumeUpdate(v, old *corev1.PersistentVolume) field.ErrorList {
	errs := validatePersistentVolume(v)
	source := v.Spec.PersistentVolumeSource
	if is, was := source.CSI, old.Spec.CSI; is != nil && was != nil && was.ControllerExpandSecretRef == nil && is.ControllerExpandSecretRef != nil {
		source.CSI = is.DeepCopy()
		source.CSI.ControllerExpandSecretRef = nil // it may be given later
	}
	if !equality.Semantic.DeepEqual(source, old.Spec.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "persistentvolumesource"),
			"spec.persistentvolumesource is immutable after creation\n"+diff.Diff(old.Spec.PersistentVolumeSource, source)))
	}
	errs = append(errs, apivalidation.ValidateImmutableField(v.Spec.VolumeMode, old.Spec.VolumeMode, field.NewPath("volumeMode"))...)
	if was := old.Spec.NodeAffinity; was != nil && !equality.Semantic.DeepEqual(v.Spec.NodeAffinity, renamedLabels(was, v.Spec.NodeAffinity)) {
		errs = append(errs, field.Invalid(field.NewPath("nodeAffinity"), v.Spec.NodeAffinity, "field is immutable, except for updating from beta label to GA"))
	}
	if old.Spec.VolumeAttributesClassName != nil && v.Spec.VolumeAttributesClassName == nil {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "volumeAttributesClassName"), "update from non-nil value to nil is forbidden"))
	}
	return errs
}

// renamedLabels returns was with those labels of nodes under their newer names that have them in is.
func renamedLabels(was, is *corev1.VolumeNodeAffinity) *corev1.VolumeNodeAffinity {
	if is == nil || is.Required == nil || was.Required == nil {
		return was
	}
	was = was.DeepCopy()
	for i := range min(len(was.Required.NodeSelectorTerms), len(is.Required.NodeSelectorTerms)) {
		wasTerm, isTerm := was.Required.NodeSelectorTerms[i].MatchExpressions, is.Required.NodeSelectorTerms[i].MatchExpressions
		for j := range min(len(wasTerm), len(isTerm)) {
			if newer := newerNodeLabel(wasTerm[j].Key); newer == isTerm[j].Key {
				wasTerm[j].Key = newer
			}
		}
	}
	return was
}

func newerNodeLabel(label string) string {
	switch label {
	case corev1.LabelFailureDomainBetaZone:
		return corev1.LabelTopologyZone
	case corev1.LabelFailureDomainBetaRegion:
		return corev1.LabelTopologyRegion
	case corev1.LabelInstanceType:
		return corev1.LabelInstanceTypeStable
	case "beta.kubernetes.io/os":
		return corev1.LabelOSStable
	case "beta.kubernetes.io/arch":
		return corev1.LabelArchStable
	}
	return label
}
