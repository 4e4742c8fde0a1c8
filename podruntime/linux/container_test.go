package linux_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/podruntime"
	"sampan/podruntime/podruntimetest"
)

// out runs a script in a container of its own pod and returns what it printed.
func out(t *testing.T, p *podruntimetest.Pod, script string, change ...func(*runtimeapi.ContainerConfig)) string {
	t.Helper()
	name := "c" + strconv.Itoa(len(script)) + strconv.Itoa(int(script[0]))
	st := p.RunToEnd(name, script, change...)
	var lines []string
	for _, l := range p.Log(name) {
		f := strings.SplitN(l, " ", 3)
		lines = append(lines, f[2])
	}
	if st.ExitCode != 0 {
		t.Errorf("%q exited with %d: %q %s", script, st.ExitCode, lines, st.Message)
	}
	return strings.Join(lines, "\n")
}

func security(c *runtimeapi.ContainerConfig) *runtimeapi.LinuxContainerSecurityContext {
	return c.Linux.SecurityContext
}

func TestContainerSeesWhatItsConfigurationSays(t *testing.T) {
	m := newMachine(t)
	p := m.suite().RunPod(t, func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local"}, Options: []string{"ndots:5"}}
		c.Linux.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "42"}
	})
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "f"), []byte("from the node"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, script, want string
		change             func(*runtimeapi.ContainerConfig)
	}{
		{"host name", "hostname", "pod-host", nil},
		{"resolv.conf", "cat /etc/resolv.conf", "search default.svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5", nil},
		{"sysctl of the pod", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "42", nil},
		{"first process", "echo $$", "1", nil},
		{"environment", "echo $FROM_IMAGE $MINE $HOSTNAME", "1 2 pod-host", func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "MINE", Value: []byte("2")}}
		}},
		{"working folder", "pwd", "/home/alice", func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "/home/alice" }},
		{"user by name", "id; echo $HOME", "uid=1000(alice) gid=1000(alice) groups=50(staff)\n/home/alice", func(c *runtimeapi.ContainerConfig) {
			security(c).RunAsUsername = "alice"
		}},
		{"user by number", "id -u; id -g; id -G", "1234\n77\n77 99", func(c *runtimeapi.ContainerConfig) {
			security(c).RunAsUser = &runtimeapi.Int64Value{Value: 1234}
			security(c).RunAsGroup = &runtimeapi.Int64Value{Value: 77}
			security(c).SupplementalGroups = []int64{99}
		}},
		{"mount", "cat /data/f; echo x >/data/f || echo read-only", "from the node\nread-only", func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{HostPath: data, ContainerPath: "/data", Readonly: true}}
			c.Command[2] = "cat /data/f; echo; echo x 2>/dev/null >/data/f || echo read-only"
		}},
		{"read-only root", "touch /x 2>/dev/null || echo read-only", "read-only", func(c *runtimeapi.ContainerConfig) { security(c).ReadonlyRootfs = true }},
		{"shm is a tmpfs", "grep -c 'shm /dev/shm tmpfs' /proc/mounts", "1", nil},
		{"default capabilities", "grep CapEff /proc/self/status", "CapEff:\t00000000a80425fb", nil},
		{"no capabilities", "grep CapEff /proc/self/status", "CapEff:\t0000000000000000", func(c *runtimeapi.ContainerConfig) {
			security(c).Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}}
		}},
		{"one capability", "grep CapEff /proc/self/status ", "CapEff:\t0000000000000400", func(c *runtimeapi.ContainerConfig) {
			security(c).Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}
		}},
		{"seccomp and no new privileges", "grep -e NoNewPrivs -e Seccomp: /proc/self/status", "NoNewPrivs:\t1\nSeccomp:\t2", func(c *runtimeapi.ContainerConfig) {
			security(c).NoNewPrivs = true
		}},
		{"unconfined", "grep Seccomp: /proc/self/status", "Seccomp:\t0", func(c *runtimeapi.ContainerConfig) {
			security(c).Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
		}},
		{"masked", "cat /etc/group | wc -c; touch /proc/sys/kernel/domainname 2>/dev/null || echo read-only", "0\nread-only", func(c *runtimeapi.ContainerConfig) {
			security(c).MaskedPaths, security(c).ReadonlyPaths = []string{"/etc/group"}, []string{"/proc/sys"}
		}},
		{"devices", "ls /dev | grep -c -e null -e zero -e urandom; mknod /tmp/sda b 8 0 && head -c 1 /tmp/sda 2>&1 | grep -c 'not permitted'", "3\n1", nil},
		{"privileged", "grep -c 1ffffffffff /proc/self/status; test -e /dev/kmsg && echo kmsg", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "privileged" {
				tt.want = "kmsg"
				tt.script = "test -e /dev/kmsg && echo kmsg"
				tt.change = func(c *runtimeapi.ContainerConfig) { security(c).Privileged = true }
			}
			if tt.change == nil {
				tt.change = func(*runtimeapi.ContainerConfig) {}
			}
			sub := *p
			sub.T = t
			if got := out(t, &sub, tt.script, func(c *runtimeapi.ContainerConfig) { c.Metadata.Attempt = uint32(len(tt.name)) }, tt.change); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err := os.RemoveAll(m.logs); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestMemoryLimitEndsInOOMKilled(t *testing.T) {
	m := newMachine(t)
	require(t, m.driver.Facts().Controllers["memory"], "needs the memory cgroup controller")
	st := m.suite().RunPod(t).RunToEnd("c", "exec dd if=/dev/zero of=/dev/null bs=200M count=1", func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 32 << 20, CpuShares: 100, CpuPeriod: 100000, CpuQuota: 100000, OomScoreAdj: -500}
	})
	if st.ExitCode != 137 || st.Reason != "OOMKilled" {
		t.Errorf("exit code %d, reason %q, want 137, OOMKilled", st.ExitCode, st.Reason)
	}
}

