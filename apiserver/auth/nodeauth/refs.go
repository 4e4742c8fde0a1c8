package nodeauth

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/view"
)

// envOf calls the functions with every variable and every source of variables of a pod's containers, until one
// returns true.
func envOf(pod *corev1.Pod, variable func(*corev1.EnvVarSource) bool, source func(*corev1.EnvFromSource) bool) bool {
	look := func(env []corev1.EnvVar, from []corev1.EnvFromSource) bool {
		for i := range env {
			if env[i].ValueFrom != nil && variable(env[i].ValueFrom) {
				return true
			}
		}
		for i := range from {
			if source(&from[i]) {
				return true
			}
		}
		return false
	}
	for i := range pod.Spec.InitContainers {
		if look(pod.Spec.InitContainers[i].Env, pod.Spec.InitContainers[i].EnvFrom) {
			return true
		}
	}
	for i := range pod.Spec.Containers {
		if look(pod.Spec.Containers[i].Env, pod.Spec.Containers[i].EnvFrom) {
			return true
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if look(pod.Spec.EphemeralContainers[i].Env, pod.Spec.EphemeralContainers[i].EnvFrom) {
			return true
		}
	}
	return false
}

func namesConfigMap(pod *corev1.Pod, name string) bool {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.ConfigMap != nil && v.ConfigMap.Name == name {
			return true
		}
		if v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
			return s.ConfigMap != nil && s.ConfigMap.Name == name
		}) {
			return true
		}
	}
	return envOf(pod,
		func(v *corev1.EnvVarSource) bool { return v.ConfigMapKeyRef != nil && v.ConfigMapKeyRef.Name == name },
		func(s *corev1.EnvFromSource) bool { return s.ConfigMapRef != nil && s.ConfigMapRef.Name == name })
}

func namesSecret(pod *corev1.Pod, name string) bool {
	for _, ref := range pod.Spec.ImagePullSecrets {
		if ref.Name == name {
			return true
		}
	}
	if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return slices.Contains(volumeSecrets(&v.VolumeSource), name) }) {
		return true
	}
	return envOf(pod,
		func(v *corev1.EnvVarSource) bool { return v.SecretKeyRef != nil && v.SecretKeyRef.Name == name },
		func(s *corev1.EnvFromSource) bool { return s.SecretRef != nil && s.SecretRef.Name == name })
}

// volumeSecrets returns the Secrets in the pod's namespace that a volume is made from or mounted with.
func volumeSecrets(v *corev1.VolumeSource) []string {
	local := func(ref *corev1.LocalObjectReference) []string {
		if ref == nil {
			return nil
		}
		return []string{ref.Name}
	}
	switch {
	case v.Secret != nil:
		return []string{v.Secret.SecretName}
	case v.Projected != nil:
		var names []string
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				names = append(names, s.Secret.Name)
			}
		}
		return names
	case v.CSI != nil:
		return local(v.CSI.NodePublishSecretRef)
	case v.ISCSI != nil:
		return local(v.ISCSI.SecretRef)
	case v.FlexVolume != nil:
		return local(v.FlexVolume.SecretRef)
	case v.CephFS != nil:
		return local(v.CephFS.SecretRef)
	case v.RBD != nil:
		return local(v.RBD.SecretRef)
	case v.AzureFile != nil:
		return []string{v.AzureFile.SecretName}
	}
	return nil
}

// claimsOf returns the names of the claims that a pod mounts, with those of its ephemeral volumes.
func claimsOf(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			names = append(names, pod.Name+"-"+v.Name)
		}
	}
	return names
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
	for _, claim := range claimsOf(pod) {
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
	case s.AzureFile != nil:
		ref := corev1.SecretReference{Name: s.AzureFile.SecretName}
		if s.AzureFile.SecretNamespace != nil {
			ref.Namespace = *s.AzureFile.SecretNamespace
		}
		add(&ref)
	}
	return out
}
