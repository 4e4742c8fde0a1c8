package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	pathrs "github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
)

// SubPath binds a path within a volume to a place of its own and returns that place, for the nth mount of a
// container. Whatever symbolic links the volume holds, the path is resolved as if the volume were the root of the
// file system, so it cannot lead out. A missing path is made as a directory.
//
// The bind, not the path, is what the container mounts: somebody who exchanges a directory for a link afterwards
// changes nothing.
func (m *Manager) SubPath(uid types.UID, volume, container string, n int, root, sub string) (string, error) {
	handle, err := pathrs.OpenInRoot(root, sub)
	if errors.Is(err, os.ErrNotExist) {
		if err = pathrs.MkdirAll(root, sub, 0o750); err == nil {
			handle, err = pathrs.OpenInRoot(root, sub)
		}
	}
	if err != nil {
		return "", fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", volume, container, err)
	}
	defer func() { _ = handle.Close() }() // an O_PATH handle
	st, err := handle.Stat()
	if err != nil {
		return "", fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", volume, container, err)
	}
	target := m.subPathDir(uid, volume, container, n)
	if err := bindTarget(target, st.IsDir()); err != nil {
		return "", err
	}
	source := filepath.Join("/proc/self/fd", strconv.Itoa(int(handle.Fd())))
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("failed to bind subPath for volumeMount %q of container %q: %w", volume, container, err)
	}
	return target, nil
}

// bindTarget makes the empty directory or file that is mounted over, without the bind of an earlier instance.
func bindTarget(target string, isDir bool) error {
	if err := unmountBelow(target); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return fmt.Errorf("make subPath directory: %w", err)
	}
	if err := os.Remove(target); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove earlier subPath: %w", err)
	}
	if isDir {
		if err := os.Mkdir(target, 0o750); err != nil {
			return fmt.Errorf("make subPath directory: %w", err)
		}
		return nil
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o640)
	if err != nil {
		return fmt.Errorf("make subPath file: %w", err)
	}
	return f.Close()
}
