//go:build linux && cgo

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"

	"sampan/podruntime/linux/bundle"
)

// mountRoot mounts the container's overlay in this process' mount namespace.
func mountRoot(b *bundle.Bundle) error {
	// Slave, not private: mounts that the node makes later may be wanted (mountPropagation HostToContainer),
	// but none of ours may reach the node.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separate the mounts: %w", err)
	}
	if len(b.Layers) == 0 {
		return errors.New("the image has no layers")
	}
	lower := strings.Join(b.Layers, ":")
	if len(lower) > 2000 || strings.ContainsAny(strings.Join(b.Layers, ""), `:,\`) {
		// mount(2) takes one page of options, and ":" and "," separate them: name the layers by descriptors.
		names := make([]string, len(b.Layers))
		for i, l := range b.Layers {
			f, err := os.OpenFile(l, unix.O_PATH|unix.O_DIRECTORY, 0)
			if err != nil {
				return fmt.Errorf("image layer: %w", err)
			}
			defer f.Close()
			names[i] = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		}
		lower = strings.Join(names, ":")
	}
	options := "lowerdir=" + lower + ",upperdir=" + b.Upper + ",workdir=" + b.Work
	// volatile: what a container writes to its root goes away with it, so nothing need reach the disk. Kernels
	// before 5.10 do not know it.
	err := unix.Mount("overlay", bundle.Rootfs, "overlay", 0, options+",volatile")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", bundle.Rootfs, "overlay", 0, options)
	}
	if err != nil {
		return fmt.Errorf("mount overlay of %d layers: %w", len(b.Layers), err)
	}
	return nil
}

// rootIsInitramfs reports whether this machine still runs from its first root file system, which cannot be
// pivoted away from. The last line that speaks of "/" is the one that counts.
func rootIsInitramfs() bool {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return false
	}
	first := false
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "/" {
			first = f[2] == "rootfs"
		}
	}
	return first
}

// hideControllers takes the cgroup v1 hierarchies that are not wanted out of this mount namespace, which makes
// libcontainer leave them alone: joining one costs up to milliseconds. nil keeps all, as on cgroup v2.
func hideControllers(keep []string) error {
	if keep == nil {
		return nil
	}
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		// libcontainer has looked for a v2 hierarchy beside v1 (hybrid) before main began, and joins it.
		if len(f) < 4 || f[2] != "cgroup" {
			continue
		}
		if slices.ContainsFunc(strings.Split(f[3], ","), func(o string) bool { return slices.Contains(keep, o) }) {
			continue
		}
		if err := unix.Unmount(f[1], unix.MNT_DETACH); err != nil {
			return fmt.Errorf("hide cgroup hierarchy %s: %w", f[1], err)
		}
	}
	return nil
}

// resolveUser looks the container's user up in its own /etc/passwd and /etc/group.
func resolveUser(b *bundle.Bundle, root *os.File) error {
	passwd, err := readInRoot(root, "etc/passwd")
	if err != nil {
		return err
	}
	group, err := readInRoot(root, "etc/group")
	if err != nil {
		return err
	}
	u, err := user.GetExecUser(b.User, &user.ExecUser{Home: "/"}, passwd, group)
	if err != nil {
		return err
	}
	sp := &b.OCI.Process.User
	sp.UID, sp.GID = uint32(u.Uid), uint32(u.Gid)
	var groups []uint32
	if !b.StrictGroups {
		for _, g := range u.Sgids {
			groups = append(groups, uint32(g))
		}
	}
	groups = append(groups, b.SupplementalGroups...)
	slices.Sort(groups)
	sp.AdditionalGids = slices.Compact(groups)
	return nil
}

// readInRoot reads a file of the container. Links in it cannot lead out of it. A missing file is empty.
func readInRoot(root *os.File, name string) (io.Reader, error) {
	fd, err := unix.Openat2(int(root.Fd()), name, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return bytes.NewReader(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open /%s in the container: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 8<<20))
	if err != nil {
		return nil, fmt.Errorf("read /%s in the container: %w", name, err)
	}
	return bytes.NewReader(data), nil
}
