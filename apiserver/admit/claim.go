package admit

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"sampan/kind"
	"sampan/kind/storage"
	"sampan/view"
)

// DefaultStorageClass gives a new claim that names no class (not even the empty one) the default class. Of
// several the newest wins, then the first by name, so that a default can be changed without a gap.
func DefaultStorageClass(req *Request, snap *view.Snapshot) error {
	if req.Kind.ID != kind.PersistentVolumeClaims || req.Verb != Create || req.Subresource != "" {
		return nil
	}
	claim := req.Object.(*corev1.PersistentVolumeClaim)
	if _, named := claim.Annotations[corev1.BetaStorageClassAnnotation]; named || claim.Spec.StorageClassName != nil {
		return nil
	}
	var best *storagev1.StorageClass
	for obj := range snap.All(kind.StorageClasses, "") {
		class := obj.(*storagev1.StorageClass)
		if storage.IsDefault(class) && (best == nil || best.CreationTimestamp.Before(&class.CreationTimestamp)) {
			best = class
		}
	}
	if best != nil {
		claim.Spec.StorageClassName = new(best.Name)
	}
	return nil
}

// ClaimExpansion lets a claim grow only if it is bound and its class can do it.
func ClaimExpansion(req *Request, snap *view.Snapshot) error {
	if req.Kind.ID != kind.PersistentVolumeClaims || req.Verb != Update || req.Subresource != "" {
		return nil
	}
	claim, old := req.Object.(*corev1.PersistentVolumeClaim), req.Old.(*corev1.PersistentVolumeClaim)
	size, was := claim.Spec.Resources.Requests[corev1.ResourceStorage], old.Spec.Resources.Requests[corev1.ResourceStorage]
	if size.Cmp(was) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return forbidden(req, "Only bound persistent volume claims can be expanded")
	}
	name := old.Annotations[corev1.BetaStorageClassAnnotation]
	if name == "" && old.Spec.StorageClassName != nil {
		name = *old.Spec.StorageClassName
	}
	class, _ := snap.Get(view.Key{Kind: kind.StorageClasses, Name: name}).(*storagev1.StorageClass)
	if class == nil || class.AllowVolumeExpansion == nil || !*class.AllowVolumeExpansion {
		return forbidden(req, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
	}
	return nil
}
