package podruntime

import (
	"slices"
	"strings"
	"testing"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"pgregory.net/rapid"
)

func allFacts() Facts {
	return Facts{CgroupV2: true, CgroupWritable: true, Seccomp: true, Capabilities: CapabilityNames(1<<41 - 1),
		Controllers: map[string]bool{"cpu": true, "memory": true, "pids": true, "cpuset": true}}
}

func input(cfg *runtimeapi.ContainerConfig, image imagespec.ImageConfig) SpecInput {
	return SpecInput{ID: "c1", Container: cfg, Sandbox: &runtimeapi.PodSandboxConfig{}, Pod: SandboxSpec{ID: "s1", CgroupPath: "/sampan-x/pod1"},
		Live: Sandbox{NetNS: "/proc/7/ns/net", Shm: "/run/shm", Hosts: "/run/hosts"}, Image: image, Facts: allFacts()}
}

func TestCommandAndArgumentsOverrideTheImage(t *testing.T) {
	image := imagespec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"cmd"}}
	for _, tt := range []struct{ command, args, want []string }{
		{nil, nil, []string{"/entry", "cmd"}},
		{nil, []string{"a"}, []string{"/entry", "a"}},
		{[]string{"c"}, nil, []string{"c"}},
		{[]string{"c"}, []string{"a"}, []string{"c", "a"}},
	} {
		spec, err := Spec(input(&runtimeapi.ContainerConfig{Command: tt.command, Args: tt.args}, image))
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.OCI.Process.Args; !slices.Equal(got, tt.want) {
			t.Errorf("command %q, args %q: %q, want %q", tt.command, tt.args, got, tt.want)
		}
	}
	if _, err := Spec(input(&runtimeapi.ContainerConfig{}, imagespec.ImageConfig{})); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no command at all: %v", err)
	}
}

func TestEnvironmentOfTheContainerOverridesTheImages(t *testing.T) {
	spec, err := Spec(input(&runtimeapi.ContainerConfig{Command: []string{"x"}, Envs: []*runtimeapi.KeyValue{{Key: "A", Value: []byte("2")}, {Key: "B", Value: []byte("=3")}}},
		imagespec.ImageConfig{Env: []string{"A=1", "PATH=/bin"}}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(spec.OCI.Process.Env, " "), "PATH=/bin A=2 B==3"; got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
}

func TestUserComesFromThePodThenTheImage(t *testing.T) {
	n := func(v int64) *runtimeapi.Int64Value { return &runtimeapi.Int64Value{Value: v} }
	for _, tt := range []struct {
		image string
		sec   *runtimeapi.LinuxContainerSecurityContext
		want  string
	}{
		{"", nil, "0"},
		{"www:www", nil, "www:www"},
		{"www", &runtimeapi.LinuxContainerSecurityContext{RunAsUser: n(5)}, "5"},
		{"www", &runtimeapi.LinuxContainerSecurityContext{RunAsUser: n(0)}, "0"},
		{"www", &runtimeapi.LinuxContainerSecurityContext{RunAsUsername: "bob"}, "bob"},
		{"www:www", &runtimeapi.LinuxContainerSecurityContext{RunAsGroup: n(9)}, "www:9"},
		{"", &runtimeapi.LinuxContainerSecurityContext{RunAsUser: n(5), RunAsGroup: n(9)}, "5:9"},
	} {
		spec, err := Spec(input(&runtimeapi.ContainerConfig{Command: []string{"x"}, Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: tt.sec}}, imagespec.ImageConfig{User: tt.image}))
		if err != nil {
			t.Fatal(err)
		}
		if spec.User != tt.want {
			t.Errorf("image %q, %v: user %q, want %q", tt.image, tt.sec, spec.User, tt.want)
		}
	}
}

func TestMountsOfTheCallerReplaceTheRuntimesAndParentsComeFirst(t *testing.T) {
	spec, err := Spec(input(&runtimeapi.ContainerConfig{Command: []string{"x"}, Mounts: []*runtimeapi.Mount{
		{ContainerPath: "/data/deep/er", HostPath: "/b"}, {ContainerPath: "/data", HostPath: "/a", Readonly: true}, {ContainerPath: "/etc/hosts", HostPath: "/mine"},
	}}, imagespec.ImageConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, m := range spec.OCI.Mounts {
		if m.Type == "bind" {
			order = append(order, m.Destination+"="+m.Source)
		}
	}
	if got, want := strings.Join(order, " "), "/dev/shm=/run/shm /data=/a /etc/hosts=/mine /data/deep/er=/b"; got != want {
		t.Errorf("binds %q, want %q", got, want)
	}
}

func TestLimitsThatCannotBeKeptAreRefused(t *testing.T) {
	none := allFacts()
	none.CgroupWritable, none.CgroupReason = false, "read-only"
	few := allFacts()
	few.Controllers = map[string]bool{"cpu": true}
	v1 := allFacts()
	v1.CgroupV2 = false
	for _, tt := range []struct {
		name  string
		facts Facts
		r     *runtimeapi.LinuxContainerResources
		code  codes.Code
	}{
		{"no limit, no cgroup", none, &runtimeapi.LinuxContainerResources{CpuShares: 2, OomScoreAdj: 1000}, codes.OK},
		{"memory limit, no cgroup", none, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 1 << 20}, codes.FailedPrecondition},
		{"memory limit, no controller", few, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 1 << 20}, codes.FailedPrecondition},
		{"quota", few, &runtimeapi.LinuxContainerResources{CpuQuota: 1000, CpuPeriod: 100000}, codes.OK},
		{"unlimited memory, no controller", few, &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: -1}, codes.OK},
		{"unified on v1", v1, &runtimeapi.LinuxContainerResources{Unified: map[string]string{"memory.high": "1"}}, codes.InvalidArgument},
		{"huge pages of none, no controller", few, &runtimeapi.LinuxContainerResources{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB"}}}, codes.OK},
	} {
		if _, err := resources(tt.r, tt.facts); status.Code(err) != tt.code {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.code)
		}
	}
}

func TestSignalNamesInEveryForm(t *testing.T) {
	for name, want := range map[string]int{"SIGTERM": 15, "TERM": 15, "term": 15, "9": 9, "SIGRTMIN": 34, "SIGRTMIN+3": 37, "RTMIN+3": 37,
		"SIGRTMAX-1": 63, "SIGRTMINPLUS3": 37, "SIGRTMAXMINUS14": 50, "": 0, "SIGNONSENSE": 0, "65": 0, "0": 0, "-1": 0, "SIGRTMIN+31": 0} {
		got, ok := signalNumber(name)
		if (want != 0) != ok || ok && got != want {
			t.Errorf("%q: %d, %v, want %d", name, got, ok, want)
		}
	}
	if got := stopSignal(runtimeapi.Signal_SIGNAL_SIGUSR1, "SIGQUIT"); got != 10 {
		t.Errorf("the pod's signal: %d, want 10", got)
	}
	if got := stopSignal(runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT, "SIGQUIT"); got != 3 {
		t.Errorf("the image's signal: %d, want 3", got)
	}
	if got := stopSignal(runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT, "nonsense"); got != 15 {
		t.Errorf("a signal that is none: %d, want 15", got)
	}
}

// A container never gets a capability that it was denied, that the machine lacks, or that nobody asked for.
func TestCapabilitiesAreNeverMoreThanAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.SampledFrom(append(knownCapabilities(), "ALL", "all", "net_admin", "CAP_chown")))
		machine := CapabilityNames(rapid.Uint64().Draw(t, "machine"))
		spec := &runtimeapi.Capability{AddCapabilities: names.Draw(t, "add"), DropCapabilities: names.Draw(t, "drop")}
		caps, err := capabilities(&runtimeapi.LinuxContainerSecurityContext{Capabilities: spec}, machine)
		if err != nil {
			t.Fatal(err)
		}
		isAll := func(c string) bool { return strings.EqualFold(c, "ALL") }
		for _, c := range caps.Bounding {
			if !slices.Contains(machine, c) {
				t.Errorf("%s: the machine lacks it", c)
			}
			named := slices.ContainsFunc(spec.AddCapabilities, func(a string) bool { return capabilityName(a) == c || isAll(a) })
			if !named && !slices.Contains(defaultCapabilities(), c) {
				t.Errorf("%s: nobody asked for it", c)
			}
			if slices.ContainsFunc(spec.DropCapabilities, func(a string) bool { return !isAll(a) && capabilityName(a) == c }) {
				t.Errorf("%s: it was dropped", c)
			}
			if slices.ContainsFunc(spec.DropCapabilities, isAll) && !named {
				t.Errorf("%s: all were dropped", c)
			}
		}
		if !slices.IsSorted(caps.Bounding) {
			t.Errorf("out of order: %v", caps.Bounding)
		}
	})
}

