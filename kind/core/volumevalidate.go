package core

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateVolumes checks a pod's volumes and returns those that containers may mount, by name.
func validateVolumes(volumes []corev1.Volume, fp *field.Path) (map[string]corev1.VolumeSource, field.ErrorList) {
	var errs field.ErrorList
	byName := make(map[string]corev1.VolumeSource, len(volumes))
	for i := range volumes {
		v, p := &volumes[i], fp.Index(i)
		bad := validateVolumeSource(v, p)
		bad = append(bad, dnsLabel(p.Child("name"), v.Name)...)
		if _, taken := byName[v.Name]; taken {
			bad = append(bad, field.Duplicate(p.Child("name"), v.Name))
		}
		if v.Name != "" {
			byName[v.Name] = v.VolumeSource // also when it is bad, so that its mounts are not reported too
		}
		errs = append(errs, bad...)
	}
	return byName, errs
}

func validateVolumeSource(v *corev1.Volume, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	one := func(name string, check func(p *field.Path) field.ErrorList) {
		n++
		if n > 1 {
			errs = append(errs, field.Forbidden(fp.Child(name), "may not specify more than 1 volume type"))
			return
		}
		errs = append(errs, check(fp.Child(name))...)
	}
	need := func(name, f, value string) {
		one(name, func(p *field.Path) field.ErrorList { return required(p.Child(f), value) })
	}
	s := &v.VolumeSource
	if s.EmptyDir != nil {
		one("emptyDir", func(p *field.Path) field.ErrorList { return validateEmptyDir(s.EmptyDir, p) })
	}
	if s.HostPath != nil {
		one("hostPath", func(p *field.Path) field.ErrorList { return validateHostPath(s.HostPath, p) })
	}
	if s.Secret != nil {
		one("secret", func(p *field.Path) field.ErrorList {
			errs := required(p.Child("secretName"), s.Secret.SecretName)
			errs = append(errs, fileMode(p.Child("defaultMode"), s.Secret.DefaultMode)...)
			return append(errs, validateItems(s.Secret.Items, p.Child("items"))...)
		})
	}
	if s.ConfigMap != nil {
		one("configMap", func(p *field.Path) field.ErrorList {
			errs := required(p.Child("name"), s.ConfigMap.Name)
			errs = append(errs, fileMode(p.Child("defaultMode"), s.ConfigMap.DefaultMode)...)
			return append(errs, validateItems(s.ConfigMap.Items, p.Child("items"))...)
		})
	}
	if s.PersistentVolumeClaim != nil {
		need("persistentVolumeClaim", "claimName", s.PersistentVolumeClaim.ClaimName)
	}
	if s.DownwardAPI != nil {
		one("downwardAPI", func(p *field.Path) field.ErrorList {
			return append(fileMode(p.Child("defaultMode"), s.DownwardAPI.DefaultMode), validateDownwardItems(s.DownwardAPI.Items, p.Child("items"))...)
		})
	}
	if s.Projected != nil {
		one("projected", func(p *field.Path) field.ErrorList { return validateProjected(s.Projected, p) })
	}
	if s.NFS != nil {
		one("nfs", func(p *field.Path) field.ErrorList { return validateNFS(s.NFS, p) })
	}
	if s.CSI != nil {
		need("csi", "driver", s.CSI.Driver)
	}
	if s.Ephemeral != nil {
		one("ephemeral", func(p *field.Path) field.ErrorList {
			t := s.Ephemeral.VolumeClaimTemplate
			if t == nil {
				return field.ErrorList{field.Required(p.Child("volumeClaimTemplate"), "")}
			}
			return validateClaimSpec(&t.Spec, p.Child("volumeClaimTemplate", "spec"))
		})
	}
	if s.Image != nil {
		need("image", "reference", s.Image.Reference)
	}
	// The remaining sources belong to drivers that Sampan does not have. They are stored as they are; a node
	// that is to mount one says so on the pod.
	if n == 0 && *s == (corev1.VolumeSource{}) {
		errs = append(errs, field.Required(fp, "must specify a volume type"))
	}
	return errs
}

