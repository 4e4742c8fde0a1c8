package podruntime

import (
	"path"
	"slices"
	"strconv"
	"strings"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// SpecInput is everything that a container's specification depends on.
type SpecInput struct {
	ID        string
	Container *runtimeapi.ContainerConfig
	Sandbox   *runtimeapi.PodSandboxConfig
	Pod       SandboxSpec
	Live      Sandbox
	Image     imagespec.ImageConfig
	Facts     Facts
}

// Spec turns CRI configuration and image configuration into what a driver runs. It is pure. Layers and
// LogPath are the caller's to fill in.
func Spec(in SpecInput) (ContainerSpec, error) {
	cfg, sec := in.Container, in.Container.GetLinux().GetSecurityContext()
	out := ContainerSpec{
		ContainerRef: ContainerRef{ID: in.ID, Sandbox: in.Pod.ID, CgroupPath: path.Join(in.Pod.CgroupPath, in.ID), TTY: cfg.Tty},
		Stdin:        cfg.Stdin, StdinOnce: cfg.StdinOnce,
		AllHostDevices: sec.GetPrivileged(),
	}
	process, err := process(in)
	if err != nil {
		return out, err
	}
	res, err := resources(cfg.GetLinux().GetResources(), in.Facts)
	if err != nil {
		return out, err
	}
	mounts, propagation, err := mounts(in)
	if err != nil {
		return out, err
	}
	spaces, shared, err := namespaces(in)
	if err != nil {
		return out, err
	}
	res.Devices = deviceRules(sec.GetPrivileged())
	out.SharedPID = shared
	for _, d := range cfg.Devices {
		out.HostDevices = append(out.HostDevices, HostDevice{HostPath: d.HostPath, ContainerPath: d.ContainerPath, Permissions: d.Permissions})
	}
	out.OCI = &specs.Spec{
		Version: specs.Version,
		Process: process,
		Root:    &specs.Root{Path: "rootfs", Readonly: sec.GetReadonlyRootfs()},
		Mounts:  mounts,
		Linux: &specs.Linux{
			CgroupsPath: out.CgroupPath, Namespaces: spaces, Resources: res, RootfsPropagation: propagation,
		},
	}
	if !sec.GetPrivileged() {
		out.OCI.Linux.MaskedPaths = sec.GetMaskedPaths()
		out.OCI.Linux.ReadonlyPaths = sec.GetReadonlyPaths()
		if sec == nil {
			out.OCI.Linux.MaskedPaths, out.OCI.Linux.ReadonlyPaths = defaultMaskedPaths(), defaultReadonlyPaths()
		}
	}
	if out.OCI.Linux.Seccomp, err = seccomp(in); err != nil {
		return out, err
	}
	if p := sec.GetSeccomp(); !sec.GetPrivileged() && p.GetProfileType() == runtimeapi.SecurityProfile_Localhost {
		out.SeccompFile = strings.TrimPrefix(p.LocalhostRef, "localhost/")
	}
	out.User, process.User = user(in)
	for _, g := range sec.GetSupplementalGroups() {
		out.SupplementalGroups = append(out.SupplementalGroups, uint32(g))
	}
	out.StrictGroups = sec.GetSupplementalGroupsPolicy() == runtimeapi.SupplementalGroupsPolicy_Strict
	return out, nil
}

func process(in SpecInput) (*specs.Process, error) {
	cfg, sec := in.Container, in.Container.GetLinux().GetSecurityContext()
	args := slices.Concat(cfg.Command, cfg.Args)
	if len(cfg.Command) == 0 {
		args = cfg.Args
		if len(args) == 0 {
			args = in.Image.Cmd
		}
		args = slices.Concat(in.Image.Entrypoint, args)
	}
	if len(args) == 0 {
		return nil, status.Error(codes.InvalidArgument, "no command specified")
	}
	cwd := "/"
	if in.Image.WorkingDir != "" {
		cwd = path.Join("/", in.Image.WorkingDir)
	}
	if cfg.WorkingDir != "" {
		cwd = cfg.WorkingDir
	}
	caps, err := capabilities(sec, in.Facts.Capabilities)
	if err != nil {
		return nil, err
	}
	if p := sec.GetApparmor(); p.GetProfileType() == runtimeapi.SecurityProfile_Localhost {
		return nil, status.Errorf(codes.InvalidArgument, "AppArmor profile %q: this runtime does not load AppArmor profiles", p.LocalhostRef)
	}
	p := &specs.Process{
		Terminal: cfg.Tty, Args: args, Cwd: cwd, Env: environment(in), Capabilities: caps, NoNewPrivileges: sec.GetNoNewPrivs(),
	}
	if r := cfg.GetLinux().GetResources(); r != nil {
		adj := int(r.OomScoreAdj)
		p.OOMScoreAdj = &adj
	}
	return p, nil
}

// environment is the image's, overridden by the container's, with what every container has.
func environment(in SpecInput) []string {
	var order []string
	values := map[string]string{}
	set := func(k, v string) {
		if _, seen := values[k]; !seen {
			order = append(order, k)
		}
		values[k] = v
	}
	set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if in.Pod.Hostname != "" {
		set("HOSTNAME", in.Pod.Hostname)
	}
	if in.Container.Tty {
		set("TERM", "xterm")
	}
	for _, kv := range in.Image.Env {
		k, v, _ := strings.Cut(kv, "=")
		set(k, v)
	}
	for _, kv := range in.Container.Envs {
		set(kv.Key, string(kv.Value))
	}
	env := make([]string, len(order))
	for i, k := range order {
		env[i] = k + "=" + values[k]
	}
	return env
}

// user returns either a string that needs the image's /etc/passwd, or numbers.
func user(in SpecInput) (string, specs.User) {
	sec := in.Container.GetLinux().GetSecurityContext()
	name := in.Image.User
	switch {
	case sec.GetRunAsUser() != nil:
		name = strconv.FormatInt(sec.RunAsUser.Value, 10)
	case sec.GetRunAsUsername() != "":
		name = sec.RunAsUsername
	}
	if g := sec.GetRunAsGroup(); g != nil {
		base, _, _ := strings.Cut(name, ":")
		if base == "" {
			base = "0"
		}
		name = base + ":" + strconv.FormatInt(g.Value, 10)
	}
	if name == "" {
		name = "0"
	}
	return name, specs.User{}
}

// namespaces lists the container's namespaces; shared says that its processes outlive its first one.
func namespaces(in SpecInput) (spaces []specs.LinuxNamespace, shared bool, err error) {
	join := func(t specs.LinuxNamespaceType, p string) {
		if p != "" { // the host's otherwise
			spaces = append(spaces, specs.LinuxNamespace{Type: t, Path: p})
		}
	}
	spaces = append(spaces, specs.LinuxNamespace{Type: specs.MountNamespace})
	join(specs.NetworkNamespace, in.Live.NetNS)
	join(specs.IPCNamespace, in.Live.IPCNS)
	join(specs.UTSNamespace, in.Live.UTSNS)
	switch ns := in.Container.GetLinux().GetSecurityContext().GetNamespaceOptions(); ns.GetPid() {
	case runtimeapi.NamespaceMode_NODE:
		shared = true
	case runtimeapi.NamespaceMode_TARGET:
		return nil, false, status.Error(codes.InvalidArgument, "the PID namespace of another container (ephemeral containers' target) is not supported by this runtime")
	case runtimeapi.NamespaceMode_POD:
		if in.Live.PIDNS == "" {
			spaces = append(spaces, specs.LinuxNamespace{Type: specs.PIDNamespace})
			break
		}
		shared = true
		join(specs.PIDNamespace, in.Live.PIDNS)
	default:
		spaces = append(spaces, specs.LinuxNamespace{Type: specs.PIDNamespace})
	}
	// On cgroup v1 a cgroup namespace is of little use and costs time; privileged containers see the node's.
	if in.Facts.CgroupV2 && !in.Container.GetLinux().GetSecurityContext().GetPrivileged() {
		spaces = append(spaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return spaces, shared, nil
}
