// Package linux runs pods on Linux: it is the podruntime.Driver of namespaces, cgroups (v1 and v2), overlayfs
// and pause processes.
//
// What is where, under Config.Root (kept over a reboot) and Config.State (a tmpfs, such as /run/sampan/x):
//
//	Root/records/<name>              the server's records
//	Root/containers/<id>/{upper,work} what a container wrote to its root
//	Root/bin/<hash>/{pause,ocirun}   the embedded helpers, written out once; a /run may be mounted noexec
//	State/pods/<id>/                 ctl (the pause process' socket), exits/<container>, resolv.conf, hosts, hostname, shm
//	State/containers/<id>/           bundle.json, process.json, rootfs (mount point)
//	State/oci/<id>/                  libcontainer's state
//
// A pause process is found again by its socket: it alone answers there. A container's overlay is mounted in
// the container's mount namespace only. So what can be left behind by a killed server are processes with a
// socket, cgroups under the instance's name, one tmpfs per pod, and folders; Sweep finds each by its name.
package linux

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

// Config says where a driver keeps things.
type Config struct {
	Root     string // data
	State    string // sockets and what does not outlive a reboot; best a tmpfs
	Instance string // names the cgroups
	Log      *slog.Logger
}

// Driver is a podruntime.Driver. Make it with [New].
type Driver struct {
	cfg    Config
	log    *slog.Logger
	cgroup *cgroups
	facts  podruntime.Facts
	pause  string // paths of the helpers
	ocirun string

	mu     sync.Mutex // guards what follows
	exited func(podruntime.Exit)
	pods   map[string]*pod
}

// New looks at the machine and writes the helpers out. It fails if they were not built in, or if the folders
// cannot be written; that pods cannot run for another reason is told by Facts.
func New(cfg Config) (*Driver, error) {
	if cfg.Root == "" || cfg.State == "" || cfg.Instance == "" {
		return nil, errors.New("podruntime/linux: Config.Root, State and Instance are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if cfg.Root, err = filepath.Abs(cfg.Root); err != nil {
		return nil, err
	}
	if cfg.State, err = filepath.Abs(cfg.State); err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, log: cfg.Log, pods: map[string]*pod{}}
	for _, dir := range []string{d.recordsDir(), d.upperDir(""), d.podDir(""), d.containerDir(""), d.ociDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("pod runtime: %w", err)
		}
	}
	if err := d.writeHelpers(); err != nil {
		return nil, err
	}
	d.cgroup, d.facts = look(cfg.Instance)
	if d.facts.Problem == "" {
		d.facts.Problem = cmp.Or(rootProblem(cfg.Root), fileSystemProblem("overlay"))
	}
	return d, nil
}

// fileSystemProblem says that the kernel has no such file system, "" if it has. A kernel that keeps it in a module
// loads it now: some modprobes fail while another one is loading the same module, so the first containers, which
// start at the same time, must find it there.
func fileSystemProblem(name string) string {
	fd, err := unix.Fsopen(name, unix.FSOPEN_CLOEXEC)
	switch {
	case err == nil:
		unix.Close(fd)
	case errors.Is(err, unix.ENODEV):
		return fmt.Sprintf("the kernel has no file system %[1]s, which containers need: load its module (modprobe %[1]s)", name)
	}
	return "" // kernels before 5.2 do not say before the mount
}

// rootProblem says why pods cannot live under a data folder, "" if they can.
func rootProblem(root string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return fmt.Sprintf("file system of %s: %v", root, err)
	}
	switch {
	case st.Type == unix.OVERLAYFS_SUPER_MAGIC:
		return root + " is on overlayfs (as in a container's own root), which cannot hold the root of a container: choose a --data-dir on a volume or on a disk"
	case st.Flags&unix.ST_NOEXEC != 0:
		return root + " is on a file system that is mounted noexec: choose a --data-dir on another one"
	}
	return ""
}

func (d *Driver) binDir() string                { return filepath.Join(d.cfg.Root, "bin") }
func (d *Driver) recordsDir() string            { return filepath.Join(d.cfg.Root, "records") }
func (d *Driver) upperDir(id string) string     { return filepath.Join(d.cfg.Root, "containers", id) }
func (d *Driver) podDir(id string) string       { return filepath.Join(d.cfg.State, "pods", id) }
func (d *Driver) containerDir(id string) string { return filepath.Join(d.cfg.State, "containers", id) }
func (d *Driver) ociDir() string                { return filepath.Join(d.cfg.State, "oci") }

// Open implements podruntime.Driver.
func (d *Driver) Open(_ context.Context, exited func(podruntime.Exit)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.exited = exited
	return nil
}

// Close lets go of the pods and leaves them running.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.exited = nil
	pods := d.pods
	d.pods = map[string]*pod{}
	d.mu.Unlock()
	for _, p := range pods {
		p.letGo()
	}
	return nil
}

// Facts implements podruntime.Driver.
func (d *Driver) Facts() podruntime.Facts { return d.facts }

func (d *Driver) tell(e podruntime.Exit) {
	d.mu.Lock()
	exited := d.exited
	d.mu.Unlock()
	if exited != nil {
		exited(e)
	}
}

// LoadRecords reads every record. A temporary file of a write that was cut off is removed.
func (d *Driver) LoadRecords() (map[string][]byte, error) {
	entries, err := os.ReadDir(d.recordsDir())
	if err != nil {
		return nil, fmt.Errorf("records: %w", err)
	}
	records := map[string][]byte{}
	for _, e := range entries {
		path := filepath.Join(d.recordsDir(), e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("records: %w", err)
			}
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("records: %w", err)
		}
		records[e.Name()] = data
	}
	return records, nil
}

// SaveRecord replaces a record in one step. It is not forced to the disk: after a power loss nothing that it
// speaks of lives, and a record that cannot be read is dropped together with what is left of its pod.
func (d *Driver) SaveRecord(name string, data []byte) error {
	return writeFile(filepath.Join(d.recordsDir(), name), data, 0o600)
}

// DeleteRecord implements podruntime.Driver.
func (d *Driver) DeleteRecord(name string) error {
	if err := os.Remove(filepath.Join(d.recordsDir(), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record: %w", err)
	}
	return nil
}

// writeFile replaces a file in one step.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// unmount takes a mount away, and whatever is mounted on it.
func unmount(path string) error {
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // EINVAL: not a mount point
	}
	return &fs.PathError{Op: "unmount", Path: path, Err: err}
}
