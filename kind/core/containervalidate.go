package core

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// containerRole is what a container is in its pod; each has rules of its own.
type containerRole int

const (
	mainContainer containerRole = iota
	initContainer
	sidecarContainer // an init container with restartPolicy Always (KEP-753)
)

func roleOf(c *corev1.Container, init bool) containerRole {
	switch {
	case !init:
		return mainContainer
	case c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways:
		return sidecarContainer
	default:
		return initContainer
	}
}

func validateContainers(spec *corev1.PodSpec, volumes map[string]corev1.VolumeSource, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	check := func(list []corev1.Container, init bool, p *field.Path) {
		hostPorts := sets.New[string]()
		for i := range list {
			c, p := &list[i], p.Index(i)
			if names.Has(c.Name) {
				errs = append(errs, field.Duplicate(p.Child("name"), c.Name))
			} else if c.Name != "" {
				names.Insert(c.Name)
			}
			errs = append(errs, validateContainer(c, roleOf(c, init), spec, volumes, p)...)
			if init {
				hostPorts = sets.New[string]() // init containers run one after the other
			}
			errs = append(errs, hostPortConflicts(c, hostPorts, p.Child("ports"))...)
		}
	}
	if len(spec.Containers) == 0 {
		errs = append(errs, field.Required(fp.Child("containers"), ""))
	}
	check(spec.Containers, false, fp.Child("containers"))
	check(spec.InitContainers, true, fp.Child("initContainers"))
	return append(errs, validateEphemeralContainers(spec, volumes, names, fp.Child("ephemeralContainers"))...)
}

func hostPortConflicts(c *corev1.Container, taken sets.Set[string], fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, port := range c.Ports {
		if port.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
		if taken.Has(key) {
			errs = append(errs, field.Duplicate(fp.Index(i).Child("hostPort"), key))
		}
		taken.Insert(key)
	}
	return errs
}

func validateContainer(c *corev1.Container, role containerRole, spec *corev1.PodSpec, volumes map[string]corev1.VolumeSource, fp *field.Path) field.ErrorList {
	errs := dnsLabel(fp.Child("name"), c.Name)
	switch {
	case c.Image == "":
		errs = append(errs, field.Required(fp.Child("image"), ""))
	case strings.TrimSpace(c.Image) != c.Image:
		errs = append(errs, field.Invalid(fp.Child("image"), c.Image, "must not have leading or trailing whitespace"))
	}
	errs = append(errs, OneOf(fp.Child("imagePullPolicy"), c.ImagePullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)...)
	errs = append(errs, OneOf(fp.Child("terminationMessagePolicy"), c.TerminationMessagePolicy, corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	errs = append(errs, validateContainerPorts(c.Ports, spec.HostNetwork, fp.Child("ports"))...)
	errs = append(errs, validateEnv(c.Env, fp.Child("env"))...)
	errs = append(errs, validateEnvFrom(c.EnvFrom, fp.Child("envFrom"))...)
	errs = append(errs, validateMounts(c, volumes, fp)...)
	errs = append(errs, validateResources(&c.Resources, fp.Child("resources"))...)
	errs = append(errs, validateContainerRestart(c, role, fp)...)
	errs = append(errs, validateContainerSecurity(c.SecurityContext, fp.Child("securityContext"))...)
	if role == initContainer {
		return append(errs, onlyInLongRunning(c, fp)...)
	}
	grace := spec.TerminationGracePeriodSeconds
	errs = append(errs, validateProbe(c.LivenessProbe, livenessProbe, grace, fp.Child("livenessProbe"))...)
	errs = append(errs, validateProbe(c.ReadinessProbe, readinessProbe, grace, fp.Child("readinessProbe"))...)
	errs = append(errs, validateProbe(c.StartupProbe, startupProbe, grace, fp.Child("startupProbe"))...)
	errs = append(errs, validateLifecycle(c.Lifecycle, grace, fp.Child("lifecycle"))...)
	return errs
}

// onlyInLongRunning refuses what makes no sense in a container that runs to its end before the others start.
func onlyInLongRunning(c *corev1.Container, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	forbid := func(set bool, name string) {
		if set {
			errs = append(errs, field.Forbidden(fp.Child(name), "may not be set for init containers without restartPolicy=Always"))
		}
	}
	forbid(c.Lifecycle != nil, "lifecycle")
	forbid(c.LivenessProbe != nil, "livenessProbe")
	forbid(c.ReadinessProbe != nil, "readinessProbe")
	forbid(c.StartupProbe != nil, "startupProbe")
	return errs
}

func validateContainerRestart(c *corev1.Container, role containerRole, fp *field.Path) field.ErrorList {
	if c.RestartPolicy == nil {
		if len(c.RestartPolicyRules) > 0 {
			return field.ErrorList{field.Required(fp.Child("restartPolicy"), "must specify restartPolicy when restart rules are used")}
		}
		return nil
	}
	allowed := []corev1.ContainerRestartPolicy{corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure}
	errs := OneOf(fp.Child("restartPolicy"), *c.RestartPolicy, allowed...)
	for i, rule := range c.RestartPolicyRules {
		p := fp.Child("restartPolicyRules").Index(i)
		errs = append(errs, OneOf(p.Child("action"), rule.Action, corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)...)
		if rule.ExitCodes == nil {
			errs = append(errs, field.Required(p.Child("exitCodes"), "must be specified"))
			continue
		}
		errs = append(errs, OneOf(p.Child("exitCodes", "operator"), rule.ExitCodes.Operator,
			corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)...)
	}
	return errs
}

func validateContainerPorts(ports []corev1.ContainerPort, hostNetwork bool, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, port := range ports {
		p := fp.Index(i)
		if port.Name != "" {
			msgs := validation.IsValidPortName(port.Name)
			errs = append(errs, invalids(p.Child("name"), port.Name, msgs)...)
			if len(msgs) == 0 && names.Has(port.Name) {
				errs = append(errs, field.Duplicate(p.Child("name"), port.Name))
			}
			names.Insert(port.Name)
		}
		if port.ContainerPort == 0 {
			errs = append(errs, field.Required(p.Child("containerPort"), ""))
		} else {
			errs = append(errs, portNumber(p.Child("containerPort"), port.ContainerPort)...)
		}
		if port.HostPort != 0 {
			errs = append(errs, portNumber(p.Child("hostPort"), port.HostPort)...)
			if hostNetwork && port.HostPort != port.ContainerPort {
				errs = append(errs, field.Invalid(p.Child("hostPort"), port.HostPort, "must match `containerPort` when `hostNetwork` is true"))
			}
		}
		if port.HostIP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(p.Child("hostIP"), port.HostIP, true, nil)...)
		}
		errs = append(errs, protocol(p.Child("protocol"), port.Protocol)...)
	}
	return errs
}

