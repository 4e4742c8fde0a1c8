package core

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
)

// SecretsOf yields the names of the Secrets that a pod names, in its own namespace: to pull images with, as variables of
// its containers, and in or behind its volumes. A name may come more than once.
func SecretsOf(pod *corev1.Pod) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, ref := range pod.Spec.ImagePullSecrets {
			if !yield(ref.Name) {
				return
			}
		}
		for i := range pod.Spec.Volumes {
			for _, name := range volumeSecrets(&pod.Spec.Volumes[i].VolumeSource) {
				if !yield(name) {
					return
				}
			}
		}
		for variables := range variablesOf(pod) {
			for i := range variables.env {
				if v := variables.env[i].ValueFrom; v != nil && v.SecretKeyRef != nil && !yield(v.SecretKeyRef.Name) {
					return
				}
			}
			for i := range variables.from {
				if ref := variables.from[i].SecretRef; ref != nil && !yield(ref.Name) {
					return
				}
			}
		}
	}
}

// ConfigMapsOf yields the names of the ConfigMaps that a pod names. A name may come more than once.
func ConfigMapsOf(pod *corev1.Pod) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range pod.Spec.Volumes {
			v := &pod.Spec.Volumes[i]
			if v.ConfigMap != nil && !yield(v.ConfigMap.Name) {
				return
			}
			for _, s := range projections(v) {
				if s.ConfigMap != nil && !yield(s.ConfigMap.Name) {
					return
				}
			}
		}
		for variables := range variablesOf(pod) {
			for i := range variables.env {
				if v := variables.env[i].ValueFrom; v != nil && v.ConfigMapKeyRef != nil && !yield(v.ConfigMapKeyRef.Name) {
					return
				}
			}
			for i := range variables.from {
				if ref := variables.from[i].ConfigMapRef; ref != nil && !yield(ref.Name) {
					return
				}
			}
		}
	}
}

// ClaimOf returns the name of the claim that a volume of a pod is of, in the pod's namespace: the one it names, or the one
// that is made for an ephemeral volume. "" is none.
func ClaimOf(pod *corev1.Pod, v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		return pod.Name + "-" + v.Name
	}
	return ""
}

// ClaimsOf returns the names of the claims that a pod uses, those of its ephemeral volumes included.
func ClaimsOf(pod *corev1.Pod) []string {
	var names []string
	for i := range pod.Spec.Volumes {
		if name := ClaimOf(pod, &pod.Spec.Volumes[i]); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// variables is what a container says about its variables.
type variables struct {
	env  []corev1.EnvVar
	from []corev1.EnvFromSource
}

func variablesOf(pod *corev1.Pod) iter.Seq[variables] {
	return func(yield func(variables) bool) {
		for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
			for i := range list {
				if !yield(variables{list[i].Env, list[i].EnvFrom}) {
					return
				}
			}
		}
		for i := range pod.Spec.EphemeralContainers {
			if c := &pod.Spec.EphemeralContainers[i]; !yield(variables{c.Env, c.EnvFrom}) {
				return
			}
		}
	}
}

func projections(v *corev1.Volume) []corev1.VolumeProjection {
	if v.Projected == nil {
		return nil
	}
	return v.Projected.Sources
}

// volumeSecrets returns the Secrets that a volume is made from or mounted with.
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
	case v.ScaleIO != nil:
		return local(v.ScaleIO.SecretRef)
	case v.StorageOS != nil:
		return local(v.StorageOS.SecretRef)
	case v.AzureFile != nil:
		return []string{v.AzureFile.SecretName}
	case v.Cinder != nil:
		return local(v.Cinder.SecretRef)
	}
	return nil
}
