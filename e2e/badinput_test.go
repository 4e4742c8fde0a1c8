//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netns"
)

func TestServerThatIsNotRootSaysWhatIsMissing(t *testing.T) {
	m := newMachine(t)
	public, err := os.MkdirTemp("/tmp", "sampan-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(public) })
	if err := os.Chown(public, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(public, "sampan")
	copyFile(t, filepath.Join(root, "bin/sampan"), binary)
	cmd := m.command(context.Background(), "bin/sampan", "server")
	cmd.Path, cmd.Args = binary, []string{binary, "server", "--data-dir", filepath.Join(public, "data")}
	cmd.Dir = public
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var out bytes.Buffer
	cmd.Stderr = &out
	err = cmd.Run()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("server as nobody: %v, want exit code 1\n%s", err, out.String())
	}
	if s := out.String(); !strings.Contains(s, "root") || !strings.Contains(s, "sudo") || strings.Count(s, "\n") != 1 {
		t.Errorf("server as nobody says %q, want one line that names root and the fix", s)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestServerWhosePortIsTakenSaysSo(t *testing.T) {
	m := newMachine(t)
	var listener net.Listener
	m.inThread(func() error {
		if err := netns.Set(m.node); err != nil {
			return err
		}
		var err error
		listener, err = net.Listen("tcp", "127.0.0.1:6443")
		return err
	})
	defer listener.Close()
	out, err := m.try("bin/sampan", "server")
	if err == nil || !strings.Contains(out, "127.0.0.1:6443") || !strings.Contains(out, "--listen") {
		t.Errorf("server on a taken port: %v, says %q; want the port and the fix", err, out)
	}
	out, err = m.try("bin/sampan", "up")
	if err == nil || !strings.Contains(out, "127.0.0.1:6443") {
		t.Errorf("up on a taken port: %v, says %q", err, out)
	}
}

func TestWrongUsageEndsWithCode2(t *testing.T) {
	m := newMachine(t)
	for _, args := range [][]string{
		{"server", "--pod-cidr", "10.0.0.1/8"},
		{"server", "--listen", "nowhere"},
		{"server", "--no-such-flag"},
		{"no-such-command"},
		{"server", "--service-cidr", "10.244.0.0/16"},
	} {
		cmd := m.command(context.Background(), "bin/sampan", args...)
		var out bytes.Buffer
		cmd.Stderr = &out
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 2 || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("sampan %s: exit code %d, says %q; want 2 and one line", strings.Join(args, " "), code, out.String())
		}
	}
}

func TestSecondUpChangesNothing(t *testing.T) {
	m := newMachine(t)
	m.up()
	if out := m.up(); !strings.Contains(out, "running already") {
		t.Errorf("the second up says %q", out)
	}
	out, err := m.try("bin/sampan", "server")
	if err == nil || !strings.Contains(out, "running already") {
		t.Errorf("a second server on the data directory: %v, says %q", err, out)
	}
}

func TestUpWaitsForWhatItApplies(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"one.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: one}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {terminationGracePeriodSeconds: 1, containers: [{name: a, image: \"busybox:e2e\", command: [sleep, \"1000\"]}]}}}\n",
		"bad.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad}\nspec: {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out := m.must("bin/sampan", "up", "-f", filepath.Join(dir, "one.yaml")); !strings.Contains(out, `deployment "one" successfully rolled out`) {
		t.Errorf("up -f did not wait:\n%s", out)
	}
	if ready := m.kubectl("get", "deployment", "one", "-o", "jsonpath={.status.readyReplicas}"); ready != "1" {
		t.Errorf("%s replicas are ready after up -f", ready)
	}
	if out, err := m.try("bin/sampan", "up", "-f", filepath.Join(dir, "bad.yaml")); err == nil || !strings.Contains(out, "bad.yaml") {
		t.Errorf("up -f of a bad manifest: %v\n%s", err, out)
	}
}

func TestBadManifestsAreRefusedWithTheReason(t *testing.T) {
	m := newMachine(t)
	m.up()
	for name, c := range map[string]struct{ manifest, says string }{
		"malformed YAML": {"apiVersion: v1\nkind: Pod\n  metadata: [", "error"},
		"unknown kind":   {"apiVersion: v1\nkind: Podd\nmetadata: {name: a}\n", `no matches for kind "Podd" in version "v1"`},
		"unknown field": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a, imagee: b}]}\n",
			`unknown field "spec.containers[0].imagee"`,
		},
		"invalid name": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: No_Good}\n", "a lowercase RFC 1123 subdomain"},
		"selector that does not match": {
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: a, image: a}]}}}\n",
			"`selector` does not match template `labels`",
		},
		"missing namespace": {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: nowhere}\n", `namespaces "nowhere" not found`},
	} {
		file := filepath.Join(t.TempDir(), "manifest.yaml")
		if err := os.WriteFile(file, []byte(c.manifest), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := m.try("bin/kubectl", "apply", "-f", file)
		if err == nil || !strings.Contains(out, c.says) {
			t.Errorf("%s: %v, says %q, want %q", name, err, out, c.says)
		}
	}
}

func TestImageThatIsNotThereIsReportedAndPickedUpWhenItComes(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.apply(`
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  containers:
    - {name: a, image: "busybox:e2e", imagePullPolicy: Never, command: [sleep, "1000"]}
`)
	m.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull", "pod/a", "--timeout=60s")
	if out := m.kubectl("describe", "pod", "a"); !strings.Contains(out, "busybox:e2e") || !strings.Contains(out, "ErrImageNeverPull") {
		t.Errorf("describe does not name the image and the reason:\n%s", out)
	}
	m.importBusybox()
	m.kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=60s")
}
