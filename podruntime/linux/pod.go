package linux

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

// pod is a pause process that the driver watches.
type pod struct {
	id      string
	watch   *net.UnixConn
	process *os.Process // nil if an earlier server started it
	ended   chan struct{}
}

// letGo stops watching.
func (p *pod) letGo() { p.watch.Close() }

// RunSandbox implements podruntime.Driver.
func (d *Driver) RunSandbox(ctx context.Context, s podruntime.SandboxSpec) (podruntime.Sandbox, error) {
	live, err := d.runSandbox(ctx, s)
	if err != nil {
		return live, errors.Join(err, d.DestroySandbox(context.WithoutCancel(ctx), s))
	}
	return live, nil
}

func (d *Driver) runSandbox(ctx context.Context, s podruntime.SandboxSpec) (podruntime.Sandbox, error) {
	var none podruntime.Sandbox
	dir := d.podDir(s.ID)
	if err := os.MkdirAll(filepath.Join(dir, "exits"), 0o711); err != nil {
		return none, err
	}
	if err := d.writePodFiles(dir, s); err != nil {
		return none, err
	}
	group, err := d.cgroup.makePod(s.CgroupPath, s.Resources)
	if err != nil {
		return none, err
	}
	process, err := d.startPause(dir, s, group)
	if err != nil {
		return none, err
	}
	live, err := d.connect(ctx, s, process, nil)
	if err != nil {
		// It is our child and nobody watches it: end it here.
		_ = process.Kill()
		_, _ = process.Wait()
		return none, err
	}
	return live, nil
}

