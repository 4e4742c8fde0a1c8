package volume

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// tmpfs mounts a file system in memory on dir, unless there is one. size 0 means the
// kernel's default; its root belongs to the group, if there is one.
func tmpfs(dir string, size int64, mode os.FileMode, gid *int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at volume directory: %w", err)
	}
	if mounted, err := isMountPoint(dir); err != nil {
		return err
	} else if mounted && int64(st.Type) == unix.TMPFS_MAGIC {
		return nil
	}
	options := "mode=" + strconv.FormatUint(uint64(mode), 8)
	if gid != nil {
		options = "mode=2" + strconv.FormatUint(uint64(mode), 8) + ",gid=" + strconv.FormatInt(*gid, 10)
	}
	if size > 0 {
		options += ",size=" + strconv.FormatInt(size, 10)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	return nil
}

// isMountPoint tells by the device numbers, which is enough for a file system of its own.
func isMountPoint(dir string) (bool, error) {
	var self, parent unix.Stat_t
	if err := unix.Lstat(dir, &self); err != nil {
		return false, fmt.Errorf("look at volume directory: %w", err)
	}
	if err := unix.Lstat(filepath.Dir(dir), &parent); err != nil {
		return false, fmt.Errorf("look at volume directory: %w", err)
	}
	return self.Dev != parent.Dev, nil
}

// unmountBelow unmounts everything at and below dir, the innermost first.
func unmountBelow(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil || len(points) == 0 {
		return err
	}
	for _, p := range slices.Backward(points) {
		err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EBUSY) {
			err = unix.Unmount(p, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmount %s: %w", p, err)
		}
	}
	points, err = mountsBelow(dir)
	if err == nil && len(points) > 0 {
		err = fmt.Errorf("unmount %s: still mounted", points[0])
	}
	return err
}

// mountsBelow returns the mount points at and below dir in the order in which they were mounted.
func mountsBelow(dir string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer func() { _ = f.Close() }() // read only
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	var points []string
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 64<<10), 1<<20)
	for sc.Scan() {
		fields := strings.SplitN(sc.Text(), " ", 6)
		if len(fields) < 6 {
			continue
		}
		p := unescape(fields[4])
		if p == dir || strings.HasPrefix(p, dir+"/") {
			points = append(points, p)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return points, nil
}

// unescape undoes the kernel's octal escapes of blanks in mountinfo.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// giveTree hands all files of a claim to a group.
func giveTree(root string, gid int64, onMismatch bool) error {
	if onMismatch {
		if st, err := os.Stat(root); err == nil {
			sys, ok := st.Sys().(*syscall.Stat_t)
			if ok && int64(sys.Gid) == gid && st.Mode()&os.ModeSetgid != 0 && st.Mode().Perm()&0o070 == 0o070 {
				return nil
			}
		}
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("set fsGroup of volume: %w", err)
		}
		if err := os.Lchown(path, -1, int(gid)); err != nil {
			return fmt.Errorf("set fsGroup of volume: %w", err)
		}
		if d.Type()&os.ModeSymlink != 0 {
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return fmt.Errorf("set fsGroup of volume: %w", err)
		}
		mode := st.Mode() | 0o060
		if d.IsDir() {
			mode |= 0o110 | os.ModeSetgid
		}
		if mode == st.Mode() {
			return nil
		}
		if err := os.Chmod(path, mode); err != nil {
			return fmt.Errorf("set fsGroup of volume: %w", err)
		}
		return nil
	})
}
