package core

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateVolumes checks a pod's volumes, and notes by name those that are right: only they can be mounted.
func (pod *podRules) validateVolumes(spec *field.Path) field.ErrorList {
	if len(pod.Volumes) == 0 {
		return nil
	}
	var errs field.ErrorList
	list := spec.Child("volumes")
	made := pod.madeClaims()
	pod.volumes = make(map[string]*corev1.VolumeSource, len(pod.Volumes))
	for i := range pod.Volumes {
		v, p := &pod.Volumes[i], list.Index(i)
		bad := pod.validateVolumeSource(v, p)
		bad = append(bad, nameIn(p, "name", v.Name)...)
		if pod.volumes[v.Name] != nil {
			bad = append(bad, field.Duplicate(p.Child("name"), v.Name))
		}
		if len(bad) == 0 {
			pod.volumes[v.Name] = &v.VolumeSource
		}
		errs = append(errs, bad...)
		if c := v.PersistentVolumeClaim; c != nil && made[c.ClaimName] {
			errs = append(errs, field.Invalid(p.Child("persistentVolumeClaim", "claimName"), c.ClaimName,
				"must not reference a PVC that gets created for an ephemeral volume"))
		}
	}
	return errs
}

// madeClaims returns the names of the claims that the pod's ephemeral volumes get.
func (pod *podRules) madeClaims() map[string]bool {
	if pod.meta == nil || pod.meta.Name == "" {
		return nil
	}
	var made map[string]bool
	for i := range pod.Volumes {
		if v := &pod.Volumes[i]; v.Ephemeral != nil {
			if made == nil {
				made = make(map[string]bool)
			}
			made[pod.meta.Name+"-"+v.Name] = true
		}
	}
	return made
}

// oneSource counts the sources of a volume. Only the first one is looked into.
type oneSource struct {
	path *field.Path
	n    int
	errs field.ErrorList
}

func (o *oneSource) check(name string, errs func(p *field.Path) field.ErrorList) {
	o.n++
	p := o.path.Child(name)
	if o.n > 1 {
		o.errs = append(o.errs, field.Forbidden(p, "may not specify more than 1 volume type"))
		return
	}
	o.errs = append(o.errs, errs(p)...)
}

func (pod *podRules) validateVolumeSource(v *corev1.Volume, fp *field.Path) field.ErrorList {
	o := &oneSource{path: fp}
	s := &v.VolumeSource
	if s.EmptyDir != nil {
		o.check("emptyDir", func(p *field.Path) field.ErrorList { return validateEmptyDir(s.EmptyDir, p) })
	}
	if s.HostPath != nil {
		o.check("hostPath", func(p *field.Path) field.ErrorList { return validateHostPath(s.HostPath, p) })
	}
	if s.Secret != nil {
		o.check("secret", func(p *field.Path) field.ErrorList {
			errs := required(p.Child("secretName"), s.Secret.SecretName)
			errs = append(errs, fileMode(p.Child("defaultMode"), s.Secret.DefaultMode)...)
			errs = append(errs, userIn(p, "defaultUser", s.Secret.DefaultUser)...)
			return append(errs, validateItems(s.Secret.Items, p.Child("items"))...)
		})
	}
	if s.NFS != nil {
		o.check("nfs", func(p *field.Path) field.ErrorList { return validateNFS(s.NFS, p) })
	}
	if s.PersistentVolumeClaim != nil {
		o.check("persistentVolumeClaim", func(p *field.Path) field.ErrorList {
			return required(p.Child("claimName"), s.PersistentVolumeClaim.ClaimName)
		})
	}
	validateDriverSource(v, o)
	if s.DownwardAPI != nil {
		o.check("downwardAPI", func(p *field.Path) field.ErrorList {
			errs := fileMode(p.Child("defaultMode"), s.DownwardAPI.DefaultMode)
			errs = append(errs, userIn(p, "defaultUser", s.DownwardAPI.DefaultUser)...)
			for i := range s.DownwardAPI.Items {
				errs = append(errs, validateDownwardFile(&s.DownwardAPI.Items[i], p)...)
			}
			return errs
		})
	}
	if s.ConfigMap != nil {
		o.check("configMap", func(p *field.Path) field.ErrorList {
			errs := required(p.Child("name"), s.ConfigMap.Name)
			errs = append(errs, fileMode(p.Child("defaultMode"), s.ConfigMap.DefaultMode)...)
			errs = append(errs, userIn(p, "defaultUser", s.ConfigMap.DefaultUser)...)
			return append(errs, validateItems(s.ConfigMap.Items, p.Child("items"))...)
		})
	}
	if s.Projected != nil {
		o.check("projected", func(p *field.Path) field.ErrorList { return validateProjected(s.Projected, p) })
	}
	if s.CSI != nil {
		o.check("csi", func(p *field.Path) field.ErrorList { return validateCSISource(s.CSI, p) })
	}
	if s.Ephemeral != nil {
		o.check("ephemeral", func(p *field.Path) field.ErrorList { return pod.validateEphemeralVolume(v, fp, p) })
	}
	if s.Image != nil {
		o.check("image", func(p *field.Path) field.ErrorList {
			return append(required(p.Child("reference"), s.Image.Reference), pullPolicyIn(p, "pullPolicy", s.Image.PullPolicy)...)
		})
	}
	if o.n == 0 {
		o.errs = append(o.errs, field.Required(fp, "must specify a volume type"))
	}
	return o.errs
}

