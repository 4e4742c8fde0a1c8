package core

import corev1 "k8s.io/api/core/v1"

// defaultMode is the file mode of projected files if the writer gives none.
const defaultMode int32 = 0o644

func defaultVolume(v *corev1.Volume) {
	s := &v.VolumeSource
	if *s == (corev1.VolumeSource{}) {
		s.EmptyDir = &corev1.EmptyDirVolumeSource{}
	}
	if s.Secret != nil {
		defaultModeOf(&s.Secret.DefaultMode)
	}
	if s.ConfigMap != nil {
		defaultModeOf(&s.ConfigMap.DefaultMode)
	}
	if s.DownwardAPI != nil {
		defaultModeOf(&s.DownwardAPI.DefaultMode)
		defaultDownwardItems(s.DownwardAPI.Items)
	}
	if s.Projected != nil {
		defaultModeOf(&s.Projected.DefaultMode)
		for i := range s.Projected.Sources {
			src := &s.Projected.Sources[i]
			if src.DownwardAPI != nil {
				defaultDownwardItems(src.DownwardAPI.Items)
			}
			if t := src.ServiceAccountToken; t != nil && t.ExpirationSeconds == nil {
				t.ExpirationSeconds = new(int64(60 * 60))
			}
		}
	}
	defaultHostPath(s.HostPath)
	if s.Image != nil && s.Image.PullPolicy == "" {
		s.Image.PullPolicy = pullPolicyFor(s.Image.Reference)
	}
	if s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil {
		defaultClaimSpec(&s.Ephemeral.VolumeClaimTemplate.Spec)
	}
	defaultDriverSource(s)
}

// defaultDriverSource fills the sources that came before CSI.
func defaultDriverSource(s *corev1.VolumeSource) {
	if s.ISCSI != nil {
		defaultText(&s.ISCSI.ISCSIInterface, "default")
	}
	if r := s.RBD; r != nil {
		defaultText(&r.RBDPool, "rbd")
		defaultText(&r.RadosUser, "admin")
		defaultText(&r.Keyring, "/etc/ceph/keyring")
	}
	if d := s.ScaleIO; d != nil {
		defaultText(&d.StorageMode, "ThinProvisioned")
		defaultText(&d.FSType, "xfs")
	}
	if d := s.AzureDisk; d != nil {
		defaultPointer(&d.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		defaultPointer(&d.FSType, "ext4")
		defaultPointer(&d.ReadOnly, false)
		defaultPointer(&d.Kind, corev1.AzureSharedBlobDisk)
	}
}

func defaultText(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func defaultPointer[T any](p **T, value T) {
	if *p == nil {
		*p = new(value)
	}
}

func defaultModeOf(mode **int32) {
	if *mode == nil {
		*mode = new(defaultMode)
	}
}

func defaultDownwardItems(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		defaultFieldRef(items[i].FieldRef)
	}
}

func defaultHostPath(h *corev1.HostPathVolumeSource) {
	if h != nil && h.Type == nil {
		h.Type = new(corev1.HostPathUnset)
	}
}
