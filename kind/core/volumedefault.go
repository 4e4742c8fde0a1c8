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
	if i := s.ISCSI; i != nil {
		defaultISCSI(&i.ISCSIInterface)
	}
	if r := s.RBD; r != nil {
		defaultRBD(&r.RBDPool, &r.RadosUser, &r.Keyring)
	}
	if d := s.ScaleIO; d != nil {
		defaultScaleIO(&d.StorageMode, &d.FSType)
	}
	if d := s.AzureDisk; d != nil {
		defaultPointer(&d.CachingMode, corev1.AzureDataDiskCachingReadWrite)
		defaultPointer(&d.FSType, "ext4")
		defaultPointer(&d.ReadOnly, false)
		defaultPointer(&d.Kind, corev1.AzureSharedBlobDisk)
	}
}

// A pod's volume and a PersistentVolume have types of their own for these sources, with the same defaults.

func defaultISCSI(transport *string) { defaultText(transport, "default") }

func defaultRBD(pool, user, keyring *string) {
	defaultText(pool, "rbd")
	defaultText(user, "admin")
	defaultText(keyring, "/etc/ceph/keyring")
}

func defaultScaleIO(mode, fsType *string) {
	defaultText(mode, "ThinProvisioned")
	defaultText(fsType, "xfs")
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