func TestStatsAndUpdateOfARunningContainer(t *testing.T) {
	m := newMachine(t)
	require(t, m.driver.Facts().Controllers["memory"], "needs the memory cgroup controller")
	s := m.suite()
	p := s.RunPod(t)
	id := p.Run("c", podruntimetest.ScriptForever, func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}
	})
	if _, err := s.CRI.UpdateContainerResources(t.Context(), &runtimeapi.UpdateContainerResourcesRequest{ContainerId: id,
		Linux: &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 128 << 20}}); err != nil {
		t.Fatal(err)
	}
	st, err := s.CRI.ContainerStats(t.Context(), &runtimeapi.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	mem := st.Stats.Memory
	if mem.UsageBytes.Value == 0 || st.Stats.Cpu.UsageCoreNanoSeconds.Value == 0 {
		t.Errorf("no usage: %v", st.Stats)
	}
	if mem.AvailableBytes == nil || mem.AvailableBytes.Value < 100<<20 {
		t.Errorf("available %v, want over 100 MiB after the update", mem.AvailableBytes)
	}
	pod, err := s.CRI.PodSandboxStats(t.Context(), &runtimeapi.PodSandboxStatsRequest{PodSandboxId: p.ID})
	if err != nil || len(pod.Stats.Linux.Containers) != 1 {
		t.Errorf("pod stats: %v, %v", pod, err)
	}
}

func TestLogKeepsLongAndUnfinishedLines(t *testing.T) {
	m := newMachine(t)
	p := m.suite().RunPod(t)
	p.RunToEnd("c", "head -c 20000 /dev/zero | tr '\\0' x; echo; printf last")
	lines := p.Log("c")
	want := []string{"stdout P " + strings.Repeat("x", 16<<10), "stdout F " + strings.Repeat("x", 20000-16<<10), "stdout F last"}
	if strings.Join(lines, "|") != strings.Join(want, "|") {
		for _, l := range lines {
			t.Errorf("line of %d bytes: %.30s", len(l), l)
		}
	}
}

func TestReopenedLogGoesOnInANewFile(t *testing.T) {
	m := newMachine(t)
	s := m.suite()
	p := s.RunPod(t)
	id := p.Run("c", "echo one; until test -e /tmp/go; do sleep 0.02; done; echo two; sleep 1000")
	exec := func(script string) {
		t.Helper()
		r, err := s.CRI.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"/bin/sh", "-c", script}})
		if err != nil || r.ExitCode != 0 {
			t.Fatal(r, err)
		}
	}
	log := filepath.Join(m.logs, "c.log")
	for written := ""; !strings.HasSuffix(written, "stdout F one\n"); {
		exec("true") // this loop's pace
		data, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		written = string(data)
	}
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CRI.ReopenContainerLog(t.Context(), &runtimeapi.ReopenContainerLogRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	ended := p.Ends()
	exec("echo >/tmp/go")
	if _, err := s.CRI.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: 0}); err != nil {
		t.Fatal(err)
	}
	ended(id)
	old, err := os.ReadFile(log + ".1")
	if err != nil || !strings.HasSuffix(string(old), "stdout F one\n") {
		t.Errorf("old log %q, %v", old, err)
	}
}

