package podconfig

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// maskedPaths and readonlyPaths are what the default procMount hides, as the runtimes' defaults have it.
const (
	maskedPaths = "/proc/asound /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats " +
		"/proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
	readonlyPaths = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"
)

func namespaces(pod *corev1.Pod) *runtimeapi.NamespaceOption {
	ns := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
	if pod.Spec.HostNetwork {
		ns.Network = runtimeapi.NamespaceMode_NODE
	}
	if pod.Spec.HostIPC {
		ns.Ipc = runtimeapi.NamespaceMode_NODE
	}
	switch {
	case pod.Spec.HostPID:
		ns.Pid = runtimeapi.NamespaceMode_NODE
	case optional(pod.Spec.ShareProcessNamespace):
		ns.Pid = runtimeapi.NamespaceMode_POD
	}
	return ns
}

func sandboxSecurity(pod *corev1.Pod, in SandboxInput) *runtimeapi.LinuxSandboxSecurityContext {
	sc := &runtimeapi.LinuxSandboxSecurityContext{
		NamespaceOptions: namespaces(pod),
		Seccomp:          seccomp(nil, pod, in.SeccompDir),
		Privileged:       privilegedPod(pod),
	}
	if psc := pod.Spec.SecurityContext; psc != nil {
		sc.RunAsUser, sc.RunAsGroup = int64Value(psc.RunAsUser), int64Value(psc.RunAsGroup)
		if sc.RunAsUser == nil {
			sc.RunAsGroup = nil // CRI knows no group without a user
		}
		sc.SupplementalGroups = groups(psc)
	}
	return sc
}

func privilegedPod(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if sc := list[i].SecurityContext; sc != nil && optional(sc.Privileged) {
				return true
			}
		}
	}
	return false
}

func containerSecurity(pod *corev1.Pod, c *corev1.Container, in ContainerInput) (*runtimeapi.LinuxContainerSecurityContext, error) {
	out := &runtimeapi.LinuxContainerSecurityContext{
		NamespaceOptions: namespaces(pod),
		Seccomp:          seccomp(c, pod, in.SeccompDir),
		Capabilities:     &runtimeapi.Capability{},
		MaskedPaths:      strings.Fields(maskedPaths),
		ReadonlyPaths:    strings.Fields(readonlyPaths),
	}
	psc, sc := pod.Spec.SecurityContext, c.SecurityContext
	if psc == nil {
		psc = &corev1.PodSecurityContext{}
	}
	if sc == nil {
		sc = &corev1.SecurityContext{}
	}
	user := firstSet(sc.RunAsUser, psc.RunAsUser)
	if err := checkNonRoot(pod, c, firstSet(sc.RunAsNonRoot, psc.RunAsNonRoot), user, in.ImageUser); err != nil {
		return nil, err
	}
	switch {
	case user != nil:
		out.RunAsUser = int64Value(user)
	case in.ImageUser.UID != nil:
		out.RunAsUser = int64Value(in.ImageUser.UID)
	case in.ImageUser.Name != "":
		out.RunAsUsername = in.ImageUser.Name
	}
	if group := firstSet(sc.RunAsGroup, psc.RunAsGroup); group != nil {
		out.RunAsGroup = int64Value(group)
		if out.RunAsUser == nil && out.RunAsUsername == "" {
			out.RunAsUser = &runtimeapi.Int64Value{} // CRI knows no group without a user
		}
	}
	out.SupplementalGroups = groups(psc)
	if p := psc.SupplementalGroupsPolicy; p != nil && *p == corev1.SupplementalGroupsPolicyStrict {
		out.SupplementalGroupsPolicy = runtimeapi.SupplementalGroupsPolicy_Strict
	}
	out.Privileged = optional(sc.Privileged)
	out.ReadonlyRootfs = optional(sc.ReadOnlyRootFilesystem)
	out.NoNewPrivs = sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation
	if caps := sc.Capabilities; caps != nil {
		for _, name := range caps.Add {
			out.Capabilities.AddCapabilities = append(out.Capabilities.AddCapabilities, string(name))
		}
		for _, name := range caps.Drop {
			out.Capabilities.DropCapabilities = append(out.Capabilities.DropCapabilities, string(name))
		}
	}
	if out.Privileged || sc.ProcMount != nil && *sc.ProcMount == corev1.UnmaskedProcMount {
		out.MaskedPaths, out.ReadonlyPaths = nil, nil
	}
	return out, nil
}

func checkNonRoot(pod *corev1.Pod, c *corev1.Container, nonRoot *bool, user *int64, image ImageUser) error {
	if !optional(nonRoot) {
		return nil
	}
	where := fmt.Sprintf("(pod: %q, container: %s)", podFormat(pod), c.Name)
	switch {
	case user != nil && *user == 0:
		return fmt.Errorf("container's runAsUser breaks non-root policy %s", where)
	case user != nil:
		return nil
	case image.UID != nil && *image.UID == 0, image.UID == nil && image.Name == "":
		return fmt.Errorf("container has runAsNonRoot and image will run as root %s", where)
	case image.UID == nil:
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root %s", image.Name, where)
	}
	return nil
}

func podFormat(pod *corev1.Pod) string {
	return pod.Name + "_" + pod.Namespace + "(" + string(pod.UID) + ")"
}

func groups(psc *corev1.PodSecurityContext) []int64 {
	list := slices.Clone(psc.SupplementalGroups)
	if psc.FSGroup != nil && !slices.Contains(list, *psc.FSGroup) {
		list = append(list, *psc.FSGroup)
	}
	return list
}

// seccomp returns the profile of a container, or of the sandbox if c is nil. Without a word in the pod it is
// the runtime's default.
func seccomp(c *corev1.Container, pod *corev1.Pod, dir string) *runtimeapi.SecurityProfile {
	var profile *corev1.SeccompProfile
	if pod.Spec.SecurityContext != nil {
		profile = pod.Spec.SecurityContext.SeccompProfile
	}
	if c != nil && c.SecurityContext != nil {
		if c.SecurityContext.SeccompProfile != nil {
			profile = c.SecurityContext.SeccompProfile
		}
		if optional(c.SecurityContext.Privileged) {
			return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
		}
	}
	out := &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
	if profile == nil {
		return out
	}
	switch profile.Type {
	case corev1.SeccompProfileTypeUnconfined:
		out.ProfileType = runtimeapi.SecurityProfile_Unconfined
	case corev1.SeccompProfileTypeLocalhost:
		out.ProfileType = runtimeapi.SecurityProfile_Localhost
		if profile.LocalhostProfile != nil {
			out.LocalhostRef = filepath.Join(dir, *profile.LocalhostProfile)
		}
	}
	return out
}

func firstSet[T any](list ...*T) *T {
	for _, p := range list {
		if p != nil {
			return p
		}
	}
	return nil
}

func int64Value(p *int64) *runtimeapi.Int64Value {
	if p == nil {
		return nil
	}
	return &runtimeapi.Int64Value{Value: *p}
}
