package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	oci "github.com/opencontainers/cgroups"
	cgroupv1 "github.com/opencontainers/cgroups/fs"
	cgroupv2 "github.com/opencontainers/cgroups/fs2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroups is how this machine's cgroups are laid out.
type cgroups struct {
	v2   bool
	root string // the instance's cgroup, "/sampan-<instance>"
	// hierarchies are the mount points: by controller on v1 (several may share one), under "" on v2.
	hierarchies map[string]string
	// session is where v1 keeps a process' membership in a systemd service; a pause process must leave it,
	// or it would be stopped with the service.
	session []string
	// joined are v1 machines' other hierarchies in which libcontainer makes cgroups: a v2 one beside them.
	joined []string
	usable bool
}

// usefulControllers are those that a limit or a figure needs; a v1 container joins no others.
func usefulControllers() []string {
	return []string{"cpu", "cpuacct", "devices", "memory", "pids"}
}

// look finds out what this machine can do.
func look(instance string) (*cgroups, podruntime.Facts) {
	c := &cgroups{root: "/sampan-" + instance, hierarchies: map[string]string{}}
	f := podruntime.Facts{CgroupRoot: c.root, Controllers: map[string]bool{}, Seccomp: fileExists("/proc/sys/kernel/seccomp/actions_avail"),
		Capabilities: podruntime.CapabilityNames(capabilityMask())}
	if os.Geteuid() != 0 {
		f.Problem = "pods need root: run sampan as root (sudo)"
	}
	var st unix.Statfs_t
	if err := unix.Statfs(cgroupMount, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		c.v2, f.CgroupV2 = true, true
		c.hierarchies[""] = cgroupMount
		f.CgroupReason = c.prepareV2(f.Controllers)
	} else {
		f.CgroupReason = c.prepareV1(f.Controllers)
	}
	c.usable = f.CgroupReason == ""
	f.CgroupWritable = c.usable
	return c, f
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func capabilityMask() uint64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "CapPrm:"); ok {
			mask, _ := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return mask
		}
	}
	return 0
}

// prepareV2 makes the instance's cgroup and enables the controllers for what is below it. It returns why
// cgroups cannot be used, "" if they can.
func (c *cgroups) prepareV2(have map[string]bool) string {
	if err := os.Mkdir(cgroupMount+c.root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Sprintf("cannot make %s: %v; run as root on a machine (or in a container) with a writable %s", cgroupMount+c.root, err, cgroupMount)
	}
	if err := enable(cgroupMount); err != nil {
		if errors.Is(err, unix.EBUSY) {
			return "processes live in the topmost cgroup of this container, which cgroup v2 forbids beside limits; start sampan in a cgroup of its own"
		}
		return err.Error()
	}
	data, err := os.ReadFile(cgroupMount + c.root + "/cgroup.controllers")
	if err != nil {
		return err.Error()
	}
	for _, name := range strings.Fields(string(data)) {
		have[name] = true
	}
	if err := enable(cgroupMount + c.root); err != nil {
		return err.Error()
	}
	return ""
}

// enable gives a v2 cgroup's controllers to its children. A controller that the kernel does not hand out (cpu,
// while real-time threads run in a cgroup) is left out, and limits that need it are refused later; EBUSY, which
// says that processes are in the way of all of them, is an error.
func enable(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	control := filepath.Join(dir, "cgroup.subtree_control")
	enabled, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	var missing []string
	for _, name := range strings.Fields(string(data)) {
		if !slices.Contains(strings.Fields(string(enabled)), name) && slices.Contains([]string{"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}, name) {
			missing = append(missing, name)
		}
	}
	for _, name := range missing {
		if err := os.WriteFile(control, []byte("+"+name), 0); errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
			return fmt.Errorf("enable cgroup controller %s in %s: %w", name, dir, err)
		}
	}
	return nil
}

