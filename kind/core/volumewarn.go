package core

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// volume warns of sources that are gone, or that go.
func (w *warner) volume(v *corev1.Volume, path *field.Path) {
	for _, source := range []struct {
		name, when string
		set        bool
	}{
		{"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+", v.PhotonPersistentDisk != nil},
		{"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+", v.GitRepo != nil},
		{"scaleIO", "deprecated in v1.16, non-functional in v1.22+", v.ScaleIO != nil},
		{"flocker", "deprecated in v1.22, non-functional in v1.25+", v.Flocker != nil},
		{"storageOS", "deprecated in v1.22, non-functional in v1.25+", v.StorageOS != nil},
		{"quobyte", "deprecated in v1.22, non-functional in v1.25+", v.Quobyte != nil},
		{"glusterfs", "deprecated in v1.25, non-functional in v1.26+", v.Glusterfs != nil},
		{"cephfs", "deprecated in v1.28, non-functional in v1.31+", v.CephFS != nil},
		{"rbd", "deprecated in v1.28, non-functional in v1.31+", v.RBD != nil},
	} {
		if source.set {
			w.warn(path.Child(source.name), "%s", source.when)
		}
	}
	if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
		r, p := v.Ephemeral.VolumeClaimTemplate.Spec.Resources, path.Child("ephemeral", "volumeClaimTemplate", "spec", "resources")
		w.fraction(r.Requests, corev1.ResourceStorage, p.Child("requests"))
		w.fraction(r.Limits, corev1.ResourceStorage, p.Child("limits"))
	}
}

// overlaps warns of files of a volume that are in each other's place, so that only one of them can be made.
func (w *warner) overlaps(volumes []corev1.Volume) {
	for i := range volumes {
		v := &volumes[i]
		var files []volumeFile
		add := func(paths []string, format string, args ...any) {
			source := fmt.Sprintf("volume %q (%s)", v.Name, fmt.Sprintf(format, args...))
			for _, path := range paths {
				if path = strings.TrimRight(path, "/"); path != "" {
					files = append(files, volumeFile{path, source})
				}
			}
		}
		switch {
		case v.ConfigMap != nil:
			add(itemPaths(v.ConfigMap.Items), "ConfigMap %q", v.ConfigMap.Name)
		case v.Secret != nil:
			add(itemPaths(v.Secret.Items), "Secret %q", v.Secret.SecretName)
		case v.DownwardAPI != nil:
			add(downwardPaths(v.DownwardAPI.Items), "DownwardAPI")
		case v.Projected != nil:
			for j := range v.Projected.Sources {
				s := &v.Projected.Sources[j]
				if *s == (corev1.VolumeProjection{}) {
					w.warnings = append(w.warnings, fmt.Sprintf("volume %q (Projected) has no sources provided", v.Name))
					continue
				}
				paths, what := projectedPaths(s)
				add(paths, "Projected %s", what)
			}
		}
		w.overlap(files)
	}
}

// volumeFile is a file of a volume, and the source that it comes from.
type volumeFile struct{ path, source string }

// overlap finds files that are the same, or in a folder that is a file. Sorted as if each path ended in a slash, what
// is under a path follows it at once.
func (w *warner) overlap(files []volumeFile) {
	if len(files) < 2 {
		return
	}
	slices.SortStableFunc(files, func(a, b volumeFile) int { return strings.Compare(a.path+"/", b.path+"/") })
	above := files[0]
	for _, f := range files[1:] {
		if f.path == above.path || strings.HasPrefix(f.path, above.path+"/") {
			w.warnings = append(w.warnings, fmt.Sprintf("%s: overlapping paths: %q with %q", f.source, f.path, above.path))
		} else {
			above = f
		}
	}
}

func itemPaths(items []corev1.KeyToPath) []string {
	paths := make([]string, len(items))
	for i := range items {
		paths[i] = items[i].Path
	}
	return paths
}

func downwardPaths(items []corev1.DownwardAPIVolumeFile) []string {
	paths := make([]string, len(items))
	for i := range items {
		paths[i] = items[i].Path
	}
	return paths
}

// projectedPaths returns the files of a source, and what to call it.
func projectedPaths(s *corev1.VolumeProjection) (paths []string, what string) {
	switch {
	case s.ConfigMap != nil:
		return itemPaths(s.ConfigMap.Items), fmt.Sprintf("ConfigMap %q", s.ConfigMap.Name)
	case s.Secret != nil:
		return itemPaths(s.Secret.Items), fmt.Sprintf("Secret %q", s.Secret.Name)
	case s.DownwardAPI != nil:
		return downwardPaths(s.DownwardAPI.Items), "DownwardAPI"
	case s.ServiceAccountToken != nil:
		return []string{s.ServiceAccountToken.Path}, "ServiceAccountToken"
	case s.ClusterTrustBundle != nil:
		name := s.ClusterTrustBundle.SignerName
		if s.ClusterTrustBundle.Name != nil {
			name = s.ClusterTrustBundle.Name
		}
		if name == nil {
			name = new("")
		}
		return []string{s.ClusterTrustBundle.Path}, fmt.Sprintf("ClusterTrustBundle %q", *name)
	case s.PodCertificate != nil:
		for _, p := range []string{s.PodCertificate.CredentialBundlePath, s.PodCertificate.KeyPath, s.PodCertificate.CertificateChainPath} {
			if p != "" {
				paths = append(paths, p)
			}
		}
		return paths, "PodCertificate"
	}
	return nil, ""
}

// tokenPaths warns of files that take the place of a service account's token.
func (w *warner) tokenPaths(volumes []corev1.Volume, spec *field.Path) {
	tokens := make(map[string]bool)
	for i := range volumes {
		if volumes[i].Projected != nil {
			for _, s := range volumes[i].Projected.Sources {
				if s.ServiceAccountToken != nil {
					tokens[s.ServiceAccountToken.Path] = true
				}
			}
		}
	}
	if len(tokens) == 0 {
		return
	}
	for i := range volumes {
		if volumes[i].Projected == nil {
			continue
		}
		p := spec.Child("volumes").Index(i).Child("projected", "sources")
		clash := func(p *field.Path, file string) {
			if tokens[file] {
				w.warn(p, "has duplicated path with ServiceAccountToken %q", file)
			}
		}
		for _, s := range volumes[i].Projected.Sources {
			if s.ConfigMap != nil {
				for j, item := range s.ConfigMap.Items {
					clash(p.Child("configMap").Index(j), item.Path)
				}
			}
			if s.Secret != nil {
				for j, item := range s.Secret.Items {
					clash(p.Child("secrets").Index(j), item.Path)
				}
			}
			if s.DownwardAPI != nil {
				for j, item := range s.DownwardAPI.Items {
					clash(p.Child("downwardAPI").Index(j), item.Path)
				}
			}
			if s.ClusterTrustBundle != nil {
				clash(p.Child("ClusterTrustBundle"), s.ClusterTrustBundle.Path)
			}
		}
	}
}
