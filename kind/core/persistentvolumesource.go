package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateVolumeOrigin checks that a volume has one source, and what is said of it. Many are like those of pods, but
// name the namespace of their secret.
func validateVolumeOrigin(spec *corev1.PersistentVolumeSpec, name string, p *field.Path) field.ErrorList {
	o := &oneSource{path: p}
	s := &spec.PersistentVolumeSource
	ofPods := func(v corev1.VolumeSource) { validateDriverSource(&corev1.Volume{Name: name, VolumeSource: v}, o) }
	if s.HostPath != nil {
		o.check("hostPath", func(p *field.Path) field.ErrorList { return validateHostPath(s.HostPath, p) })
	}
	ofPods(corev1.VolumeSource{GCEPersistentDisk: s.GCEPersistentDisk, AWSElasticBlockStore: s.AWSElasticBlockStore})
	if g := s.Glusterfs; g != nil {
		o.check("glusterfs", func(p *field.Path) field.ErrorList { return validateVolumeGlusterfs(g, p) })
	}
	ofPods(corev1.VolumeSource{Flocker: s.Flocker})
	if s.NFS != nil {
		o.check("nfs", func(p *field.Path) field.ErrorList { return validateNFS(s.NFS, p) })
	}
	if r := s.RBD; r != nil {
		ofPods(corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{CephMonitors: r.CephMonitors, RBDImage: r.RBDImage}})
	}
	ofPods(corev1.VolumeSource{Quobyte: s.Quobyte})
	if c := s.CephFS; c != nil {
		ofPods(corev1.VolumeSource{CephFS: &corev1.CephFSVolumeSource{Monitors: c.Monitors}})
	}
	if s.ISCSI != nil {
		o.check("iscsi", func(p *field.Path) field.ErrorList { return validateVolumeISCSI(s.ISCSI, name, p) })
	}
	if c := s.Cinder; c != nil {
		o.check("cinder", func(p *field.Path) field.ErrorList {
			return append(required(p.Child("volumeID"), c.VolumeID), namedSecret(c.SecretRef, p.Child("secretRef"))...)
		})
	}
	ofPods(corev1.VolumeSource{FC: s.FC})
	if f := s.FlexVolume; f != nil {
		ofPods(corev1.VolumeSource{FlexVolume: &corev1.FlexVolumeSource{Driver: f.Driver, Options: f.Options}})
	}
	if a := s.AzureFile; a != nil {
		o.check("azureFile", func(p *field.Path) field.ErrorList {
			errs := requiredFields(p, requiredField{"secretName", a.SecretName}, requiredField{"shareName", a.ShareName})
			if a.SecretNamespace != nil {
				errs = append(errs, required(p.Child("secretNamespace"), *a.SecretNamespace)...)
			}
			return errs
		})
	}
	ofPods(corev1.VolumeSource{VsphereVolume: s.VsphereVolume, PhotonPersistentDisk: s.PhotonPersistentDisk, PortworxVolume: s.PortworxVolume, AzureDisk: s.AzureDisk})
	if d := s.ScaleIO; d != nil {
		ofPods(corev1.VolumeSource{ScaleIO: &corev1.ScaleIOVolumeSource{Gateway: d.Gateway, System: d.System, VolumeName: d.VolumeName}})
	}
	if s.Local != nil {
		o.check("local", func(p *field.Path) field.ErrorList { return validateLocal(s.Local, spec.NodeAffinity, o.path, p) })
	}
	if d := s.StorageOS; d != nil {
		o.check("storageos", func(p *field.Path) field.ErrorList {
			errs := validateStorageOS(&corev1.StorageOSVolumeSource{VolumeName: d.VolumeName, VolumeNamespace: d.VolumeNamespace}, p)
			if ref := d.SecretRef; ref != nil {
				errs = append(errs, namedSecret(&corev1.SecretReference{Name: ref.Name, Namespace: ref.Namespace}, p.Child("secretRef"))...)
			}
			return errs
		})
	}
	if s.CSI != nil {
		o.check("csi", func(p *field.Path) field.ErrorList { return validateVolumeCSI(s.CSI, p) })
	}
	if o.n == 0 {
		o.errs = append(o.errs, field.Required(p, "must specify a volume type"))
	}
	return append(o.errs, validateRecycling(spec, p)...)
}