func (c *cgroups) prepareV1(have map[string]bool) string {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err.Error()
	}
	systemd := fileExists("/run/systemd/system")
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[1], cgroupMount) {
			continue
		}
		switch f[2] {
		case "cgroup":
			for _, option := range strings.Split(f[3], ",") {
				switch option {
				case "cpu", "cpuacct", "cpuset", "devices", "hugetlb", "memory", "pids":
					c.hierarchies[option] = f[1]
					have[option] = true
				case "name=systemd":
					if systemd {
						c.session = append(c.session, f[1])
					}
				}
			}
		case "cgroup2":
			c.joined = append(c.joined, f[1])
			if systemd {
				c.session = append(c.session, f[1])
			}
		}
	}
	if len(c.hierarchies) == 0 {
		return "no cgroup controller is mounted under " + cgroupMount
	}
	for _, name := range usefulControllers() {
		if mount, ok := c.hierarchies[name]; ok {
			if err := os.Mkdir(mount+c.root, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Sprintf("cannot make %s: %v; run as root on a machine with a writable %s", mount+c.root, err, mount)
			}
		}
	}
	if _, ok := c.hierarchies["devices"]; !ok {
		return "the devices cgroup controller is not mounted"
	}
	return ""
}

// podCgroup is where a pause process goes.
type podCgroup struct {
	dir  *os.File // v2: start it in here
	join []string // v1: put it into these
}

// makePod makes a pod's cgroup with its limits.
func (c *cgroups) makePod(path string, r *specs.LinuxResources) (podCgroup, error) {
	if !c.usable {
		return podCgroup{}, nil
	}
	if !c.v2 {
		var g podCgroup
		for _, mount := range c.session {
			dir := mount + path
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return g, err
			}
			g.join = append(g.join, dir)
		}
		return g, c.limitPod(path, r)
	}
	full := cgroupMount + path
	if err := os.MkdirAll(full+"/pause", 0o755); err != nil {
		return podCgroup{}, err
	}
	// Each level between the root and the pod must pass the controllers on.
	for dir := cgroupMount; ; {
		if err := enable(dir); err != nil {
			return podCgroup{}, err
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(full, dir), "/")
		if rest == "" {
			break
		}
		next, _, _ := strings.Cut(rest, "/")
		dir += "/" + next
	}
	if err := c.limitPod(path, r); err != nil {
		return podCgroup{}, err
	}
	dir, err := os.OpenFile(full+"/pause", unix.O_PATH|unix.O_DIRECTORY, 0)
	return podCgroup{dir: dir}, err
}

func (c *cgroups) limitPod(path string, r *specs.LinuxResources) error {
	if r == nil || r.CPU == nil && r.Memory == nil && r.Pids == nil && len(r.Unified) == 0 {
		return nil
	}
	if !c.v2 {
		for _, name := range usefulControllers() {
			if mount, ok := c.hierarchies[name]; ok {
				if err := os.MkdirAll(mount+path, 0o755); err != nil {
					return err
				}
			}
		}
	}
	if err := c.set(path, r); err != nil {
		return fmt.Errorf("limits of the pod: %w", err)
	}
	return nil
}

// set changes the limits of a cgroup that is there.
func (c *cgroups) set(path string, r *specs.LinuxResources) error {
	res := &oci.Resources{SkipDevices: true}
	if m := r.Memory; m != nil {
		if m.Limit != nil {
			res.Memory = *m.Limit
		}
		if m.Swap != nil {
			res.MemorySwap = *m.Swap
		}
	}
	if p := r.CPU; p != nil {
		if p.Shares != nil {
			res.CpuShares = *p.Shares
			if c.v2 {
				res.CpuWeight = oci.ConvertCPUSharesToCgroupV2Value(*p.Shares)
			}
		}
		if p.Quota != nil {
			res.CpuQuota = *p.Quota
		}
		if p.Period != nil {
			res.CpuPeriod = *p.Period
		}
		res.CpusetCpus, res.CpusetMems = p.Cpus, p.Mems
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		res.PidsLimit = r.Pids.Limit
	}
	cg := &oci.Cgroup{Path: path, Resources: res}
	if c.v2 {
		res.Unified = r.Unified
		m, err := cgroupv2.NewManager(cg, cgroupMount+path)
		if err != nil {
			return err
		}
		return m.Set(res)
	}
	paths := map[string]string{}
	for name, mount := range c.hierarchies {
		if fileExists(mount + path) {
			paths[name] = mount + path
		}
	}
	m, err := cgroupv1.NewManager(cg, paths)
	if err != nil {
		return err
	}
	return m.Set(res)
}