func required(fp *field.Path, value string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(fp, "")}
	}
	return nil
}

func validateEmptyDir(e *corev1.EmptyDirVolumeSource, fp *field.Path) field.ErrorList {
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		return field.ErrorList{field.Forbidden(fp.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity")}
	}
	return nil
}

func validateHostPath(h *corev1.HostPathVolumeSource, fp *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(fp.Child("path"), "")}
	}
	errs := noBackSteps(fp.Child("path"), h.Path)
	if h.Type != nil && *h.Type != corev1.HostPathUnset {
		errs = append(errs, OneOf(fp.Child("type"), *h.Type, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory,
			corev1.HostPathFileOrCreate, corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)...)
	}
	return errs
}

func validateNFS(n *corev1.NFSVolumeSource, fp *field.Path) field.ErrorList {
	errs := required(fp.Child("server"), n.Server)
	if n.Path == "" {
		return append(errs, field.Required(fp.Child("path"), ""))
	}
	if !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(fp.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}

func validateItems(items []corev1.KeyToPath, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		p := fp.Index(i)
		errs = append(errs, required(p.Child("key"), item.Key)...)
		errs = append(errs, required(p.Child("path"), item.Path)...)
		errs = append(errs, localPath(p.Child("path"), item.Path)...)
		errs = append(errs, fileMode(p.Child("mode"), item.Mode)...)
	}
	return errs
}

func validateProjected(pv *corev1.ProjectedVolumeSource, fp *field.Path) field.ErrorList {
	errs := fileMode(fp.Child("defaultMode"), pv.DefaultMode)
	taken := sets.New[string]()
	for i := range pv.Sources {
		src, p := &pv.Sources[i], fp.Child("sources").Index(i)
		n := 0
		one := func(name string, check func(p *field.Path) field.ErrorList, paths ...string) {
			n++
			if n > 1 {
				errs = append(errs, field.Forbidden(p.Child(name), "may not specify more than 1 volume type per source"))
				return
			}
			errs = append(errs, check(p.Child(name))...)
			for _, file := range paths {
				if file != "" && taken.Has(file) {
					errs = append(errs, field.Invalid(fp, file, "conflicting duplicate paths"))
				}
				taken.Insert(file)
			}
		}
		if s := src.Secret; s != nil {
			one("secret", func(p *field.Path) field.ErrorList {
				return append(required(p.Child("name"), s.Name), validateItems(s.Items, p.Child("items"))...)
			}, itemPaths(s.Items)...)
		}
		if s := src.ConfigMap; s != nil {
			one("configMap", func(p *field.Path) field.ErrorList {
				return append(required(p.Child("name"), s.Name), validateItems(s.Items, p.Child("items"))...)
			}, itemPaths(s.Items)...)
		}
		if s := src.DownwardAPI; s != nil {
			var paths []string
			for _, item := range s.Items {
				paths = append(paths, item.Path)
			}
			one("downwardAPI", func(p *field.Path) field.ErrorList { return validateDownwardItems(s.Items, p.Child("items")) }, paths...)
		}
		if s := src.ServiceAccountToken; s != nil {
			one("serviceAccountToken", func(p *field.Path) field.ErrorList { return validateTokenSource(s, p) }, s.Path)
		}
		if s := src.ClusterTrustBundle; s != nil {
			one("clusterTrustBundle", func(p *field.Path) field.ErrorList { return required(p.Child("path"), s.Path) }, s.Path)
		}
		if s := src.PodCertificate; s != nil {
			one("podCertificate", func(p *field.Path) field.ErrorList { return required(p.Child("signerName"), s.SignerName) })
		}
	}
	return errs
}

func itemPaths(items []corev1.KeyToPath) []string {
	var paths []string
	for _, item := range items {
		paths = append(paths, item.Path)
	}
	return paths
}