func namedSecret(ref *corev1.SecretReference, p *field.Path) field.ErrorList {
	if ref == nil {
		return nil
	}
	return requiredFields(p, requiredField{"name", ref.Name}, requiredField{"namespace", ref.Namespace})
}

func validateVolumeGlusterfs(g *corev1.GlusterfsPersistentVolumeSource, p *field.Path) field.ErrorList {
	errs := requiredFields(p, requiredField{"endpoints", g.EndpointsName}, requiredField{"path", g.Path})
	if g.EndpointsNamespace == nil {
		return errs
	}
	at, ns := p.Child("endpointsNamespace"), *g.EndpointsNamespace
	if ns == "" {
		return append(errs, field.Invalid(at, ns, "if the endpointnamespace is set, it must be a valid namespace name"))
	}
	return append(errs, invalids(at, ns, apivalidation.ValidateNamespaceName(ns, false))...)
}

func validateVolumeISCSI(s *corev1.ISCSIPersistentVolumeSource, name string, p *field.Path) field.ErrorList {
	of := corev1.ISCSIVolumeSource{TargetPortal: s.TargetPortal, IQN: s.IQN, Lun: s.Lun, InitiatorName: s.InitiatorName,
		DiscoveryCHAPAuth: s.DiscoveryCHAPAuth, SessionCHAPAuth: s.SessionCHAPAuth}
	if s.SecretRef != nil {
		of.SecretRef = new(corev1.LocalObjectReference)
	}
	errs := validateISCSI(&of, p)
	for _, err := range errs {
		err.Detail = strings.TrimSuffix(err.Detail, " starting with iqn, eui, or naa") // what upstream says of pods only
	}
	if s.InitiatorName != nil && len(name+":"+s.TargetPortal) > 64 {
		errs = append(errs, field.Invalid(p.Child("targetportal"), s.TargetPortal,
			"Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."))
	}
	if s.SecretRef != nil {
		errs = append(errs, required(p.Child("secretRef", "name"), s.SecretRef.Name)...)
	}
	return errs
}

func validateLocal(l *corev1.LocalVolumeSource, affinity *corev1.VolumeNodeAffinity, spec, p *field.Path) field.ErrorList {
	errs := required(p.Child("path"), l.Path)
	if l.Path != "" {
		errs = noBackSteps(p.Child("path"), l.Path)
	}
	if affinity == nil {
		errs = append(errs, field.Required(spec.Child("nodeAffinity"), "Local volume requires node affinity"))
	}
	return errs
}

func validateVolumeCSI(c *corev1.CSIPersistentVolumeSource, p *field.Path) field.ErrorList {
	errs := append(ValidateDriverName(c.Driver, p.Child("driver")), required(p.Child("volumeHandle"), c.VolumeHandle)...)
	for _, secret := range []struct {
		name string
		ref  *corev1.SecretReference
	}{
		{"controllerPublishSecretRef", c.ControllerPublishSecretRef}, {"controllerExpandSecretRef", c.ControllerExpandSecretRef},
		{"nodePublishSecretRef", c.NodePublishSecretRef}, {"nodeExpandSecretRef", c.NodeExpandSecretRef},
	} {
		at := p.Child(secret.name)
		errs = append(errs, namedSecret(secret.ref, at)...)
		if ref := secret.ref; ref != nil && ref.Name != "" {
			errs = append(errs, invalids(at.Child("name"), ref.Name, validation.IsDNS1123Subdomain(ref.Name))...)
		}
		if ref := secret.ref; ref != nil && ref.Namespace != "" {
			errs = append(errs, invalids(at.Child("namespace"), ref.Namespace, validation.IsDNS1123Label(ref.Namespace))...)
		}
	}
	return errs
}