func joinCgroup(dir string, pid int) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// mounts returns each hierarchy's mount point once.
func (c *cgroups) mounts() []string {
	var all []string
	for _, m := range c.hierarchies {
		all = append(all, m)
	}
	all = slices.Concat(all, c.session, c.joined)
	slices.Sort(all)
	return slices.Compact(all)
}

// reference is the hierarchy that says which processes are in a cgroup.
func (c *cgroups) reference() string {
	if c.v2 {
		return cgroupMount
	}
	return c.hierarchies["devices"]
}

// killContainers kills every process of a pod but pause.
func (c *cgroups) killContainers(ctx context.Context, path string) error {
	if !c.usable {
		return nil
	}
	entries, err := os.ReadDir(c.reference() + path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "pause" {
			if err := c.kill(ctx, filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// kill kills every process of a cgroup and of those below it, and returns when none is left.
func (c *cgroups) kill(ctx context.Context, path string) error {
	if !c.usable {
		return nil
	}
	dir := c.reference() + path
	if c.v2 {
		// One write kills all, even those that fork meanwhile; kernels before 5.14 do not have it.
		err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		if errors.Is(err, fs.ErrNotExist) && !fileExists(dir) {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("kill cgroup %s: %w", path, err)
		}
	}
	return retry(ctx, func() (bool, error) {
		pids, err := processes(dir)
		if err != nil {
			return false, err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return false, fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		return len(pids) == 0, nil
	})
}

// processes lists those of a cgroup and of all below it. Zombies are in it until they are reaped.
func processes(dir string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		for _, f := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return err
	})
	return pids, err
}

// retryFor is how long the kernel may take to let go of killed processes.
const retryFor = 10 * time.Second

// retry calls f until it says done: the kernel has no event for "the last process of a v1 cgroup is gone".
func retry(ctx context.Context, f func() (done bool, err error)) error {
	deadline := time.Now().Add(retryFor)
	for wait := 200 * time.Microsecond; ; wait = min(2*wait, 20*time.Millisecond) {
		done, err := f()
		if done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still busy after %v", retryFor)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// remove removes a cgroup and all below it, in every hierarchy. Its processes must be dead or dying.
func (c *cgroups) remove(ctx context.Context, path string) error {
	for _, mount := range c.mounts() {
		if err := removeTree(ctx, mount+path); err != nil {
			return err
		}
	}
	return nil
}

func removeTree(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(ctx, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return retry(ctx, func() (bool, error) {
		err := unix.Rmdir(dir)
		if errors.Is(err, unix.EBUSY) {
			return false, nil // a process is not quite gone
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		return true, nil
	})
}

// children lists the instance's pods' cgroups by name.
func (c *cgroups) children() []string {
	names := map[string]bool{}
	for _, mount := range c.mounts() {
		entries, err := os.ReadDir(mount + c.root)
		if err != nil {
			continue // not there
		}
		for _, e := range entries {
			if e.IsDir() {
				names[e.Name()] = true
			}
		}
	}
	var all []string
	for n := range names {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// oomFile counts a container's OOM kills.
func (c *cgroups) oomFile(path string) string {
	switch {
	case !c.usable:
		return ""
	case c.v2:
		return cgroupMount + path + "/memory.events"
	case c.hierarchies["memory"] != "":
		return c.hierarchies["memory"] + path + "/memory.oom_control"
	}
	return ""
}

// controllers names the v1 hierarchies that a container with these limits joins; nil on v2.
func (c *cgroups) controllers(r *specs.LinuxResources) []string {
	if c.v2 {
		return nil
	}
	want := usefulControllers()
	if r.CPU != nil && (r.CPU.Cpus != "" || r.CPU.Mems != "") {
		want = append(want, "cpuset")
	}
	if len(r.HugepageLimits) > 0 {
		want = append(want, "hugetlb")
	}
	return want
}
