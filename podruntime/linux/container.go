package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"sampan/podruntime"
	"sampan/podruntime/linux/bundle"
)

// CreateContainer implements podruntime.Driver.
func (d *Driver) CreateContainer(_ context.Context, c podruntime.ContainerSpec) error {
	dir, upper := d.containerDir(c.ID), d.upperDir(c.ID)
	b := &bundle.Bundle{
		OCI: c.OCI, User: c.User, SupplementalGroups: c.SupplementalGroups, StrictGroups: c.StrictGroups,
		AllHostDevices: c.AllHostDevices, Layers: c.Layers,
		Upper: filepath.Join(upper, "upper"), Work: filepath.Join(upper, "work"),
		SeccompFile: c.SeccompFile, StateRoot: d.ociDir(),
		Controllers: d.cgroup.controllers(c.OCI.Linux.Resources), NoCgroup: !d.cgroup.usable,
	}
	for _, h := range c.HostDevices {
		b.HostDevices = append(b.HostDevices, bundle.HostDevice(h))
	}
	// The root's mode is what the container sees of "/".
	for path, mode := range map[string]os.FileMode{filepath.Join(dir, bundle.Rootfs): 0o755, b.Upper: 0o755, b.Work: 0o700} {
		if err := os.MkdirAll(path, mode); err != nil {
			return err
		}
	}
	if len(c.Layers) > 0 {
		// Overlayfs takes the owner and mode of "/" from the upper folder, so it gets the image's.
		if err := copyRootMode(c.Layers[0], b.Upper); err != nil {
			return err
		}
	}
	if c.LogPath != "" {
		if err := os.MkdirAll(filepath.Dir(c.LogPath), 0o755); err != nil {
			return fmt.Errorf("folder of the log: %w", err)
		}
	}
	flags := ""
	if c.TTY {
		flags += "t"
	}
	if c.Stdin {
		flags += "i"
	}
	if c.StdinOnce {
		flags += "o"
	}
	if err := os.WriteFile(filepath.Join(dir, "start"), []byte(flags+"\x00"+c.LogPath), 0o600); err != nil {
		return err
	}
	return bundle.Write(dir, b)
}

func copyRootMode(layer, upper string) error {
	info, err := os.Stat(layer)
	if err != nil {
		return fmt.Errorf("image layer: %w", err)
	}
	if err := os.Chmod(upper, info.Mode().Perm()); err != nil {
		return err
	}
	uid, gid := owner(info)
	return os.Chown(upper, uid, gid)
}

// StartContainer implements podruntime.Driver.
func (d *Driver) StartContainer(ctx context.Context, c podruntime.ContainerRef) (podruntime.Started, error) {
	dir := d.containerDir(c.ID)
	data, err := os.ReadFile(filepath.Join(dir, "start"))
	if err != nil {
		return podruntime.Started{}, err
	}
	flags, log, _ := strings.Cut(string(data), "\x00")
	answer, err := d.call(ctx, c.Sandbox, nil, "start", c.ID, dir, log, flags, d.cgroup.oomFile(c.CgroupPath), d.ocirun)
	if err != nil {
		return podruntime.Started{}, err
	}
	if len(answer) < 2 {
		return podruntime.Started{}, errors.New("start: the answer is cut off")
	}
	pid, err := strconv.Atoi(answer[0])
	if err != nil {
		return podruntime.Started{}, err
	}
	at, err := strconv.ParseInt(answer[1], 10, 64)
	if err != nil {
		return podruntime.Started{}, err
	}
	return podruntime.Started{PID: pid, At: time.Unix(0, at)}, nil
}

// SignalContainer implements podruntime.Driver.
func (d *Driver) SignalContainer(ctx context.Context, c podruntime.ContainerRef, signal int) error {
	_, err := d.call(ctx, c.Sandbox, nil, "signal", c.ID, strconv.Itoa(signal))
	return err
}

// KillContainer implements podruntime.Driver.
func (d *Driver) KillContainer(ctx context.Context, c podruntime.ContainerRef) error {
	if !d.cgroup.usable {
		// Without cgroups its first process is all that can be named; with it a PID namespace ends.
		err := d.SignalContainer(ctx, c, 9)
		if errors.Is(err, podruntime.ErrGone) {
			return nil
		}
		return err
	}
	return d.cgroup.kill(ctx, c.CgroupPath)
}

// DestroyContainer implements podruntime.Driver.
func (d *Driver) DestroyContainer(ctx context.Context, c podruntime.ContainerRef) error {
	if err := d.KillContainer(ctx, c); err != nil {
		return err
	}
	if err := d.cgroup.remove(ctx, c.CgroupPath); err != nil {
		return err
	}
	return d.removeContainerFiles(c.Sandbox, c.ID)
}

func (d *Driver) removeContainerFiles(sandbox, id string) error {
	paths := []string{d.containerDir(id), filepath.Join(d.ociDir(), id), d.upperDir(id)}
	if sandbox != "" {
		paths = append(paths, filepath.Join(d.podDir(sandbox), "exits", id))
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// UpdateContainer implements podruntime.Driver.
func (d *Driver) UpdateContainer(_ context.Context, c podruntime.ContainerRef, r *specs.LinuxResources) error {
	if !d.cgroup.usable {
		return errors.New(d.facts.CgroupReason)
	}
	return d.cgroup.set(c.CgroupPath, r)
}

// ReopenLog implements podruntime.Driver.
func (d *Driver) ReopenLog(ctx context.Context, c podruntime.ContainerRef) error {
	_, err := d.call(ctx, c.Sandbox, nil, "log", c.ID)
	return err
}

// Sweep implements podruntime.Driver.
func (d *Driver) Sweep(ctx context.Context, sandboxes, containers map[string]bool) error {
	if err := d.sweepPods(ctx, sandboxes); err != nil {
		return err
	}
	if err := d.sweepCgroups(ctx, sandboxes); err != nil {
		return err
	}
	for _, parent := range []string{d.containerDir(""), d.ociDir(), d.upperDir("")} {
		entries, err := os.ReadDir(parent)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !containers[e.Name()] {
				if err := d.removeContainerFiles("", e.Name()); err != nil {
					return err
				}
			}
		}
	}
	if sandboxes != nil {
		return nil
	}
	// Nothing is to remain: the folders and the instance's cgroup go too.
	for _, dir := range []string{d.recordsDir(), d.upperDir(""), d.podDir(""), d.containerDir(""), d.ociDir(), d.binDir()} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return d.cgroup.remove(ctx, d.cgroup.root)
}

func (d *Driver) sweepPods(ctx context.Context, keep map[string]bool) error {
	entries, err := os.ReadDir(d.podDir(""))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		if err := d.quit(ctx, e.Name()); err != nil {
			return err
		}
		if err := unmount(filepath.Join(d.podDir(e.Name()), "shm")); err != nil {
			return err
		}
		if err := os.RemoveAll(d.podDir(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// sweepCgroups removes pods' cgroups that no sandbox claims; their names end in the beginning of its ID.
func (d *Driver) sweepCgroups(ctx context.Context, keep map[string]bool) error {
	for _, name := range d.cgroup.children() {
		i := strings.LastIndexByte(name, '-')
		claimed := false
		for id := range keep {
			if i >= 0 && strings.HasPrefix(id, name[i+1:]) {
				claimed = true
			}
		}
		if claimed {
			continue
		}
		path := d.cgroup.root + "/" + name
		if err := d.cgroup.kill(ctx, path); err != nil {
			return err
		}
		if err := d.cgroup.remove(ctx, path); err != nil {
			return err
		}
	}
	return nil
}
