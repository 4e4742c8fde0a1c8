//go:build linux && cgo

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"sampan/podruntime/linux/bundle"
)

// addDevices gives the container the node's devices that it may use.
func addDevices(b *bundle.Bundle) error {
	if b.AllHostDevices {
		if err := addFolder(b.OCI.Linux, "/dev", "/dev", "rwm"); err != nil {
			return err
		}
	}
	for _, d := range b.HostDevices {
		permissions := d.Permissions
		if permissions == "" {
			permissions = "rwm"
		}
		info, err := os.Stat(d.HostPath)
		if err != nil {
			return fmt.Errorf("device: %w", err)
		}
		if info.IsDir() {
			err = addFolder(b.OCI.Linux, d.HostPath, d.ContainerPath, permissions)
		} else {
			err = addDevice(b.OCI.Linux, d.HostPath, d.ContainerPath, permissions)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ownDevices are folders and files of /dev that a container has its own of, or that mean nothing in it.
func ownDevices() []string {
	return []string{"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"}
}

func addFolder(linux *specs.Linux, folder, as, permissions string) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // unplugged meanwhile
		case err != nil:
			return fmt.Errorf("devices in %s: %w", folder, err)
		case path != folder && slices.Contains(ownDevices(), e.Name()):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.Type()&fs.ModeDevice == 0:
			return nil
		}
		rel, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		err = addDevice(linux, path, filepath.Join(as, rel), permissions)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func addDevice(linux *specs.Linux, path, as, permissions string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fmt.Errorf("device %s: %w", path, err)
	}
	kind := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		kind = "c"
	case unix.S_IFBLK:
		kind = "b"
	default:
		return fmt.Errorf("%s is not a device", path)
	}
	mode := os.FileMode(st.Mode & 0o777)
	major, minor := int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	linux.Devices = append(linux.Devices, specs.LinuxDevice{Path: as, Type: kind, Major: major, Minor: minor, FileMode: &mode, UID: &st.Uid, GID: &st.Gid})
	linux.Resources.Devices = append(linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: &major, Minor: &minor, Access: permissions})
	return nil
}
