package core

import corev1 "k8s.io/api/core/v1"

// DefaultClaim fills a claim or a claim template, in place.
func DefaultClaim(claim *corev1.PersistentVolumeClaim) {
	defaultClaimSpec(&claim.Spec)
	defaultText((*string)(&claim.Status.Phase), string(corev1.ClaimPending))
	roundMilli(claim.Status.Capacity)
	roundMilli(claim.Status.AllocatedResources)
}

func defaultClaimSpec(spec *corev1.PersistentVolumeClaimSpec) {
	defaultPointer(&spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	roundMilli(spec.Resources.Limits)
	roundMilli(spec.Resources.Requests)
}

// prepareDataSources drops what a volume cannot be filled with, and lets the older and the newer field say the same
// (KEP-1495). old is nil for a new claim.
func prepareDataSources(spec, old *corev1.PersistentVolumeClaimSpec) {
	had := old != nil && (old.DataSource != nil || old.DataSourceRef != nil)
	if namesNamespace(spec.DataSourceRef) && !(old != nil && namesNamespace(old.DataSourceRef)) {
		spec.DataSourceRef = nil // an alpha feature
	}
	if !had && spec.DataSourceRef == nil && !knownSource(spec.DataSource) {
		spec.DataSource = nil
	}
	switch s, ref := spec.DataSource, spec.DataSourceRef; {
	case namesNamespace(ref):
	case s != nil && ref == nil:
		spec.DataSourceRef = &corev1.TypedObjectReference{APIGroup: s.APIGroup, Kind: s.Kind, Name: s.Name}
	case ref != nil && s == nil:
		spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ref.APIGroup, Kind: ref.Kind, Name: ref.Name}
	}
}

// knownSource says whether a source is one of those that the older field has always taken.
func knownSource(s *corev1.TypedLocalObjectReference) bool {
	if s == nil {
		return true
	}
	switch groupOf(s.APIGroup) {
	case "":
		return s.Kind == "PersistentVolumeClaim"
	case "snapshot.storage.k8s.io":
		return s.Kind == "VolumeSnapshot"
	}
	return false
}
