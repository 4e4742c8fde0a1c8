package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unpacker writes the entries of one layer's tar into a directory, in the form of an overlayfs lowerdir.
//
// The tar comes from a stranger. Every path is walked by the kernel with the directory as its root
// (openat2 with RESOLVE_IN_ROOT, which also holds for symbolic links), and the last step never follows a
// link; so nothing outside the directory is reached, whatever the names and links say.
type unpacker struct {
	root int  // file descriptor of the directory
	priv bool // this process is root: keep owners, make devices and marks

	parent     int // O_PATH descriptor of the directory parentName, or -1
	parentName string
	dirTimes   []dirTime
	whiteouts  map[string]bool // names that this layer hides
	buffer     []byte
	layerFile
}

// dirTime is set at the end, since every entry made in a directory changes its time.
type dirTime struct {
	name string
	time time.Time
}

const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	auxPrefix      = ".wh..wh." // bookkeeping of aufs, which means nothing here
	xattrRecord    = "SCHILY.xattr."
	overlayOpaque  = "trusted.overlay.opaque"
)

// unpack reads a tar to its end and writes it into dir, which must be empty.
func unpack(ctx context.Context, r io.Reader, dir string, priv bool) (layerFile, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return layerFile{}, fmt.Errorf("open %s: %w", dir, err)
	}
	u := &unpacker{root: root, priv: priv, parent: -1, whiteouts: make(map[string]bool), buffer: make([]byte, 256<<10)}
	defer u.close()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return layerFile{}, fmt.Errorf("read layer: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return layerFile{}, err
		}
		if err := u.entry(h, tr); err != nil {
			return layerFile{}, fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
	// Whatever follows the end of the archive belongs to the digest too.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return layerFile{}, fmt.Errorf("read layer: %w", err)
	}
	return u.layerFile, u.finish()
}

func (u *unpacker) close() {
	unix.Close(u.root)
	if u.parent >= 0 {
		unix.Close(u.parent)
	}
}

// entry writes one entry.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	default:
		return fmt.Errorf("unknown type of entry %q", string(h.Typeflag))
	}
	name, err := inside(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return errors.New("the root of a layer must be a directory")
		}
		return u.attributes(u.root, ".", name, h)
	}
	dir, base := path.Dir(name), path.Base(name)
	if err := u.enter(dir); err != nil {
		return err
	}
	if strings.HasPrefix(base, whiteoutPrefix) {
		return u.whiteout(dir, base)
	}
	hidden, err := u.unhide(base, name)
	if err != nil {
		return err
	}
	u.Inodes++
	if h.Typeflag == tar.TypeDir {
		if err := u.directory(base); err != nil {
			return err
		}
		if hidden {
			if err := u.setOpaque(base); err != nil {
				return err
			}
		}
		return u.attributes(u.parent, base, name, h)
	}
	if err := u.clear(base); err != nil {
		return err
	}
	if err := u.create(base, h, content); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		return nil // its attributes are those of its target
	}
	return u.attributes(u.parent, base, name, h)
}

// inside cleans an entry's name. An absolute name counts from the root of the layer, as everywhere; one that
// climbs out of it is refused.
func inside(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", errors.New("name with a zero byte")
	}
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", errors.New("it lies outside of the layer")
	}
	return clean, nil
}

// enter makes dir the parent of what comes next, and makes it and those above it if the layer has no entry
// for them.
func (u *unpacker) enter(dir string) error {
	if u.parent >= 0 && u.parentName == dir {
		return nil
	}
	fd, err := u.resolve(dir, unix.O_PATH|unix.O_DIRECTORY)
	if (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)) && dir != "." {
		if err := u.makeMissing(dir); err != nil {
			return err
		}
		fd, err = u.resolve(dir, unix.O_PATH|unix.O_DIRECTORY)
	}
	if err != nil {
		return fmt.Errorf("open directory %s: %w", dir, err)
	}
	if u.parent >= 0 {
		unix.Close(u.parent)
	}
	u.parent, u.parentName = fd, dir
	return nil
}