func TestExecStreamsAndExitCode(t *testing.T) {
	m := newMachine(t)
	s := m.suite()
	p := s.RunPod(t)
	id := p.Run("c", podruntimetest.ScriptForever)
	r, err := s.CRI.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"/bin/sh", "-c", "echo out; echo err >&2; exit 5"}})
	if err != nil {
		t.Fatal(err)
	}
	if string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" || r.ExitCode != 5 {
		t.Errorf("stdout %q, stderr %q, code %d", r.Stdout, r.Stderr, r.ExitCode)
	}
	if _, err := s.CRI.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"/no/such/file"}}); err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("exec of a missing file: %v", err)
	}
	if _, err := s.CRI.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Timeout: 1, Cmd: []string{"/bin/sh", "-c", "echo $$ >/tmp/pid; exec sleep 1000"}}); err == nil || !strings.Contains(err.Error(), "timed out after 1s") {
		t.Errorf("exec that takes too long: %v", err)
	}
	r, err = s.CRI.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"/bin/sh", "-c", "while kill -0 $(cat /tmp/pid) 2>/dev/null; do :; done"}, Timeout: 10})
	if err != nil || r.ExitCode != 0 {
		t.Errorf("the timed out command lives on: %v, %v", r, err)
	}
	ref := podruntime.ContainerRef{ID: id, Sandbox: p.ID}
	var echoed bytes.Buffer
	code, err := m.driver.Exec(t.Context(), ref, podruntime.ExecSpec{Args: []string{"cat"}, Streams: podruntime.Streams{Stdin: strings.NewReader("to and fro"), Stdout: &echoed}})
	if err != nil || code != 0 || echoed.String() != "to and fro" {
		t.Errorf("cat: %q, %d, %v", &echoed, code, err)
	}
	var tty bytes.Buffer
	sizes := make(chan podruntime.WindowSize, 1)
	sizes <- podruntime.WindowSize{Width: 100, Height: 40}
	code, err = m.driver.Exec(t.Context(), ref, podruntime.ExecSpec{TTY: true, Args: []string{"/bin/sh", "-c", "test -t 0 && echo terminal; exit 4"},
		Streams: podruntime.Streams{Stdin: strings.NewReader(""), Stdout: &tty, Resize: sizes}})
	if err != nil || code != 4 || tty.String() != "terminal\r\n" {
		t.Errorf("terminal: %q, %d, %v", &tty, code, err)
	}
}

func TestAttachReachesStandardInputAndOutput(t *testing.T) {
	for _, tty := range []bool{false, true} {
		t.Run("tty="+strconv.FormatBool(tty), func(t *testing.T) {
			m := newMachine(t)
			p := m.suite().RunPod(t)
			id := p.Run("c", "read x; echo got $x; exit 6", func(c *runtimeapi.ContainerConfig) { c.Stdin, c.StdinOnce, c.Tty = true, true, tty })
			ended := p.Ends()
			var got bytes.Buffer
			r, w := io.Pipe()
			go func() {
				w.Write([]byte("hello\n"))
			}()
			err := m.driver.Attach(t.Context(), podruntime.ContainerRef{ID: id, Sandbox: p.ID, TTY: tty}, podruntime.Streams{Stdin: r, Stdout: &got})
			w.Close()
			if err != nil || !strings.Contains(got.String(), "got hello") {
				t.Errorf("attached output %q, %v", &got, err)
			}
			ended(id)
			if st := p.Status(id); st.ExitCode != 6 {
				t.Errorf("exit code %d, want 6", st.ExitCode)
			}
		})
	}
}

func TestPortForwardReachesThePodsLoopback(t *testing.T) {
	m := newMachine(t)
	p := m.suite().RunPod(t)
	id := p.Run("c", "ip link set lo up; echo >/tmp/ready; nc -l -p 8080 -e cat", func(c *runtimeapi.ContainerConfig) {
		security(c).Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"NET_ADMIN"}}
	})
	if r, err := m.suite().CRI.ExecSync(t.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Timeout: 10,
		Cmd: []string{"/bin/sh", "-c", "until grep -q ':1F90 ' /proc/net/tcp /proc/net/tcp6 2>/dev/null; do :; done"}}); err != nil || r.ExitCode != 0 {
		t.Fatal(r, err)
	}
	conn, err := m.driver.DialPod(t.Context(), podruntime.SandboxSpec{ID: p.ID}, 8080)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(conn); string(got) != "ping" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := m.driver.DialPod(t.Context(), podruntime.SandboxSpec{ID: p.ID}, 9); err == nil {
		t.Error("a port that nobody listens on was dialled")
	}
}

