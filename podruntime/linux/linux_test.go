package linux_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"

	"sampan/podruntime"
	"sampan/podruntime/linux"
	"sampan/podruntime/podruntimetest"
)

// images has one image, "busybox": a folder with Debian's static busybox.
type images struct {
	layer string
	more  []string // layers instead of the one
}

func (i images) Open(context.Context, string) (podruntime.Image, error) {
	layers := i.more
	if layers == nil {
		layers = []string{i.layer}
	}
	return podruntime.Image{ID: "sha256:busybox", Layers: layers, Config: imagespec.ImageConfig{
		Env: []string{"PATH=/bin", "FROM_IMAGE=1"}, Cmd: []string{"/bin/sh"}}}, nil
}

// machine is a test's runtime: folders, image, and the server of the moment.
type machine struct {
	t      testing.TB
	cfg    linux.Config
	images images
	driver *linux.Driver
	server *podruntime.Server
	logs   string
}

// require skips a test that needs what is not here, or fails it where the tests must not be skipped.
func require(t testing.TB, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("SAMPAN_E2E") == "require" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	require(t, os.Geteuid() == 0, "needs root")
	busybox, err := exec.LookPath("busybox")
	require(t, err == nil, "needs busybox (Debian: busybox-static)")
	dir := t.TempDir()
	state := filepath.Join(dir, "run")
	// As in production: on a tmpfs, if there is one.
	if shm, err := os.MkdirTemp("/dev/shm", "sampan-test-"); err == nil {
		t.Cleanup(func() { os.RemoveAll(shm) })
		state = shm
	}
	m := &machine{t: t, logs: filepath.Join(dir, "logs"), images: images{layer: filepath.Join(dir, "rootfs")},
		cfg: linux.Config{Root: filepath.Join(dir, "data"), State: state,
			Instance: "test" + filepath.Base(filepath.Dir(dir))[max(0, len(filepath.Base(filepath.Dir(dir)))-8):]}}
	makeRootfs(t, m.images.layer, busybox)
	m.boot()
	t.Cleanup(func() {
		if err := m.server.RemoveAll(context.Background(), 0); err != nil {
			t.Errorf("remove all: %v", err)
		}
		m.server.Close()
		m.checkNothingLeft()
	})
	return m
}

func makeRootfs(t testing.TB, root, busybox string) {
	t.Helper()
	for _, d := range []string{"bin", "etc", "tmp", "proc", "sys", "dev", "home/alice"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n",
		"etc/group":  "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields("sh test tr printf readlink ip cat echo ls sleep pgrep id hostname mount grep env kill stat head dd nc wc tail true false ps mknod dmesg yes ln touch") {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
}

// boot starts a server over what is there, as after a restart.
func (m *machine) boot() {
	m.t.Helper()
	d, err := linux.New(m.cfg)
	if err != nil && strings.Contains(err.Error(), "run make") {
		require(m.t, false, err.Error())
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.driver = d
	m.server, err = podruntime.New(m.t.Context(), podruntime.Config{Driver: d, Images: m.images, Instance: m.cfg.Instance,
		Log: slog.New(slog.NewTextHandler(m.t.Output(), nil))})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) suite() podruntimetest.Suite {
	return podruntimetest.Suite{CRI: m.server.Client(), Image: "busybox", Logs: m.logs}
}

// checkNothingLeft fails the test for each mount, cgroup, process or file of this machine that is left.
func (m *machine) checkNothingLeft() {
	m.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, m.cfg.State) || strings.Contains(line, m.cfg.Root) {
			m.t.Errorf("mount left: %s", line)
		}
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/sampan-" + m.cfg.Instance)
	if err != nil {
		m.t.Fatal(err)
	}
	if more, _ := filepath.Glob("/sys/fs/cgroup/sampan-" + m.cfg.Instance); len(more) > 0 {
		groups = append(groups, more...)
	}
	for _, g := range groups {
		m.t.Errorf("cgroup left: %s", g)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, c := range commands {
		data, _ := os.ReadFile(c) // it may have ended
		if strings.Contains(string(data), m.cfg.State) || strings.Contains(string(data), m.cfg.Root) {
			m.t.Errorf("process left: %s %q", c, data)
		}
	}
	for _, dir := range []string{m.cfg.Root, m.cfg.State} {
		_ = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				m.t.Errorf("file left: %s", path)
			}
			return nil
		})
	}
}

func TestConformance(t *testing.T) {
	newMachine(t).suite().Test(t)
}