// makeMissing makes a directory that the layer has no entry for.
func (u *unpacker) makeMissing(dir string) error {
	if err := u.enter(path.Dir(dir)); err != nil {
		return err
	}
	base := path.Base(dir)
	hidden, err := u.unhide(base, dir)
	if err != nil {
		return err
	}
	if err := unix.Mkdirat(u.parent, base, 0o755); err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	u.Inodes++
	if hidden {
		return u.setOpaque(base)
	}
	return nil
}

// resolve opens a path as a process would whose root is the layer.
func (u *unpacker) resolve(name string, flags uint64) (int, error) {
	return unix.Openat2(u.root, name, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// whiteout writes overlayfs' mark for a name that the layer hides.
func (u *unpacker) whiteout(dir, base string) error {
	if base == opaqueMarker {
		return u.setOpaque(".")
	}
	if strings.HasPrefix(base, auxPrefix) {
		return nil
	}
	base = strings.TrimPrefix(base, whiteoutPrefix)
	if base == "" || base == "." || base == ".." {
		return errors.New("whiteout without a name")
	}
	if !u.priv {
		return errors.New("making a whiteout needs root")
	}
	switch kind, err := u.kind(base); {
	case err == nil && kind == unix.S_IFDIR:
		// The layer has a directory of this name already: hide only what is below it.
		return u.setOpaque(base)
	case err == nil:
		return nil
	case !errors.Is(err, unix.ENOENT):
		return err
	}
	if err := unix.Mknodat(u.parent, base, unix.S_IFCHR, 0); err != nil {
		return fmt.Errorf("make whiteout: %w", err)
	}
	u.whiteouts[path.Join(dir, base)] = true
	u.Inodes++
	return nil
}

// unhide removes the mark of a name that the layer hides and now replaces. If hidden is true, a directory in
// its place must be made opaque, or the hidden one would show through.
func (u *unpacker) unhide(base, name string) (hidden bool, err error) {
	if !u.whiteouts[name] {
		return false, nil
	}
	delete(u.whiteouts, name)
	u.Inodes--
	return true, unix.Unlinkat(u.parent, base, 0)
}

func (u *unpacker) setOpaque(base string) error {
	if !u.priv {
		return errors.New("hiding a directory of a lower layer needs root")
	}
	if err := unix.Lsetxattr(procPath(u.parent, base), overlayOpaque, []byte("y"), 0); err != nil {
		return fmt.Errorf("mark the directory opaque: %w", err)
	}
	return nil
}

// procPath names an entry of an open directory for calls that have no *at form.
func procPath(dir int, base string) string { return "/proc/self/fd/" + strconv.Itoa(dir) + "/" + base }

// kind returns the type of an entry of the parent, without following a link.
func (u *unpacker) kind(base string) (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstatat(u.parent, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st.Mode & unix.S_IFMT, err
}

// directory makes a directory, or keeps the one that is there.
func (u *unpacker) directory(base string) error {
	err := unix.Mkdirat(u.parent, base, 0o700)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	kind, err := u.kind(base)
	if err != nil || kind == unix.S_IFDIR {
		return err
	}
	if err := unix.Unlinkat(u.parent, base, 0); err != nil {
		return err
	}
	return unix.Mkdirat(u.parent, base, 0o700)
}

// clear removes what a later entry of the same name replaces.
func (u *unpacker) clear(base string) error {
	err := unix.Unlinkat(u.parent, base, 0)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EISDIR):
		return os.RemoveAll(procPath(u.parent, base)) // follows no links below it
	}
	return err
}

// create makes everything that is not a directory. The name is free.
func (u *unpacker) create(base string, h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeReg:
		return u.regular(base, h.Size, content)
	case tar.TypeSymlink:
		return unix.Symlinkat(h.Linkname, u.parent, base)
	case tar.TypeLink:
		return u.link(base, h.Linkname)
	case tar.TypeFifo:
		return unix.Mknodat(u.parent, base, unix.S_IFIFO|0o600, 0)
	}
	if !u.priv {
		return errors.New("making a device needs root")
	}
	kind := uint32(unix.S_IFCHR)
	if h.Typeflag == tar.TypeBlock {
		kind = unix.S_IFBLK
	}
	dev := unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
	if kind == unix.S_IFCHR && dev == 0 {
		return errors.New("device 0:0 is overlayfs' mark for a hidden file")
	}
	return unix.Mknodat(u.parent, base, kind|0o600, int(dev))
}