func validateTokenSource(t *corev1.ServiceAccountTokenProjection, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.ExpirationSeconds != nil {
		switch s := *t.ExpirationSeconds; {
		case s < 10*60:
			errs = append(errs, field.Invalid(fp.Child("expirationSeconds"), s, "may not specify a duration less than 10 minutes"))
		case s > 1<<32:
			errs = append(errs, field.Invalid(fp.Child("expirationSeconds"), s, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	if t.Path == "" {
		return append(errs, field.Required(fp.Child("path"), ""))
	}
	return append(errs, localPath(fp.Child("path"), t.Path)...)
}

// localPath refuses paths of files in a volume that lead out of it or clash with the volume's own names.
func localPath(fp *field.Path, p string) field.ErrorList {
	errs := relativePath(fp, p)
	if len(errs) == 0 && strings.HasPrefix(p, "..") {
		errs = append(errs, field.Invalid(fp, p, "must not start with '..'"))
	}
	return errs
}

func fileMode(fp *field.Path, mode *int32) field.ErrorList {
	if mode != nil && (*mode < 0 || *mode > 0o777) {
		return field.ErrorList{field.Invalid(fp, *mode, "must be a number between 0 and 0777 (octal), both inclusive")}
	}
	return nil
}

func validateClaimSpec(spec *corev1.PersistentVolumeClaimSpec, fp *field.Path) field.ErrorList {
	errs := validateAccessModes(spec.AccessModes, fp.Child("accessModes"))
	if spec.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(spec.Selector, metavalidation.LabelSelectorValidationOptions{}, fp.Child("selector"))...)
	}
	sizePath := fp.Child("resources").Key(string(corev1.ResourceStorage))
	if size, ok := spec.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(sizePath, ""))
	} else if size.Sign() <= 0 {
		errs = append(errs, field.Invalid(sizePath, size.String(), "must be greater than zero"))
	}
	if name := spec.StorageClassName; name != nil && *name != "" {
		errs = append(errs, invalids(fp.Child("storageClassName"), *name, apivalidation.NameIsDNSSubdomain(*name, false))...)
	}
	if spec.VolumeMode != nil {
		errs = append(errs, OneOf(fp.Child("volumeMode"), *spec.VolumeMode, corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem)...)
	}
	if spec.VolumeName != "" {
		errs = append(errs, invalids(fp.Child("volumeName"), spec.VolumeName, validation.IsDNS1123Subdomain(spec.VolumeName))...)
	}
	return errs
}

func validateAccessModes(modes []corev1.PersistentVolumeAccessMode, fp *field.Path) field.ErrorList {
	if len(modes) == 0 {
		return field.ErrorList{field.Required(fp, "at least 1 access mode is required")}
	}
	var errs field.ErrorList
	alone := false
	for _, mode := range modes {
		switch mode {
		case corev1.ReadWriteOncePod:
			alone = true
		case corev1.ReadWriteOnce, corev1.ReadOnlyMany, corev1.ReadWriteMany:
		default:
			errs = append(errs, field.NotSupported(fp, mode, []corev1.PersistentVolumeAccessMode{
				corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod}))
		}
	}
	if alone && len(modes) > 1 {
		errs = append(errs, field.Forbidden(fp, fmt.Sprintf("may not use %s with other access modes", corev1.ReadWriteOncePod)))
	}
	return errs
}

// ValidateClaimTemplate checks a claim template of a StatefulSet.
func ValidateClaimTemplate(claim *corev1.PersistentVolumeClaim, fp *field.Path) field.ErrorList {
	errs := dnsLabel(fp.Child("metadata", "name"), claim.Name)
	return append(errs, validateClaimSpec(&claim.Spec, fp.Child("spec"))...)
}

// DefaultClaim fills a claim or a claim template, in place.
func DefaultClaim(claim *corev1.PersistentVolumeClaim) {
	defaultClaimSpec(&claim.Spec)
	if claim.Status.Phase == "" {
		claim.Status.Phase = corev1.ClaimPending
	}
}
