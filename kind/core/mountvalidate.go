package core

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (pod *podRules) validateMounts(c *corev1.Container, p *field.Path) field.ErrorList {
	if len(c.VolumeMounts) == 0 && len(c.VolumeDevices) == 0 {
		return nil
	}
	// What the other list of the container has: a volume is mounted or a device, and only once at a path.
	mounted, devices := newPlaces(len(c.VolumeMounts)), newPlaces(len(c.VolumeDevices))
	for _, m := range c.VolumeMounts {
		mounted.add(m.Name, m.MountPath)
	}
	for _, d := range c.VolumeDevices {
		devices.add(d.Name, d.DevicePath)
	}
	errs := pod.validateVolumeMounts(c, devices, p.Child("volumeMounts"))
	return append(errs, pod.validateVolumeDevices(c.VolumeDevices, mounted, p.Child("volumeDevices"))...)
}

// places are the names and paths of mounts or devices.
type places struct{ names, paths map[string]bool }

func newPlaces(n int) places {
	return places{make(map[string]bool, n), make(map[string]bool, n)}
}

func (l places) add(name, path string) { l.names[name], l.paths[path] = true, true }

func (pod *podRules) validateVolumeMounts(c *corev1.Container, devices places, list *field.Path) field.ErrorList {
	var errs field.ErrorList
	points := make(map[string]bool, len(c.VolumeMounts))
	for i := range c.VolumeMounts {
		m, p := &c.VolumeMounts[i], list.Index(i)
		if m.Name == "" {
			errs = append(errs, field.Required(p.Child("name"), ""))
		}
		source, ok := pod.volumes[m.Name]
		if !ok {
			errs = append(errs, field.NotFound(p.Child("name"), m.Name))
		}
		if m.MountPath == "" {
			errs = append(errs, field.Required(p.Child("mountPath"), ""))
		}
		if points[m.MountPath] {
			errs = append(errs, field.Invalid(p.Child("mountPath"), m.MountPath, "must be unique"))
		}
		points[m.MountPath] = true
		if devices.names[m.Name] {
			errs = append(errs, field.Invalid(p.Child("name"), m.Name, "must not already exist in volumeDevices"))
		}
		if devices.paths[m.MountPath] {
			errs = append(errs, field.Invalid(p.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices"))
		}
		// Upstream reports what follows on the list and not on its item, but for the clash of the two sub paths.
		if m.SubPath != "" {
			errs = append(errs, relativePath(list.Child("subPath"), m.SubPath)...)
		}
		if m.SubPathExpr != "" {
			if m.SubPath != "" {
				errs = append(errs, field.Invalid(p.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
			}
			errs = append(errs, relativePath(list.Child("subPathExpr"), m.SubPathExpr)...)
		}
		errs = append(errs, validatePropagation(m, c, list)...)
		errs = append(errs, validateBindOptions(m, source, p)...)
	}
	return errs
}

// validatePropagation checks what a container sees of mounts that are made later, and whether it may write to them.
func validatePropagation(m *corev1.VolumeMount, c *corev1.Container, list *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.MountPropagation != nil {
		p := list.Child("mountPropagation")
		errs = append(errs, supported(p, *m.MountPropagation,
			corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)...)
		privileged := c.SecurityContext != nil && isTrue(c.SecurityContext.Privileged)
		if *m.MountPropagation == corev1.MountPropagationBidirectional && !privileged {
			errs = append(errs, field.Forbidden(p, "Bidirectional mount propagation is available only to privileged containers"))
		}
	}
	if m.RecursiveReadOnly == nil {
		return errs
	}
	p := list.Child("recursiveReadOnly")
	switch *m.RecursiveReadOnly {
	case corev1.RecursiveReadOnlyDisabled:
	case corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible:
		if !m.ReadOnly {
			errs = append(errs, field.Forbidden(p, "may only be specified when readOnly is true"))
		}
		if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
			errs = append(errs, field.Forbidden(p, "may only be specified when mountPropagation is None or not specified"))
		}
	default:
		errs = append(errs, supported(p, *m.RecursiveReadOnly,
			corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)...)
	}
	return errs
}

func validateBindOptions(m *corev1.VolumeMount, source *corev1.VolumeSource, mount *field.Path) field.ErrorList {
	if len(m.BindMountOptions) == 0 {
		return nil
	}
	p := mount.Child("bindMountOptions")
	var errs field.ErrorList
	seen := make(map[string]bool, len(m.BindMountOptions))
	for i, option := range m.BindMountOptions {
		errs = append(errs, supported(p.Index(i), option,
			string(corev1.BindMountOptionNoDev), string(corev1.BindMountOptionNoExec), string(corev1.BindMountOptionNoSUID))...)
		if seen[option] {
			errs = append(errs, field.Duplicate(p.Index(i), option))
		}
		seen[option] = true
	}
	if source != nil && source.Image != nil {
		errs = append(errs, field.Invalid(p, m.BindMountOptions, "bindMountOptions may not be used with image volumes"))
	}
	return errs
}

func (pod *podRules) validateVolumeDevices(devices []corev1.VolumeDevice, mounted places, list *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := newPlaces(len(devices))
	for i, d := range devices {
		p := list.Index(i)
		if d.Name == "" {
			errs = append(errs, field.Required(p.Child("name"), ""))
		}
		if d.Name != "" && seen.names[d.Name] {
			errs = append(errs, field.Invalid(p.Child("name"), d.Name, "must be unique"))
		}
		switch source, ok := pod.volumes[d.Name]; {
		case !ok:
			errs = append(errs, field.NotFound(p.Child("name"), d.Name))
		case source.PersistentVolumeClaim == nil && source.Ephemeral == nil:
			errs = append(errs, field.Invalid(p.Child("name"), d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		if d.DevicePath == "" {
			errs = append(errs, field.Required(p.Child("devicePath"), ""))
		}
		if seen.paths[d.DevicePath] {
			errs = append(errs, field.Invalid(p.Child("devicePath"), d.DevicePath, "must be unique"))
		}
		if len(noBackSteps(nil, d.DevicePath)) > 0 {
			errs = append(errs, field.Invalid(p.Child("devicePath"), d.DevicePath, "can not contain backsteps ('..')"))
		}
		if mounted.names[d.Name] {
			errs = append(errs, field.Invalid(p.Child("name"), d.Name, "must not already exist in volumeMounts"))
		}
		if mounted.paths[d.DevicePath] {
			errs = append(errs, field.Invalid(p.Child("devicePath"), d.DevicePath, "must not already exist as a path in volumeMounts"))
		}
		seen.add(d.Name, d.DevicePath)
	}
	return errs
}

// relativePath refuses paths that lead out of the folder that they start in.
func relativePath(fp *field.Path, p string) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(p) {
		errs = append(errs, field.Invalid(fp, p, "must be a relative path"))
	}
	return append(errs, noBackSteps(fp, p)...)
}

func noBackSteps(fp *field.Path, p string) field.ErrorList {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return field.ErrorList{field.Invalid(fp, p, "must not contain '..'")}
		}
	}
	return nil
}
