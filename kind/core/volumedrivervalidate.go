package core

import (
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// requiredField is a text that may not be empty.
type requiredField struct{ name, value string }

func requiredFields(path *field.Path, fields ...requiredField) field.ErrorList {
	var errs field.ErrorList
	for _, f := range fields {
		errs = append(errs, required(path.Child(f.name), f.value)...)
	}
	return errs
}

// validateDriverSource checks the sources that came before CSI. Upstream moves most of them to CSI drivers or has
// dropped them, and Sampan has none: they are checked and stored, and a node that is to mount one says that it cannot.
func validateDriverSource(v *corev1.Volume, o *oneSource) {
	s := &v.VolumeSource
	need := func(name string, fields ...requiredField) {
		o.check(name, func(p *field.Path) field.ErrorList { return requiredFields(p, fields...) })
	}
	if g := s.GitRepo; g != nil {
		o.check("gitRepo", func(p *field.Path) field.ErrorList {
			return append(required(p.Child("repository"), g.Repository), relativePath(p.Child("directory"), g.Directory)...)
		})
	}
	if d := s.GCEPersistentDisk; d != nil {
		o.check("gcePersistentDisk", func(*field.Path) field.ErrorList {
			p := o.path.Child("persistentDisk") // so it is called upstream
			return append(required(p.Child("pdName"), d.PDName), partition(p, d.Partition)...)
		})
	}
	if d := s.AWSElasticBlockStore; d != nil {
		o.check("awsElasticBlockStore", func(p *field.Path) field.ErrorList {
			return append(required(p.Child("volumeID"), d.VolumeID), partition(p, d.Partition)...)
		})
	}
	if s.ISCSI != nil {
		o.check("iscsi", func(p *field.Path) field.ErrorList { return validateISCSI(s.ISCSI, p) })
		if s.ISCSI.InitiatorName != nil && len(v.Name+":"+s.ISCSI.TargetPortal) > 64 {
			o.errs = append(o.errs, field.Invalid(o.path.Child("name"), v.Name,
				"Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."))
		}
	}
	if g := s.Glusterfs; g != nil {
		need("glusterfs", requiredField{"endpoints", g.EndpointsName}, requiredField{"path", g.Path})
	}
	if f := s.Flocker; f != nil {
		o.check("flocker", func(p *field.Path) field.ErrorList { return validateFlocker(f, p) })
	}
	if r := s.RBD; r != nil {
		need("rbd", requiredField{"monitors", strings.Join(r.CephMonitors, ",")}, requiredField{"image", r.RBDImage})
	}
	if c := s.Cinder; c != nil {
		o.check("cinder", func(p *field.Path) field.ErrorList {
			errs := required(p.Child("volumeID"), c.VolumeID)
			if c.SecretRef != nil {
				errs = append(errs, required(p.Child("secretRef", "name"), c.SecretRef.Name)...)
			}
			return errs
		})
	}
	if c := s.CephFS; c != nil {
		need("cephfs", requiredField{"monitors", strings.Join(c.Monitors, ",")})
	}
	if q := s.Quobyte; q != nil {
		o.check("quobyte", func(p *field.Path) field.ErrorList { return validateQuobyte(q, p) })
	}
	if s.FC != nil {
		o.check("fc", func(p *field.Path) field.ErrorList { return validateFC(s.FC, p) })
	}
	if f := s.FlexVolume; f != nil {
		o.check("flexVolume", func(p *field.Path) field.ErrorList { return validateFlexVolume(f, p) })
	}
	if a := s.AzureFile; a != nil {
		need("azureFile", requiredField{"secretName", a.SecretName}, requiredField{"shareName", a.ShareName})
	}
	if d := s.VsphereVolume; d != nil {
		need("vsphereVolume", requiredField{"volumePath", d.VolumePath})
	}
	if d := s.PhotonPersistentDisk; d != nil {
		need("photonPersistentDisk", requiredField{"pdID", d.PdID})
	}
	if d := s.PortworxVolume; d != nil {
		need("portworxVolume", requiredField{"volumeID", d.VolumeID})
	}
	if s.AzureDisk != nil {
		o.check("azureDisk", func(p *field.Path) field.ErrorList { return validateAzureDisk(s.AzureDisk, p) })
	}
	if s.StorageOS != nil {
		o.check("storageos", func(p *field.Path) field.ErrorList { return validateStorageOS(s.StorageOS, p) })
	}
	if d := s.ScaleIO; d != nil {
		need("scaleIO", requiredField{"gateway", d.Gateway}, requiredField{"system", d.System}, requiredField{"volumeName", d.VolumeName})
	}
}

func partition(path *field.Path, n int32) field.ErrorList {
	if n < 0 || n > 255 {
		return field.ErrorList{field.Invalid(path.Child("partition"), n, validation.InclusiveRangeError(1, 255))}
	}
	return nil
}

func validateISCSI(s *corev1.ISCSIVolumeSource, p *field.Path) field.ErrorList {
	errs := required(p.Child("targetPortal"), s.TargetPortal)
	if s.IQN == "" {
		errs = append(errs, field.Required(p.Child("iqn"), ""))
	} else {
		errs = append(errs, iscsiName(p.Child("iqn"), s.IQN)...)
	}
	if s.Lun < 0 || s.Lun > 255 {
		errs = append(errs, field.Invalid(p.Child("lun"), s.Lun, validation.InclusiveRangeError(0, 255)))
	}
	if (s.DiscoveryCHAPAuth || s.SessionCHAPAuth) && s.SecretRef == nil {
		errs = append(errs, field.Required(p.Child("secretRef"), ""))
	}
	if s.InitiatorName != nil {
		errs = append(errs, iscsiName(p.Child("initiatorname"), *s.InitiatorName)...)
	}
	return errs
}

// iscsiName checks the name of a target or an initiator (RFC 3720, section 3.2.6).
func iscsiName(path *field.Path, name string) field.ErrorList {
	var format string
	switch {
	case strings.HasPrefix(name, "iqn"):
		format = `iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`
	case strings.HasPrefix(name, "eui"):
		format = `^eui.[[:alnum:]]{16}$`
	case strings.HasPrefix(name, "naa"):
		format = `^naa.[[:alnum:]]{32}$`
	default:
		return field.ErrorList{field.Invalid(path, name, "must be valid format starting with iqn, eui, or naa")}
	}
	if !regexp.MustCompile(format).MatchString(name) {
		return field.ErrorList{field.Invalid(path, name, "must be valid format")}
	}
	return nil
}

func validateFlocker(f *corev1.FlockerVolumeSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if f.DatasetName == "" && f.DatasetUUID == "" {
		errs = append(errs, field.Required(p, "one of datasetName and datasetUUID is required"))
	}
	if f.DatasetName != "" && f.DatasetUUID != "" {
		errs = append(errs, field.Invalid(p, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
	}
	if strings.Contains(f.DatasetName, "/") {
		errs = append(errs, field.Invalid(p.Child("datasetName"), f.DatasetName, "must not contain '/'"))
	}
	return errs
}

func validateQuobyte(q *corev1.QuobyteVolumeSource, p *field.Path) field.ErrorList {
	const pairs = "must be a host:port pair or multiple pairs separated by commas"
	var errs field.ErrorList
	switch {
	case q.Registry == "":
		errs = append(errs, field.Required(p.Child("registry"), pairs))
	case len(q.Tenant) > 64:
		errs = append(errs, field.Required(p.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters"))
	default:
		for pair := range strings.SplitSeq(q.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				errs = append(errs, field.Invalid(p.Child("registry"), q.Registry, pairs))
			}
		}
	}
	return append(errs, required(p.Child("volume"), q.Volume)...)
}

func validateFC(fc *corev1.FCVolumeSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case len(fc.TargetWWNs) == 0 && len(fc.WWIDs) == 0:
		errs = append(errs, field.Required(p.Child("targetWWNs"), "must specify either targetWWNs or wwids, but not both"))
	case len(fc.TargetWWNs) > 0 && len(fc.WWIDs) > 0:
		errs = append(errs, field.Invalid(p.Child("targetWWNs"), fc.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously"))
	}
	if len(fc.TargetWWNs) == 0 {
		return errs
	}
	if fc.Lun == nil {
		errs = append(errs, field.Required(p.Child("lun"), "lun is required if targetWWNs is specified"))
	} else if *fc.Lun < 0 || *fc.Lun > 255 {
		errs = append(errs, field.Invalid(p.Child("lun"), fc.Lun, validation.InclusiveRangeError(0, 255)))
	}
	return errs
}

func validateFlexVolume(f *corev1.FlexVolumeSource, p *field.Path) field.ErrorList {
	errs := required(p.Child("driver"), f.Driver)
	for _, key := range slices.Sorted(maps.Keys(f.Options)) {
		domain, _, _ := strings.Cut(key, "/")
		domain = "." + strings.ToLower(domain)
		if strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io") {
			errs = append(errs, field.Invalid(p.Child("options").Key(key), key, "kubernetes.io and k8s.io namespaces are reserved"))
		}
	}
	return errs
}

func validateAzureDisk(d *corev1.AzureDiskVolumeSource, p *field.Path) field.ErrorList {
	errs := requiredFields(p, requiredField{"diskName", d.DiskName}, requiredField{"diskURI", d.DataDiskURI})
	if mode := d.CachingMode; mode != nil {
		errs = append(errs, supported(p.Child("cachingMode"), *mode,
			corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)...)
	}
	if d.Kind == nil {
		return errs
	}
	errs = append(errs, supported(p.Child("kind"), *d.Kind, corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk, corev1.AzureSharedBlobDisk)...)
	prefix, format := "https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
	if *d.Kind == corev1.AzureManagedDisk {
		prefix, format = "/subscriptions/", "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
	}
	if !strings.HasPrefix(d.DataDiskURI, prefix) {
		errs = append(errs, field.NotSupported(p.Child("diskURI"), d.DataDiskURI, []string{format}))
	}
	return errs
}

func validateStorageOS(s *corev1.StorageOSVolumeSource, p *field.Path) field.ErrorList {
	errs := nameIn(p, "volumeName", s.VolumeName)
	if s.VolumeNamespace != "" {
		errs = append(errs, labelIn(p, "volumeNamespace", s.VolumeNamespace)...)
	}
	if s.SecretRef != nil {
		errs = append(errs, required(p.Child("secretRef", "name"), s.SecretRef.Name)...)
	}
	return errs
}