func (d *Driver) writePodFiles(dir string, s podruntime.SandboxSpec) error {
	resolv := []byte(s.ResolvConf)
	if s.ResolvConf == "" {
		var err error
		if resolv, err = os.ReadFile("/etc/resolv.conf"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	hostname := s.Hostname
	if hostname == "" {
		hostname, _ = os.Hostname() // without one the file is empty, as /etc/hostname may be
	}
	for name, data := range map[string][]byte{"resolv.conf": resolv, "hosts": []byte(s.Hosts), "hostname": []byte(hostname + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	if s.HostIPC {
		return nil
	}
	shm := filepath.Join(dir, "shm")
	if err := os.MkdirAll(shm, 0o1777); err != nil {
		return err
	}
	options := fmt.Sprintf("mode=1777,size=%d", s.ShmBytes)
	if err := unix.Mount("shm", shm, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount the pod's /dev/shm: %w", err)
	}
	return nil
}

// startPause starts the pause process in new namespaces. It is in a session of its own, so that nothing that
// ends the server's ends it.
func (d *Driver) startPause(dir string, s podruntime.SandboxSpec, group podCgroup) (*os.Process, error) {
	listener, err := listen(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer listener.Close()
	cmd := exec.Command(d.pause, filepath.Join(dir, "exits"), s.Hostname)
	for name, value := range s.Sysctls {
		cmd.Args = append(cmd.Args, name+"="+value)
	}
	slices.Sort(cmd.Args[3:])
	cmd.Args[0] = "pause"
	cmd.Dir = "/"
	// A small heap that is collected often; one thread runs at a time.
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=50", "GODEBUG=madvdontneed=1"}
	cmd.ExtraFiles = []*os.File{listener}
	attr := &unix.SysProcAttr{Setsid: true}
	if !s.HostNetwork {
		attr.Cloneflags |= unix.CLONE_NEWNET | unix.CLONE_NEWUTS
	}
	if !s.HostIPC {
		attr.Cloneflags |= unix.CLONE_NEWIPC
	}
	if group.dir != nil {
		defer group.dir.Close()
		attr.UseCgroupFD, attr.CgroupFD = true, int(group.dir.Fd())
	}
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the pause process: %w", err)
	}
	for _, g := range group.join {
		if err := joinCgroup(g, cmd.Process.Pid); err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return nil, fmt.Errorf("put the pause process in its cgroup: %w", err)
		}
	}
	return cmd.Process, nil
}

// connect asks a pause process who it is and watches it. Containers of the list that do not run are reported.
func (d *Driver) connect(ctx context.Context, s podruntime.SandboxSpec, process *os.Process, containers []string) (podruntime.Sandbox, error) {
	var none podruntime.Sandbox
	hello, err := d.call(ctx, s.ID, nil, "hello")
	if err != nil {
		return none, err
	}
	pid, err := strconv.Atoi(hello[0])
	if err != nil {
		return none, fmt.Errorf("pause process of pod %s: %w", s.ID, err)
	}
	live, err := d.describe(s, pid)
	if err != nil {
		return none, err
	}
	if s.SharePID {
		init, err := d.call(ctx, s.ID, nil, "sharepid", d.pause)
		if err != nil {
			return none, err
		}
		live.PIDNS = "/proc/" + init[0] + "/ns/pid"
	}
	c, err := d.dial(s.ID)
	if err != nil {
		return none, err
	}
	running, err := ask(ctx, c, nil, "watch")
	if err != nil {
		c.Close()
		return none, err
	}
	p := &pod{id: s.ID, watch: c, process: process, ended: make(chan struct{})}
	d.mu.Lock()
	d.pods[s.ID] = p
	d.mu.Unlock()
	for _, id := range containers {
		if !slices.Contains(running[1:], id) {
			d.tell(d.exitOf(s.ID, id))
		}
	}
	go d.follow(p)
	return live, nil
}

func (d *Driver) describe(s podruntime.SandboxSpec, pid int) (podruntime.Sandbox, error) {
	start, err := startTime(pid)
	if err != nil {
		return podruntime.Sandbox{}, fmt.Errorf("pause process of pod %s: %w", s.ID, err)
	}
	dir := d.podDir(s.ID)
	live := podruntime.Sandbox{PausePID: pid, StartTime: start, ResolvConf: filepath.Join(dir, "resolv.conf"), Hosts: filepath.Join(dir, "hosts")}
	ns := fmt.Sprintf("/proc/%d/ns/", pid)
	if !s.HostNetwork {
		live.NetNS, live.UTSNS = ns+"net", ns+"uts"
	}
	live.Hostname = filepath.Join(dir, "hostname")
	if s.HostIPC {
		live.Shm = "/dev/shm"
	} else {
		live.IPCNS, live.Shm = ns+"ipc", filepath.Join(dir, "shm")
	}
	return live, nil
}

// startTime is field 22 of /proc/PID/stat. The second field is a name in brackets that may hold anything.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	if i := strings.LastIndex(string(data), ") "); i >= 0 {
		rest = string(data)[i+2:]
	}
	f := strings.Fields(rest)
	if len(f) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	return strconv.ParseUint(f[19], 10, 64)
}

// follow passes on what a pause process tells, until it ends or the driver lets go of it.
func (d *Driver) follow(p *pod) {
	defer close(p.ended)
	for {
		m, err := receive(p.watch)
		if err != nil {
			p.watch.Close()
			d.mu.Lock()
			mine := d.pods[p.id] == p
			if mine {
				delete(d.pods, p.id)
			}
			d.mu.Unlock()
			if !mine {
				return // let go of
			}
			if p.process != nil {
				_, _ = p.process.Wait() // its socket is closed, so it has ended: this only takes the zombie away
			}
			d.tell(podruntime.Exit{Sandbox: p.id, At: time.Now()})
			return
		}
		if m[0] != "exit" || len(m) < 5 {
			continue
		}
		e, err := parseExit(p.id, m[1], m[2:])
		if err != nil {
			d.log.Error("the pause process told something unreadable", "sandbox", p.id, "error", err)
			continue
		}
		d.tell(e)
	}
}

// AdoptSandbox implements podruntime.Driver.
func (d *Driver) AdoptSandbox(ctx context.Context, s podruntime.SandboxSpec, containers []string) (podruntime.Sandbox, error) {
	return d.connect(ctx, s, nil, containers)
}

// exitOf reads the recorded end of a container.
func (d *Driver) exitOf(sandbox, container string) podruntime.Exit {
	data, err := os.ReadFile(filepath.Join(d.podDir(sandbox), "exits", container))
	if err == nil {
		if e, err := parseExit(sandbox, container, strings.Fields(string(data))); err == nil {
			return e
		}
	}
	return podruntime.Exit{Sandbox: sandbox, Container: container, Code: 255, At: time.Now(), Unknown: true}
}

// LostExits implements podruntime.Driver.
func (d *Driver) LostExits(sandbox string, containers []string) []podruntime.Exit {
	var out []podruntime.Exit
	for _, id := range containers {
		if e := d.exitOf(sandbox, id); !e.Unknown {
			out = append(out, e)
		}
	}
	return out
}

// KillSandbox implements podruntime.Driver. The containers die before pause, so that pause can record how.
func (d *Driver) KillSandbox(ctx context.Context, s podruntime.SandboxSpec) error {
	if err := d.cgroup.killContainers(ctx, s.CgroupPath); err != nil {
		return fmt.Errorf("kill the containers of pod %s: %w", s.ID, err)
	}
	if err := d.quit(ctx, s.ID); err != nil {
		return err
	}
	if err := d.cgroup.remove(ctx, s.CgroupPath); err != nil {
		return fmt.Errorf("remove the cgroup of pod %s: %w", s.ID, err)
	}
	return unmount(filepath.Join(d.podDir(s.ID), "shm"))
}

// quitPatience is how long a pause process may take to end when it is asked to, before it is killed.
const quitPatience = 2 * time.Second

// quit ends a pod's pause process and returns when it is gone.
func (d *Driver) quit(ctx context.Context, id string) error {
	c, err := d.dial(id)
	if errors.Is(err, podruntime.ErrGone) {
		return d.gone(ctx, id)
	}
	if err != nil {
		return err
	}
	defer c.Close()
	patience, cancel := context.WithTimeout(ctx, quitPatience)
	defer cancel()
	_, err = ask(patience, c, nil, "quit")
	if patience.Err() != nil && ctx.Err() == nil {
		// It is stopped or stuck. The kernel knows who listens here.
		if err := d.killPause(id); err != nil {
			return fmt.Errorf("end the pause process of pod %s: %w", id, err)
		}
	} else if !errors.Is(err, podruntime.ErrGone) {
		return fmt.Errorf("end the pause process of pod %s: %w", id, err)
	}
	return d.gone(ctx, id)
}

// gone waits until the driver has taken note that a pause process ended.
func (d *Driver) gone(ctx context.Context, id string) error {
	d.mu.Lock()
	p := d.pods[id]
	d.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killPause kills the process that was started with this pod's folder as its argument.
func (d *Driver) killPause(id string) error {
	want := filepath.Join(d.podDir(id), "exits")
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		// The command line is read while the descriptor holds the process, so that it is this one's.
		cmdline, err := os.ReadFile(path.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.HasPrefix(string(cmdline), "pause\x00"+want+"\x00") {
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		} else {
			err = nil
		}
		unix.Close(fd)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// DestroySandbox implements podruntime.Driver.
func (d *Driver) DestroySandbox(ctx context.Context, s podruntime.SandboxSpec) error {
	if err := d.KillSandbox(ctx, s); err != nil {
		return err
	}
	return os.RemoveAll(d.podDir(s.ID))
}