func validateMounts(c *corev1.Container, volumes map[string]corev1.VolumeSource, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	points := sets.New[string]()
	for i, m := range c.VolumeMounts {
		p := fp.Child("volumeMounts").Index(i)
		if m.Name == "" {
			errs = append(errs, field.Required(p.Child("name"), ""))
		} else if _, ok := volumes[m.Name]; !ok {
			errs = append(errs, field.NotFound(p.Child("name"), m.Name))
		}
		if m.MountPath == "" {
			errs = append(errs, field.Required(p.Child("mountPath"), ""))
		}
		if points.Has(m.MountPath) {
			errs = append(errs, field.Invalid(p.Child("mountPath"), m.MountPath, "must be unique"))
		}
		points.Insert(m.MountPath)
		if m.SubPath != "" && m.SubPathExpr != "" {
			errs = append(errs, field.Invalid(p.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
		}
		errs = append(errs, relativePath(p.Child("subPath"), m.SubPath)...)
		errs = append(errs, relativePath(p.Child("subPathExpr"), m.SubPathExpr)...)
		if m.MountPropagation != nil {
			errs = append(errs, OneOf(p.Child("mountPropagation"), *m.MountPropagation,
				corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)...)
			privileged := c.SecurityContext != nil && c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
			if *m.MountPropagation == corev1.MountPropagationBidirectional && !privileged {
				errs = append(errs, field.Forbidden(p.Child("mountPropagation"), "Bidirectional mount propagation is available only to privileged containers"))
			}
		}
		if m.RecursiveReadOnly != nil && *m.RecursiveReadOnly != corev1.RecursiveReadOnlyDisabled && !m.ReadOnly {
			errs = append(errs, field.Forbidden(p.Child("recursiveReadOnly"), "may only be specified when readOnly is true"))
		}
	}
	devices := sets.New[string]()
	for i, d := range c.VolumeDevices {
		p := fp.Child("volumeDevices").Index(i)
		source, ok := volumes[d.Name]
		switch {
		case d.Name == "":
			errs = append(errs, field.Required(p.Child("name"), ""))
		case !ok:
			errs = append(errs, field.NotFound(p.Child("name"), d.Name))
		case source.PersistentVolumeClaim == nil && source.Ephemeral == nil:
			errs = append(errs, field.Invalid(p.Child("name"), d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		switch {
		case d.DevicePath == "":
			errs = append(errs, field.Required(p.Child("devicePath"), ""))
		case devices.Has(d.DevicePath):
			errs = append(errs, field.Invalid(p.Child("devicePath"), d.DevicePath, "must be unique"))
		}
		devices.Insert(d.DevicePath)
	}
	return errs
}

// relativePath refuses paths that lead out of the volume.
func relativePath(fp *field.Path, p string) field.ErrorList {
	switch {
	case p == "":
		return nil
	case path.IsAbs(p):
		return field.ErrorList{field.Invalid(fp, p, "must be a relative path")}
	default:
		return noBackSteps(fp, p)
	}
}

func noBackSteps(fp *field.Path, p string) field.ErrorList {
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return field.ErrorList{field.Invalid(fp, p, "must not contain '..'")}
		}
	}
	return nil
}

func validateContainerSecurity(sc *corev1.SecurityContext, fp *field.Path) field.ErrorList {
	if sc == nil {
		return nil
	}
	errs := userID(fp.Child("runAsUser"), sc.RunAsUser)
	errs = append(errs, groupID(fp.Child("runAsGroup"), sc.RunAsGroup)...)
	errs = append(errs, validateSeccomp(sc.SeccompProfile, fp.Child("seccompProfile"))...)
	if sc.ProcMount != nil {
		errs = append(errs, OneOf(fp.Child("procMount"), *sc.ProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
	}
	if e := sc.AllowPrivilegeEscalation; e != nil && !*e {
		if sc.Privileged != nil && *sc.Privileged {
			errs = append(errs, field.Invalid(fp, sc, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
		}
		if sc.Capabilities != nil {
			for _, added := range sc.Capabilities.Add {
				if added == "CAP_SYS_ADMIN" {
					errs = append(errs, field.Invalid(fp, sc, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
				}
			}
		}
	}
	return errs
}