func TestDefaultSeccompProfileGivesPrivilegedCallsOnlyWithTheirCapability(t *testing.T) {
	allowed := func(p *specs.LinuxSeccomp, name string) bool {
		return slices.ContainsFunc(p.Syscalls, func(s specs.LinuxSyscall) bool {
			return s.Action == specs.ActAllow && len(s.Args) == 0 && slices.Contains(s.Names, name)
		})
	}
	plain, admin := defaultSeccomp(defaultCapabilities()), defaultSeccomp([]string{"CAP_SYS_ADMIN"})
	for _, name := range []string{"mount", "unshare", "setns", "bpf", "clone", "clone3"} {
		if allowed(plain, name) || !allowed(admin, name) {
			t.Errorf("%s: plain %v, with CAP_SYS_ADMIN %v", name, allowed(plain, name), allowed(admin, name))
		}
	}
	for _, name := range []string{"kexec_load", "add_key", "keyctl", "io_uring_setup", "userfaultfd", "swapon", "ptrace"} {
		if allowed(plain, name) {
			t.Errorf("%s is allowed", name)
		}
	}
	for _, name := range []string{"read", "openat", "execve", "futex", "accept4", "clock_gettime", "rseq", "exit_group"} {
		if !allowed(plain, name) {
			t.Errorf("%s is not allowed", name)
		}
	}
}

func TestHostAndPodNamespaces(t *testing.T) {
	for _, tt := range []struct {
		mode   runtimeapi.NamespaceMode
		pidNS  string
		want   string
		shared bool
	}{
		{runtimeapi.NamespaceMode_CONTAINER, "", "own", false},
		{runtimeapi.NamespaceMode_NODE, "", "none", true},
		{runtimeapi.NamespaceMode_POD, "/proc/9/ns/pid", "/proc/9/ns/pid", true},
	} {
		in := input(&runtimeapi.ContainerConfig{Command: []string{"x"}, Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: tt.mode}}}}, imagespec.ImageConfig{})
		in.Live.PIDNS = tt.pidNS
		spec, err := Spec(in)
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		for _, ns := range spec.OCI.Linux.Namespaces {
			if ns.Type == specs.PIDNamespace {
				if got = ns.Path; got == "" {
					got = "own"
				}
			}
		}
		if got != tt.want || spec.SharedPID != tt.shared {
			t.Errorf("%v: PID namespace %s, shared %v, want %s, %v", tt.mode, got, spec.SharedPID, tt.want, tt.shared)
		}
	}
}
