package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/node/util/sysctl"
)

func (pod *podRules) validatePodSecurity(fp *field.Path) field.ErrorList {
	sc := pod.SecurityContext
	if sc == nil {
		return nil
	}
	fp = fp.Child("securityContext")
	errs := groupIn(fp, "fsGroup", sc.FSGroup)
	errs = append(errs, userIn(fp, "runAsUser", sc.RunAsUser)...)
	errs = append(errs, groupIn(fp, "runAsGroup", sc.RunAsGroup)...)
	for i, id := range sc.SupplementalGroups {
		errs = append(errs, invalids(fp.Child("supplementalGroups").Index(i), id, validation.IsValidGroupID(id))...)
	}
	if len(sc.Sysctls) > 0 {
		errs = append(errs, pod.validateSysctls(sc.Sysctls, fp.Child("sysctls"))...)
	}
	if p := sc.FSGroupChangePolicy; p != nil {
		errs = append(errs, supported(fp.Child("fsGroupChangePolicy"), *p, corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch)...)
	}
	errs = append(errs, validateSeccomp(sc.SeccompProfile, fp)...)
	errs = append(errs, validateWindowsOptions(sc.WindowsOptions, fp)...)
	errs = append(errs, validateAppArmor(sc.AppArmorProfile, fp)...)
	if p := sc.SupplementalGroupsPolicy; p != nil {
		errs = append(errs, supported(fp.Child("supplementalGroupsPolicy"), *p, corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict)...)
	}
	if p := sc.SELinuxChangePolicy; p != nil {
		errs = append(errs, supported(fp.Child("seLinuxChangePolicy"), *p, corev1.SELinuxChangePolicyMountOption, corev1.SELinuxChangePolicyRecursive)...)
	}
	return errs
}

func (pod *podRules) validateContainerSecurity(sc *corev1.SecurityContext, parent *field.Path) field.ErrorList {
	if sc == nil {
		return nil
	}
	fp := parent.Child("securityContext")
	errs := userIn(fp, "runAsUser", sc.RunAsUser)
	errs = append(errs, groupIn(fp, "runAsGroup", sc.RunAsGroup)...)
	if sc.ProcMount != nil {
		errs = append(errs, supported(fp.Child("procMount"), *sc.ProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
		if pod.hostUsers() && *sc.ProcMount == corev1.UnmaskedProcMount {
			errs = append(errs, field.Invalid(fp.Child("procMount"), sc.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	errs = append(errs, validateSeccomp(sc.SeccompProfile, fp)...)
	if e := sc.AllowPrivilegeEscalation; e != nil && !*e {
		if isTrue(sc.Privileged) {
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
	errs = append(errs, validateWindowsOptions(sc.WindowsOptions, fp)...)
	return append(errs, validateAppArmor(sc.AppArmorProfile, fp)...)
}

func userIn(parent *field.Path, child string, id *int64) field.ErrorList {
	if id == nil {
		return nil
	}
	return invalids(parent.Child(child), *id, validation.IsValidUserID(*id))
}

func groupIn(parent *field.Path, child string, id *int64) field.ErrorList {
	if id == nil {
		return nil
	}
	return invalids(parent.Child(child), *id, validation.IsValidGroupID(*id))
}

// validateSysctls checks kernel parameters. Those of a namespace that the pod shares with its node are the node's.
func (pod *podRules) validateSysctls(list []corev1.Sysctl, fp *field.Path) field.ErrorList {
	const longest, format = 253, "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
	var errs field.ErrorList
	seen := make(map[string]bool, len(list))
	for i, s := range list {
		p := fp.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(p, ""))
		case len(s.Name) > longest || !isSysctl(s.Name):
			errs = append(errs, field.Invalid(p, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", longest, format)))
		case seen[s.Name]:
			errs = append(errs, field.Duplicate(p, s.Name))
		}
		seen[s.Name] = true
		switch namespace, _, _ := sysctl.GetNamespace(s.Name); {
		case pod.HostNetwork && namespace == sysctl.NetNamespace:
			errs = append(errs, field.Invalid(p, s.Name, "may not be specified when 'hostNetwork' is true"))
		case pod.HostIPC && namespace == sysctl.IPCNamespace:
			errs = append(errs, field.Invalid(p, s.Name, "may not be specified when 'hostIPC' is true"))
		}
	}
	return errs
}

// isSysctl matches segments of lower-case letters, digits, dashes and underscores, joined by dots or slashes.
func isSysctl(name string) bool {
	for segment := range strings.SplitSeq(strings.ReplaceAll(name, "/", "."), ".") {
		if segment == "" || strings.Trim(segment, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" || strings.ContainsAny(segment[:1]+segment[len(segment)-1:], "-_") {
			return false
		}
	}
	return true
}

func validateSeccomp(s *corev1.SeccompProfile, parent *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	fp := parent.Child("seccompProfile")
	var errs field.ErrorList
	if s.Type == "" {
		errs = append(errs, field.Required(fp.Child("type"), "type is required when seccompProfile is set"))
	} else {
		errs = append(errs, supported(fp.Child("type"), s.Type, corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)...)
	}
	switch {
	case s.Type == corev1.SeccompProfileTypeLocalhost && s.LocalhostProfile == nil:
		errs = append(errs, field.Required(fp.Child("localhostProfile"), "must be set when seccomp type is Localhost"))
	case s.Type == corev1.SeccompProfileTypeLocalhost:
		errs = append(errs, relativePath(fp.Child("localhostProfile"), *s.LocalhostProfile)...)
	case s.LocalhostProfile != nil:
		errs = append(errs, field.Invalid(fp.Child("localhostProfile"), s, "can only be set when seccomp type is Localhost"))
	}
	return errs
}

func validateAppArmor(a *corev1.AppArmorProfile, parent *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	const longest = 4095 // of a path
	fp := parent.Child("appArmorProfile")
	profile := fp.Child("localhostProfile")
	switch a.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		if a.LocalhostProfile == nil {
			return field.ErrorList{field.Required(profile, "must be set when AppArmor type is Localhost")}
		}
		var errs field.ErrorList
		switch name := *a.LocalhostProfile; {
		case strings.TrimSpace(name) != name:
			errs = append(errs, field.Invalid(profile, name, "must not be padded with whitespace"))
		case name == "":
			errs = append(errs, field.Required(profile, "must be set when AppArmor type is Localhost"))
		}
		if len(*a.LocalhostProfile) > longest {
			errs = append(errs, field.TooLong(profile, "", longest))
		}
		return errs
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if a.LocalhostProfile != nil {
			return field.ErrorList{field.Invalid(profile, a.LocalhostProfile, "can only be set when AppArmor type is Localhost")}
		}
		return nil
	case "":
		return field.ErrorList{field.Required(fp.Child("type"), "type is required when appArmorProfile is set")}
	default:
		return supported(fp.Child("type"), a.Type,
			corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined)
	}
}
