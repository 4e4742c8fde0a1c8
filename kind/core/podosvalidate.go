package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateHostNamespaces checks which namespaces a pod may share with its node at the same time.
func (pod *podRules) validateHostNamespaces(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if pod.HostPID && isTrue(pod.ShareProcessNamespace) {
		errs = append(errs, field.Invalid(path.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	errs = append(errs, pod.validateHostProcess(path)...)
	if pod.hostUsers() {
		return errs
	}
	// A pod with users of its own has no rights in the other namespaces of the node (KEP-127).
	const reason = "when `hostUsers` is false"
	if pod.HostNetwork {
		errs = append(errs, field.Forbidden(path.Child("hostNetwork"), reason))
	}
	if pod.HostPID {
		errs = append(errs, field.Forbidden(path.Child("HostPID"), reason))
	}
	if pod.HostIPC {
		errs = append(errs, field.Forbidden(path.Child("HostIPC"), reason))
	}
	eachContainer(pod.PodSpec, path, func(c *corev1.Container, at containerAt) {
		if len(c.VolumeDevices) > 0 {
			errs = append(errs, field.Forbidden(at.path().Child("volumeDevices"), reason))
		}
	})
	return errs
}

// validateHostPorts keeps the host ports of a pod on its node's network equal to the container ports: there is no
// other port. A template may leave them to be filled in when the pod is made.
func (pod *podRules) validateHostPorts(path *field.Path) field.ErrorList {
	if !pod.HostNetwork {
		return nil
	}
	var errs field.ErrorList
	for i := range pod.Containers {
		for j, port := range pod.Containers[i].Ports {
			if (pod.meta != nil || port.HostPort != 0) && port.HostPort != port.ContainerPort {
				errs = append(errs, field.Invalid(path.Child("containers").Index(i).Child("ports").Index(j).Child("hostPort"), port.HostPort,
					"must match `containerPort` when `hostNetwork` is true"))
			}
		}
	}
	return errs
}

// validateHostProcess checks Windows containers that run on the node itself: all of a pod do, or none.
func (pod *podRules) validateHostProcess(path *field.Path) field.ErrorList {
	var ofPod *bool
	if sc := pod.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		ofPod = sc.WindowsOptions.HostProcess
	}
	var errs field.ErrorList
	containers, onHost := 0, 0
	eachContainer(pod.PodSpec, path, func(c *corev1.Container, at containerAt) {
		containers++
		own := ofPod
		if sc := c.SecurityContext; sc != nil && sc.WindowsOptions != nil && sc.WindowsOptions.HostProcess != nil {
			own = sc.WindowsOptions.HostProcess
			if ofPod != nil && *ofPod != *own {
				errs = append(errs, field.Invalid(at.path().Child("securityContext", "windowsOptions", "hostProcess"), *own,
					fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *ofPod)))
			}
		}
		if isTrue(own) {
			onHost++
		}
	})
	if onHost == 0 {
		return errs
	}
	if onHost != containers {
		errs = append(errs, field.Invalid(path, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers"))
	}
	if !pod.HostNetwork {
		errs = append(errs, field.Invalid(path.Child("hostNetwork"), false, "hostNetwork must be true if pod contains any hostProcess containers"))
	}
	return errs
}

// validateOS checks the operating system that a pod names, and that it asks for nothing that the other one has.
func (pod *podRules) validateOS(path *field.Path) field.ErrorList {
	switch {
	case pod.OS == nil:
		return nil
	case pod.OS.Name == "":
		return field.ErrorList{field.Required(path.Child("os", "name"), "")}
	case pod.OS.Name == corev1.Linux:
		return pod.validateLinux(path)
	case pod.OS.Name == corev1.Windows:
		return pod.validateWindows(path)
	default:
		return supported(path.Child("os"), pod.OS.Name, corev1.Linux, corev1.Windows)
	}
}

func (pod *podRules) validateLinux(path *field.Path) field.ErrorList {
	const reason = "windows options cannot be set for a linux pod"
	var errs field.ErrorList
	if sc := pod.SecurityContext; sc != nil && sc.WindowsOptions != nil {
		errs = append(errs, field.Forbidden(path.Child("securityContext", "windowsOptions"), reason))
	}
	eachContainer(pod.PodSpec, path, func(c *corev1.Container, at containerAt) {
		if sc := c.SecurityContext; sc != nil && sc.WindowsOptions != nil {
			errs = append(errs, field.Forbidden(at.path().Child("securityContext", "windowsOptions"), reason))
		}
	})
	return errs
}

// setField says of a field whether it is set.
type setField struct {
	name string
	set  bool
}

func forbidden(path *field.Path, reason string, fields ...setField) field.ErrorList {
	var errs field.ErrorList
	for _, f := range fields {
		if f.set {
			errs = append(errs, field.Forbidden(path.Child(f.name), reason))
		}
	}
	return errs
}

func (pod *podRules) validateWindows(path *field.Path) field.ErrorList {
	const reason = "cannot be set for a windows pod"
	var errs field.ErrorList
	if sc := pod.SecurityContext; sc != nil {
		errs = append(errs, forbidden(path.Child("securityContext"), reason,
			setField{"appArmorProfile", sc.AppArmorProfile != nil},
			setField{"seLinuxOptions", sc.SELinuxOptions != nil},
			setField{"seccompProfile", sc.SeccompProfile != nil},
			setField{"fsGroup", sc.FSGroup != nil},
			setField{"fsGroupChangePolicy", sc.FSGroupChangePolicy != nil},
			setField{"sysctls", len(sc.Sysctls) > 0},
			setField{"runAsUser", sc.RunAsUser != nil},
			setField{"runAsGroup", sc.RunAsGroup != nil},
			setField{"supplementalGroups", sc.SupplementalGroups != nil},
			setField{"supplementalGroupsPolicy", sc.SupplementalGroupsPolicy != nil},
			setField{"seLinuxChangePolicy", sc.SELinuxChangePolicy != nil},
		)...)
	}
	errs = append(errs, forbidden(path, reason,
		setField{"hostUsers", pod.HostUsers != nil},
		setField{"hostPID", pod.HostPID},
		setField{"hostIPC", pod.HostIPC},
		setField{"shareProcessNamespace", pod.ShareProcessNamespace != nil},
	)...)
	eachContainer(pod.PodSpec, path, func(c *corev1.Container, at containerAt) {
		sc := c.SecurityContext
		if sc == nil {
			return
		}
		errs = append(errs, forbidden(at.path().Child("securityContext"), reason,
			setField{"appArmorProfile", sc.AppArmorProfile != nil},
			setField{"seLinuxOptions", sc.SELinuxOptions != nil},
			setField{"seccompProfile", sc.SeccompProfile != nil},
			setField{"capabilities", sc.Capabilities != nil},
			setField{"readOnlyRootFilesystem", sc.ReadOnlyRootFilesystem != nil},
			setField{"privileged", sc.Privileged != nil},
			setField{"allowPrivilegeEscalation", sc.AllowPrivilegeEscalation != nil},
			setField{"procMount", sc.ProcMount != nil},
			setField{"runAsUser", sc.RunAsUser != nil},
			setField{"runAsGroup", sc.RunAsGroup != nil},
		)...)
	})
	return errs
}
