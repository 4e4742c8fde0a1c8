package core

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func persistentVolumeWarnings(v *corev1.PersistentVolume) []string {
	w := &warner{}
	spec := field.NewPath("spec")
	w.betaStorageClass(&v.ObjectMeta)
	if v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		w.warn(spec.Child("persistentVolumeReclaimPolicy"), "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
	}
	if a := v.Spec.NodeAffinity; a != nil && a.Required != nil {
		terms := spec.Child("nodeAffinity", "required", "nodeSelectorTerms")
		for i := range a.Required.NodeSelectorTerms {
			w.nodeTerm(&a.Required.NodeSelectorTerms[i], false, terms.Index(i))
		}
	}
	of := corev1.Volume{VolumeSource: corev1.VolumeSource{PhotonPersistentDisk: v.Spec.PhotonPersistentDisk}}
	if v.Spec.ScaleIO != nil {
		of.ScaleIO = new(corev1.ScaleIOVolumeSource)
	}
	if v.Spec.StorageOS != nil {
		of.StorageOS = new(corev1.StorageOSVolumeSource)
	}
	if v.Spec.Glusterfs != nil {
		of.Glusterfs = new(corev1.GlusterfsVolumeSource)
	}
	if v.Spec.CephFS != nil {
		of.CephFS = new(corev1.CephFSVolumeSource)
	}
	if v.Spec.RBD != nil {
		of.RBD = new(corev1.RBDVolumeSource)
	}
	w.volume(&of, spec)
	return w.warnings
}

// betaStorageClass warns of the annotation that named a storage class before there was a field for it.
func (w *warner) betaStorageClass(meta *metav1.ObjectMeta) {
	if _, ok := meta.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		w.warn(field.NewPath("metadata", "annotations").Key(corev1.BetaStorageClassAnnotation), `deprecated since v1.8; use "storageClassName" attribute instead`)
	}
}