func (u *unpacker) regular(base string, size int64, content io.Reader) error {
	fd, err := unix.Openat(u.parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	// Plain types, so that the copy uses the one buffer.
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{content}, u.buffer)
	u.Size += n
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("it has %d bytes of %d", n, size)
	}
	return nil
}

// link makes a hard link. Its target is named from the root of the layer.
func (u *unpacker) link(base, target string) error {
	name, err := inside(target)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	dir, err := u.resolve(path.Dir(name), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	defer unix.Close(dir)
	if err := unix.Linkat(dir, path.Base(name), u.parent, base, 0); err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	return nil
}

// attributes sets owner, mode, extended attributes and times, in this order: changing the owner clears setuid
// and capabilities.
func (u *unpacker) attributes(dir int, base, name string, h *tar.Header) error {
	if u.priv {
		if err := unix.Fchownat(dir, base, h.Uid, h.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("set owner %d:%d: %w", h.Uid, h.Gid, err)
		}
	}
	if h.Typeflag != tar.TypeSymlink {
		// The last element is no link: it was just made or checked. Hence the call without a "no follow".
		if err := unix.Fchmodat(dir, base, modeBits(h), 0); err != nil {
			return fmt.Errorf("set mode: %w", err)
		}
	}
	for record, value := range h.PAXRecords {
		if err := u.xattr(dir, base, record, value); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeDir {
		u.dirTimes = append(u.dirTimes, dirTime{name, h.ModTime})
		return nil
	}
	return setTime(dir, base, h.ModTime)
}

// modeBits returns permissions with setuid, setgid and sticky, as chmod wants them.
func modeBits(h *tar.Header) uint32 {
	mode := h.FileInfo().Mode()
	bits := uint32(mode.Perm())
	if mode&fs.ModeSetuid != 0 {
		bits |= unix.S_ISUID
	}
	if mode&fs.ModeSetgid != 0 {
		bits |= unix.S_ISGID
	}
	if mode&fs.ModeSticky != 0 {
		bits |= unix.S_ISVTX
	}
	return bits
}

func (u *unpacker) xattr(dir int, base, record, value string) error {
	name, ok := strings.CutPrefix(record, xattrRecord)
	if !ok || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
		return nil // overlayfs' marks are ours to set
	}
	if !u.priv && !strings.HasPrefix(name, "user.") {
		return nil
	}
	err := unix.Lsetxattr(procPath(dir, base), name, []byte(value), 0)
	// A file system may lack a class of attributes (user.* on links, security.selinux without SELinux). Only
	// capabilities change what a program can do.
	if err != nil && (name == "security.capability" || !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM)) {
		return fmt.Errorf("set extended attribute %s: %w", name, err)
	}
	return nil
}

func setTime(dir int, base string, t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.UtimesNanoAt(dir, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set time: %w", err)
	}
	return nil
}

// finish sets the times of directories, lowest first.
func (u *unpacker) finish() error {
	for i := len(u.dirTimes) - 1; i >= 0; i-- {
		d := u.dirTimes[i]
		dir, err := u.resolve(path.Dir(d.name), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			continue // a later entry replaced it
		}
		err = setTime(dir, path.Base(d.name), d.time)
		unix.Close(dir)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}