func required(fp *field.Path, value string) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(fp, "")}
	}
	return nil
}

func validateEmptyDir(e *corev1.EmptyDirVolumeSource, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e.SizeLimit != nil && e.SizeLimit.Sign() < 0 {
		errs = append(errs, field.Forbidden(fp.Child("sizeLimit"), "SizeLimit field must be a valid resource quantity"))
	}
	if e.Mode != nil && (*e.Mode < 0 || *e.Mode > 0o1777) {
		errs = append(errs, field.Invalid(fp.Child("mode"), *e.Mode, "must be a number between 0 and 01777 (octal), both inclusive"))
	}
	return errs
}

func validateHostPath(h *corev1.HostPathVolumeSource, fp *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(fp.Child("path"), "")}
	}
	errs := noBackSteps(fp.Child("path"), h.Path)
	if h.Type != nil {
		errs = append(errs, supported(fp.Child("type"), *h.Type, corev1.HostPathUnset, corev1.HostPathBlockDev, corev1.HostPathCharDev,
			corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket)...)
	}
	return errs
}

func validateNFS(n *corev1.NFSVolumeSource, fp *field.Path) field.ErrorList {
	errs := required(fp.Child("server"), n.Server)
	errs = append(errs, required(fp.Child("path"), n.Path)...)
	if !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(fp.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}

func validateCSISource(c *corev1.CSIVolumeSource, fp *field.Path) field.ErrorList {
	errs := ValidateDriverName(c.Driver, fp.Child("driver"))
	if ref := c.NodePublishSecretRef; ref != nil {
		if ref.Name == "" {
			return append(errs, field.Required(fp.Child("nodePublishSecretRef", "name"), ""))
		}
		errs = append(errs, invalids(fp.Child("name"), ref.Name, validation.IsDNS1123Subdomain(ref.Name))...)
	}
	return errs
}

// ValidateDriverName checks the name of a CSI driver: a domain in letters of either case, of 63 characters at most.
func ValidateDriverName(name string, fp *field.Path) field.ErrorList {
	const longest = 63
	if name == "" {
		return required(fp, name)
	}
	var errs field.ErrorList
	if len(name) > longest {
		errs = append(errs, field.TooLong(fp, "", longest))
	}
	return append(errs, invalids(fp, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))...)
}

// validateEphemeralVolume checks a volume whose claim is made with the pod and named after both. volume is the path
// of the volume, fp that of its source.
func (pod *podRules) validateEphemeralVolume(v *corev1.Volume, volume, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	p := fp.Child("volumeClaimTemplate")
	if t := v.Ephemeral.VolumeClaimTemplate; t == nil {
		errs = append(errs, field.Required(p, ""))
	} else {
		errs = append(errs, validateClaimMeta(&t.ObjectMeta, p.Child("metadata"))...)
		errs = append(errs, validateClaimSpec(&t.Spec, p.Child("spec"))...)
	}
	if pod.meta != nil && pod.meta.Name != "" && v.Name != "" {
		name := pod.meta.Name + "-" + v.Name
		for _, msg := range validation.IsDNS1123Subdomain(name) {
			errs = append(errs, field.Invalid(volume.Child("name"), v.Name, fmt.Sprintf("PVC name %q: %v", name, msg)))
		}
	}
	return errs
}

// validateClaimMeta checks the metadata of a claim that is made for a pod: labels and annotations, and nothing else.
func validateClaimMeta(m *metav1.ObjectMeta, fp *field.Path) field.ErrorList {
	errs := apivalidation.ValidateAnnotations(m.Annotations, fp.Child("annotations"))
	errs = append(errs, metavalidation.ValidateLabels(m.Labels, fp.Child("labels"))...)
	return append(errs, forbidden(fp, "cannot be set",
		setField{"name", m.Name != ""},
		setField{"generateName", m.GenerateName != ""},
		setField{"namespace", m.Namespace != ""},
		setField{"selfLink", m.SelfLink != ""},
		setField{"uID", m.UID != ""}, // upstream spells the paths from the names of Go
		setField{"resourceVersion", m.ResourceVersion != ""},
		setField{"generation", m.Generation != 0},
		setField{"creationTimestamp", !m.CreationTimestamp.IsZero()},
		setField{"deletionTimestamp", m.DeletionTimestamp != nil},
		setField{"deletionGracePeriodSeconds", m.DeletionGracePeriodSeconds != nil},
		setField{"ownerReferences", m.OwnerReferences != nil},
		setField{"finalizers", m.Finalizers != nil},
		setField{"managedFields", m.ManagedFields != nil},
	)...)
}

func validateItems(items []corev1.KeyToPath, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		p := fp.Index(i)
		errs = append(errs, required(p.Child("key"), item.Key)...)
		errs = append(errs, required(p.Child("path"), item.Path)...)
		errs = append(errs, localPath(p.Child("path"), item.Path)...)
		errs = append(errs, fileMode(p.Child("mode"), item.Mode)...)
		errs = append(errs, userIn(p, "user", item.User)...)
	}
	return errs
}

// localPath refuses paths of files in a volume that lead out of it or clash with the volume's own names.
func localPath(fp *field.Path, p string) field.ErrorList {
	errs := relativePath(fp, p)
	if strings.HasPrefix(p, "..") && !strings.HasPrefix(p, "../") {
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
