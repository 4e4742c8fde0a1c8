package podruntime

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// defaultCapabilities are those of a container that asks for none, as Docker and containerd give them.
func defaultCapabilities() []string {
	return []string{"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}
}

func capabilities(sec *runtimeapi.LinuxContainerSecurityContext, machine []string) (*specs.LinuxCapabilities, error) {
	has := map[string]bool{}
	for _, c := range defaultCapabilities() {
		has[c] = true
	}
	if sec.GetPrivileged() {
		for _, c := range machine {
			has[c] = true
		}
	}
	spec := sec.GetCapabilities()
	all := func(list []string) bool {
		return slices.ContainsFunc(list, func(c string) bool { return strings.EqualFold(c, "ALL") })
	}
	if all(spec.GetAddCapabilities()) {
		for _, c := range machine {
			has[c] = true
		}
	}
	if all(spec.GetDropCapabilities()) {
		has = map[string]bool{}
		if all(spec.GetAddCapabilities()) {
			for _, c := range machine {
				has[c] = true
			}
		}
	}
	for _, c := range spec.GetAddCapabilities() {
		if strings.EqualFold(c, "ALL") {
			continue
		}
		name := capabilityName(c)
		if !slices.Contains(knownCapabilities(), name) {
			return nil, status.Errorf(codes.InvalidArgument, "unknown capability %q", c)
		}
		has[name] = true
	}
	for _, c := range spec.GetDropCapabilities() {
		if !strings.EqualFold(c, "ALL") {
			delete(has, capabilityName(c))
		}
	}
	var names []string
	for c := range has {
		// What the runtime does not have itself it cannot give: the container runs without.
		if slices.Contains(machine, c) {
			names = append(names, c)
		}
	}
	slices.Sort(names)
	// No inheritable ones: a non-root process must not gain capabilities by executing a file (CVE-2022-24769).
	caps := &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	for _, c := range spec.GetAddAmbientCapabilities() {
		name := capabilityName(c)
		if has[name] && slices.Contains(machine, name) {
			caps.Ambient = append(caps.Ambient, name)
			caps.Inheritable = append(caps.Inheritable, name)
		}
	}
	return caps, nil
}

func capabilityName(c string) string {
	c = strings.ToUpper(c)
	if !strings.HasPrefix(c, "CAP_") {
		c = "CAP_" + c
	}
	return c
}

// knownCapabilities are in the order of their numbers, CAP_CHOWN is 0.
func knownCapabilities() []string {
	return []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
		"CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
		"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
		"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON",
		"CAP_BPF", "CAP_CHECKPOINT_RESTORE"}
}

// CapabilityNames returns the names of the capabilities in a mask as /proc/PID/status prints it.
func CapabilityNames(mask uint64) []string {
	var names []string
	for i, name := range knownCapabilities() {
		if mask&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// deviceRules deny every device but those that each container has (the OCI runtime adds them); privileged
// containers may use all.
func deviceRules(privileged bool) []specs.LinuxDeviceCgroup {
	return []specs.LinuxDeviceCgroup{{Allow: privileged, Access: "rwm"}}
}