func TestSharedAndHostNamespaces(t *testing.T) {
	m := newMachine(t)
	s := m.suite()
	pid := func(mode runtimeapi.NamespaceMode) func(*runtimeapi.ContainerConfig) {
		return func(c *runtimeapi.ContainerConfig) {
			security(c).NamespaceOptions = &runtimeapi.NamespaceOption{Pid: mode}
		}
	}
	shared := s.RunPod(t, func(c *runtimeapi.PodSandboxConfig) {
		c.Metadata.Name = "shared"
		c.Linux.SecurityContext = &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD}}
	})
	first := shared.Run("first", "exec sleep 1000", pid(runtimeapi.NamespaceMode_POD))
	if got := out(t, shared, "ps | grep -c 'sleep 1000$'; ps | grep -c 'pause'", pid(runtimeapi.NamespaceMode_POD)); !strings.HasPrefix(got, "1\n") {
		t.Errorf("the other container's processes are not seen: %q", got)
	}
	if _, err := s.CRI.StopContainer(t.Context(), &runtimeapi.StopContainerRequest{ContainerId: first, Timeout: 0}); err != nil {
		t.Fatal(err)
	}
	shared.RunToEnd("parent", "sleep 2000 & exit 0", pid(runtimeapi.NamespaceMode_POD))
	if got := out(t, shared, "ps | grep -c '[s]leep 2000' || true", pid(runtimeapi.NamespaceMode_POD)); got != "0" {
		t.Errorf("a container left %s processes behind in the shared PID namespace", got)
	}
	host := s.RunPod(t, func(c *runtimeapi.PodSandboxConfig) {
		c.Metadata.Name = "host"
		c.Linux.SecurityContext = &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: &runtimeapi.NamespaceOption{
			Network: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_NODE, Ipc: runtimeapi.NamespaceMode_NODE}}
	})
	got := out(t, host, "for n in net pid ipc uts; do readlink /proc/self/ns/$n; done", pid(runtimeapi.NamespaceMode_NODE))
	var want []string
	for _, ns := range []string{"net", "pid", "ipc", "uts"} {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, link)
	}
	if got != strings.Join(want, "\n") {
		t.Errorf("namespaces %q, want %q", got, want)
	}
}

func TestStartErrorsNameTheCause(t *testing.T) {
	m := newMachine(t)
	s := m.suite()
	p := s.RunPod(t)
	for _, tt := range []struct {
		name, want string
		change     func(*runtimeapi.ContainerConfig)
	}{
		{"command", `exec: "nosuch": executable file not found in $PATH`, func(c *runtimeapi.ContainerConfig) { c.Command = []string{"nosuch"} }},
		{"user", "unable to find user nobody", func(c *runtimeapi.ContainerConfig) { security(c).RunAsUsername = "nobody" }},
		{"mount", "no such file or directory", func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{HostPath: "/no/such/folder", ContainerPath: "/x"}}
		}},
	} {
		id := p.Create(tt.name, "true", tt.change)
		_, err := s.CRI.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if st := p.Status(id); st.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.Reason != "StartError" {
			t.Errorf("%s: state %v, reason %q", tt.name, st.State, st.Reason)
		}
	}
}

// An image may have more layers, in longer paths, than mount(2) takes on its page of options.
func TestImageOfManyLayers(t *testing.T) {
	m := newMachine(t)
	base := m.images.layer
	parent := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	for i := range 60 {
		layer := filepath.Join(parent, "layer-"+strconv.Itoa(i))
		if err := os.MkdirAll(layer, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(layer, "file"), []byte(strconv.Itoa(i)), 0o644); err != nil {
			t.Fatal(err)
		}
		m.images.more = append(m.images.more, layer)
	}
	m.images.more = append(m.images.more, base)
	if err := m.server.Close(); err != nil {
		t.Fatal(err)
	}
	m.boot()
	if got := out(t, m.suite().RunPod(t), "cat /file; echo; echo mine >/file; cat /file"); got != "0\nmine" {
		t.Errorf("got %q", got)
	}
	if data, err := os.ReadFile(filepath.Join(parent, "layer-0", "file")); err != nil || string(data) != "0" {
		t.Errorf("the layer now holds %q, %v", data, err)
	}
}
