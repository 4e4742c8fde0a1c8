//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const etcdStore = "etcd://127.0.0.1:2379"

// etcd starts a real etcd on the node, whose data survive its end.
func (m *machine) etcd() *exec.Cmd {
	m.t.Helper()
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	cmd := exec.Command("etcd", "--data-dir", filepath.Join(filepath.Dir(m.dataDir), "etcd"),
		"--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
		"--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	log, err := cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// The thread that starts it ends, and with it, by Pdeathsig, its child; so it gets one that stays.
	hold := make(chan struct{})
	m.t.Cleanup(func() { close(hold) })
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(m.node); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
		<-hold
	}()
	if err := <-started; err != nil {
		m.t.Fatalf("etcd: %v (apt-get install etcd-server)", err)
	}
	m.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready to serve client requests") {
			go io.Copy(io.Discard, log)
			return cmd
		}
	}
	m.t.Fatal("etcd ended while it started")
	return nil
}

// stopServer ends the server and leaves the pods running.
func (m *machine) stopServer() {
	m.t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dataDir, "server.lock"))
	if err != nil {
		m.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	waitExit(m.t, pid)
}

// TestClusterMovesToEtcdAndBackWithItsPodsRunning backs a cluster up while it is written to, restores it into an
// etcd and that one into an embedded store again. The pod of the cluster runs on in the same container, and
// versions of objects only rise.
func TestClusterMovesToEtcdAndBackWithItsPodsRunning(t *testing.T) {
	m := newMachine(t)
	etcd := m.etcd()
	m.up()
	m.importBusybox()
	m.apply(`
apiVersion: v1
kind: Pod
metadata: {name: witness}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: a, image: "busybox:e2e", command: [sleep, "100000"]}
`)
	m.kubectl("wait", "--for=condition=Ready", "pod/witness", "--timeout=60s")
	get := func(what string) string {
		return m.kubectl("get", "pod", "witness", "-o", "jsonpath="+what)
	}
	container := get("{.status.containerStatuses[0].containerID}")
	version := func() int {
		n, err := strconv.Atoi(get("{.metadata.resourceVersion}"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := version()

	// Online, with writes going on.
	ctx, stop := context.WithCancel(context.Background())
	writing := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			cmd := m.command(context.Background(), "bin/kubectl", "annotate", "pod", "witness", "--overwrite", "n="+strconv.Itoa(n))
			if err := m.start(cmd); err == nil {
				_ = cmd.Wait()
			}
		}
		writing <- n
	}()
	file := filepath.Join(t.TempDir(), "cluster.backup")
	for range 3 {
		m.must("bin/sampan", "backup", file)
	}
	stop()
	if n := <-writing; n == 0 {
		t.Error("nothing was written meanwhile")
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("backup: %v, %v", info, err)
	}
	if out, err := m.try("bin/sampan", "restore", file); err == nil || !strings.Contains(out, "is running already") {
		t.Errorf("restore under a running server: %v, %s", err, out)
	}

	m.stopServer()
	m.must("bin/sampan", "restore", file, "--store", etcdStore)
	m.must("bin/sampan", "up", "--store", etcdStore)
	m.kubectl("wait", "--for=condition=Ready", "pod/witness", "--timeout=60s")
	if got := get("{.status.containerStatuses[0].containerID}"); got != container {
		t.Errorf("on etcd the pod runs in %s, not in %s", got, container)
	}
	there := version()
	if there <= before {
		t.Errorf("the version fell from %d to %d", before, there)
	}

	// A second server cannot be the same node, nor give its pods the same addresses.
	second := m.beside("data2")
	for wrong, args := range map[string][]string{
		"is run by another server":                     {"--pod-cidr", "10.245.0.0/24"},
		"gives its pods addresses of 10.244.0.0/24":    {"--node-name", "second"},
		"all servers of a cluster need the same range": {"--service-cidr", "10.97.0.0/16"},
	} {
		args = append([]string{"up", "--store", etcdStore, "--listen", "127.0.0.1:6444"}, args...)
		if out, err := second.try("bin/sampan", args...); err == nil || !strings.Contains(out, wrong) {
			t.Errorf("%v: %v, %s, want %q", args, err, out, wrong)
		}
	}

	// New work on etcd, and etcd that goes away for a moment.
	m.kubectl("run", "second", "--image=busybox:e2e", "--command", "--", "sleep", "100000")
	m.kubectl("wait", "--for=condition=Ready", "pod/second", "--timeout=60s")
	if err := etcd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = etcd.Wait()
	if out := m.kubectl("get", "--raw", "/api/v1/namespaces/default/pods?resourceVersion=0"); !strings.Contains(out, "witness") {
		t.Errorf("reads of any state while etcd is down: %s", out)
	}
	for _, args := range [][]string{{"get", "pods"}, {"create", "configmap", "x"}} {
		if out, err := m.try("bin/kubectl", args...); err == nil || !strings.Contains(out, "the store cannot be reached") {
			t.Errorf("%s while etcd is down: %v, %s", args[0], err, out)
		}
	}
	m.etcd()
	for deadline := time.Now().Add(patience); ; {
		out, err := m.try("bin/kubectl", "create", "configmap", "y")
		// A write whose answer was lost may have been made.
		if err == nil || strings.Contains(out, `configmaps "y" already exists`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("etcd is back, but writes are not: %s", out)
		}
	}

	m.must("bin/sampan", "backup", file, "--store", etcdStore)
	m.stopServer()
	if err := os.Remove(filepath.Join(m.dataDir, "store.db")); err != nil {
		t.Fatal(err)
	}
	m.must("bin/sampan", "restore", file)
	m.up()
	m.kubectl("wait", "--for=condition=Ready", "pod/witness", "pod/second", "--timeout=60s")
	m.kubectl("get", "configmap", "y")
	if got := get("{.status.containerStatuses[0].containerID}"); got != container {
		t.Errorf("back in the embedded store the pod runs in %s, not in %s", got, container)
	}
	if back := version(); back <= there {
		t.Errorf("the version fell from %d to %d", there, back)
	}
}

// TestDamagedStoreIsOneLineAndExitCodeOne: the server says which file it is and what to do.
func TestDamagedStoreIsOneLineAndExitCodeOne(t *testing.T) {
	m := newMachine(t)
	m.must("bin/sampan", "up", "--node=false")
	m.stopServer()
	store := filepath.Join(m.dataDir, "store.db")
	f, err := os.OpenFile(store, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 8192)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	cmd := m.command(context.Background(), "bin/sampan", "server", "--node=false")
	var out strings.Builder
	cmd.Stderr = &out
	if err := m.start(cmd); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, store+" is damaged") || !strings.Contains(text, "move it away") {
		t.Errorf("it says:\n%s", text)
	}
	if err := os.Remove(store); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskRefusesWritesAndRecovers fills the disk under the store: writes fail with a reason, reads go on, and
// when there is room, so do writes. Nothing that was acknowledged is lost.
func TestFullDiskRefusesWritesAndRecovers(t *testing.T) {
	m := newMachine(t)
	if err := os.MkdirAll(m.dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", m.dataDir, "tmpfs", 0, "size=56m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What still runs is found by what is in the folder.
		if out, err := m.try("bin/sampan", "down", "--grace", "1s"); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
		if err := unix.Unmount(m.dataDir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	m.must("bin/sampan", "up", "--node=false")
	ballast := filepath.Join(m.dataDir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 20<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("x", 900<<10)), 0o600); err != nil {
		t.Fatal(err)
	}
	var kept []string
	refusal := ""
	for i := 0; refusal == "" && i < 100; i++ {
		name := "kept-" + strconv.Itoa(i)
		out, err := m.try("bin/kubectl", "create", "configmap", name, "--from-file="+big)
		if err == nil {
			kept = append(kept, name)
		} else {
			refusal = out
		}
	}
	if len(kept) == 0 || !strings.Contains(refusal, "no space left for the store") || !strings.Contains(refusal, "free some space") {
		t.Fatalf("after %d writes: %q", len(kept), refusal)
	}
	if out := m.kubectl("get", "configmap", kept[len(kept)-1], "-o", "name"); !strings.Contains(out, kept[len(kept)-1]) {
		t.Errorf("read: %s", out)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	m.kubectl("create", "configmap", "room-again")
	m.stopServer()
	m.must("bin/sampan", "up", "--node=false")
	m.kubectl(append([]string{"get", "configmap", "room-again"}, kept...)...)
	m.stopServer()
}
