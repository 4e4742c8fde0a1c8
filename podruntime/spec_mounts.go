package podruntime

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// mounts lists the container's mounts, parents before children, and the propagation of its root.
func mounts(in SpecInput) ([]specs.Mount, string, error) {
	sec := in.Container.GetLinux().GetSecurityContext()
	privileged := sec.GetPrivileged()
	all := systemMounts(privileged)
	taken := map[string]bool{}
	for _, m := range in.Container.Mounts {
		taken[path.Clean(m.ContainerPath)] = true
	}
	all = slices.DeleteFunc(all, func(m specs.Mount) bool { return taken[m.Destination] })
	bind := func(destination, source string, options ...string) {
		if source != "" && !taken[destination] {
			all = append(all, specs.Mount{Destination: destination, Type: "bind", Source: source, Options: append([]string{"rbind", "rprivate"}, options...)})
		}
	}
	mode := "rw"
	if sec.GetReadonlyRootfs() {
		mode = "ro"
	}
	bind("/etc/hostname", in.Live.Hostname, mode)
	bind("/etc/hosts", in.Live.Hosts, mode)
	bind("/etc/resolv.conf", in.Live.ResolvConf, mode)
	bind("/dev/shm", in.Live.Shm, "rw")

	propagation := ""
	given := slices.Clone(in.Container.Mounts)
	slices.SortStableFunc(given, func(a, b *runtimeapi.Mount) int {
		return depth(a.ContainerPath) - depth(b.ContainerPath)
	})
	for _, m := range given {
		if m.ContainerPath == "" || m.HostPath == "" {
			return nil, "", status.Errorf(codes.InvalidArgument, "mount of %q at %q: both paths are required", m.HostPath, m.ContainerPath)
		}
		options := []string{"rbind"}
		switch m.Propagation {
		case runtimeapi.MountPropagation_PROPAGATION_PRIVATE:
			options = append(options, "rprivate")
		case runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
			options = append(options, "rslave")
			propagation = "rslave"
		case runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL:
			return nil, "", status.Errorf(codes.InvalidArgument, "mount of %q: mount propagation Bidirectional is not supported by this runtime", m.HostPath)
		}
		switch {
		case m.RecursiveReadOnly:
			options = append(options, "rro")
		case m.Readonly:
			options = append(options, "ro")
		default:
			options = append(options, "rw")
		}
		all = append(all, specs.Mount{Destination: path.Clean("/" + m.ContainerPath), Type: "bind", Source: m.HostPath, Options: options})
	}
	return all, propagation, nil
}

func depth(p string) int { return strings.Count(path.Clean("/"+p), "/") }

func systemMounts(privileged bool) []specs.Mount {
	ro := "ro"
	if privileged {
		ro = "rw"
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", ro}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", ro}},
	}
}

// The paths that a container does not see, or cannot write, if the caller does not say; those of Kubernetes'
// default procMount.
func defaultMaskedPaths() []string {
	return []string{"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}
}

func defaultReadonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}
