package nodeauth

import (
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/view"
)

// has reports whether a name is among others.
func has(names iter.Seq[string], name string) bool {
	for n := range names {
		if n == name {
			return true
		}
	}
	return false
}

// volumeOf returns the name of the volume that a claim is bound to.
func volumeOf(snap *view.Snapshot, namespace, claim string) string {
	if c, ok := view.Get[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, namespace, claim); ok {
		return c.Spec.VolumeName
	}
	return ""
}

// volumesNameSecret reports whether a volume that the pod has claimed is mounted with a Secret.
func volumesNameSecret(snap *view.Snapshot, pod *corev1.Pod, namespace, name string) bool {
	for _, claim := range core.ClaimsOf(pod) {
		pv, ok := view.Get[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "", volumeOf(snap, pod.Namespace, claim))
		if ok && slices.Contains(persistentSecrets(pv, pod.Namespace), corev1.SecretReference{Namespace: namespace, Name: name}) {
			return true
		}
	}
	return false
}

// persistentSecrets returns the Secrets that a volume is mounted with. inClaim is the namespace of its claim, where
// references point that name none.
func persistentSecrets(pv *corev1.PersistentVolume, inClaim string) []corev1.SecretReference {
	var out []corev1.SecretReference
	add := func(refs ...*corev1.SecretReference) {
		for _, r := range refs {
			if r == nil {
				continue
			}
			ref := *r
			if ref.Namespace == "" {
				ref.Namespace = inClaim
			}
			out = append(out, ref)
		}
	}
	s := &pv.Spec.PersistentVolumeSource
	switch {
	case s.CSI != nil:
		add(s.CSI.NodePublishSecretRef, s.CSI.NodeStageSecretRef, s.CSI.NodeExpandSecretRef)
	case s.ISCSI != nil:
		add(s.ISCSI.SecretRef)
	case s.FlexVolume != nil:
		add(s.FlexVolume.SecretRef)
	case s.CephFS != nil:
		add(s.CephFS.SecretRef)
	case s.RBD != nil:
		add(s.RBD.SecretRef)
	case s.ScaleIO != nil:
		add(s.ScaleIO.SecretRef)
	case s.Cinder != nil:
		add(s.Cinder.SecretRef)
	case s.StorageOS != nil:
		if ref := s.StorageOS.SecretRef; ref != nil {
			add(&corev1.SecretReference{Namespace: ref.Namespace, Name: ref.Name})
		}
	case s.AzureFile != nil:
		ref := corev1.SecretReference{Name: s.AzureFile.SecretName}
		if s.AzureFile.SecretNamespace != nil {
			ref.Namespace = *s.AzureFile.SecretNamespace
		}
		add(&ref)
	}
	return out
}
