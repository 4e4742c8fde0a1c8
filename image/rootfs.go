package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// ImportRootFS makes an image of one layer from a root file system: a directory, or a tar of one, which may be
// compressed. Tag is its reference. A directory is read once: it is hashed, checked and copied in one pass.
func (s *Store) ImportRootFS(ctx context.Context, path, tag string, config imagespec.ImageConfig, progress func(Progress)) (Info, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return Info{}, fmt.Errorf("import root file system: %w", err)
	}
	var stream io.ReadCloser
	size := stat.Size()
	if stat.IsDir() {
		stream, size = tarOf(ctx, path), 0
	} else if stream, err = os.Open(path); err != nil {
		return Info{}, fmt.Errorf("import root file system: %w", err)
	}
	defer stream.Close()
	return s.importRootFS(ctx, layerSource{label: path, size: size}, stream, tag, config, progress)
}

func (s *Store) importRootFS(ctx context.Context, layer layerSource, stream io.Reader, tag string, config imagespec.ImageConfig, progress func(Progress)) (Info, error) {
	name, err := tagName(tag)
	if err != nil {
		return Info{}, err
	}
	return s.adding(ctx, func(tmp string) (Info, error) {
		info, err := s.unpackRootFS(ctx, tmp, layer, stream, name, config, serialized(progress))
		if err != nil {
			return Info{}, fmt.Errorf("import %s: %w", layer.label, err)
		}
		return info, nil
	})
}

func (s *Store) unpackRootFS(ctx context.Context, tmp string, layer layerSource, stream io.Reader, name string, config imagespec.ImageConfig, report func(Progress)) (Info, error) {
	counted := &progressReader{Reader: stream, report: func(done int64) {
		report(Progress{Layer: layer.label, State: Adding, Done: done, Total: layer.size})
	}}
	dir := filepath.Join(tmp, "layer")
	diffID, err := s.unpackStream(ctx, counted, dir)
	if err != nil {
		return Info{}, err
	}
	if err := os.Rename(dir, filepath.Join(tmp, hexOf(diffID))); err != nil {
		return Info{}, err
	}
	src, err := s.rootFSSource(name, diffID, config, time.Now())
	if err != nil {
		return Info{}, err
	}
	if err := s.publish(tmp, src); err != nil {
		return Info{}, err
	}
	report(Progress{Layer: layer.label, State: Added, Done: counted.done, Total: counted.done})
	return s.Resolve(digestOf(src.config))
}

// rootFSSource describes the image of a layer that is unpacked already.
func (s *Store) rootFSSource(name, diffID string, config imagespec.ImageConfig, now time.Time) (source, error) {
	img := imagespec.Image{
		Created:  created(now),
		Platform: imagespec.Platform{OS: s.goos, Architecture: s.goarch},
		Config:   config,
		RootFS:   imagespec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.Digest(diffID)}},
		History:  []imagespec.History{{Created: created(now), CreatedBy: "sampan image import"}},
	}
	data, err := json.Marshal(img)
	if err != nil {
		return source{}, err
	}
	return source{name: name, config: data, image: img, refs: []string{name}}, nil
}

// tagName normalises a reference that is given to an image.
func tagName(tag string) (string, error) {
	if tag == "" {
		return "", fmt.Errorf("a root file system needs a tag, for example --tag NAME:v1")
	}
	name, err := Normalize(tag)
	if err != nil {
		return "", err
	}
	if isDigested(name) {
		return "", fmt.Errorf("tag %q: a digest cannot be given to an image", tag)
	}
	return name, nil
}

// tarOf streams a directory as a tar. The same content gives the same bytes: names are in order, times in
// seconds, owners numbers. Sockets are left out, as tar has none.
func tarOf(ctx context.Context, dir string) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(writeTar(ctx, w, dir)) }() // ends at the latest when r is closed
	return r
}

func writeTar(ctx context.Context, w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	t := &tarWriter{
		Writer: tar.NewWriter(w), dir: dir, root: root,
		links: make(map[inode]string), buffer: make([]byte, 256<<10),
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		return t.add(path)
	})
	if err != nil {
		return err
	}
	return t.Close()
}

type inode struct{ dev, ino uint64 }

type tarWriter struct {
	*tar.Writer
	dir    string
	root   *os.Root
	links  map[inode]string // names of files that have several
	buffer []byte
}

func (t *tarWriter) add(path string) error {
	name, err := filepath.Rel(t.dir, path)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()).Truncate(time.Second), Format: tar.FormatPAX,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
		if st.Nlink > 1 {
			id := inode{uint64(st.Dev), st.Ino}
			if first, ok := t.links[id]; ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			} else {
				t.links[id] = name
			}
		}
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		if h.Linkname, err = os.Readlink(path); err != nil {
			return err
		}
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR:
		h.Typeflag = tar.TypeChar
		if st.Rdev == 0 {
			h = whiteoutHeader(name) // overlayfs' mark for a hidden file
		}
	case unix.S_IFBLK:
		h.Typeflag = tar.TypeBlock
	default:
		return nil
	}
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	opaque, err := t.xattrs(path, h)
	if err != nil {
		return err
	}
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if opaque {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: filepath.Join(name, opaqueMarker), Format: tar.FormatPAX})
	}
	if h.Typeflag == tar.TypeReg && h.Size > 0 {
		return t.content(name, h.Size)
	}
	return nil
}

func whiteoutHeader(name string) *tar.Header {
	dir, base := filepath.Split(name)
	return &tar.Header{Typeflag: tar.TypeReg, Name: dir + whiteoutPrefix + base, Format: tar.FormatPAX}
}

func (t *tarWriter) content(name string, size int64) error {
	f, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{t}, io.LimitReader(f, size), t.buffer)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%s shrank while it was read", filepath.Join(t.dir, name))
	}
	return nil
}

// xattrs adds the extended attributes of a file to its header.
func (t *tarWriter) xattrs(path string, h *tar.Header) (opaque bool, err error) {
	n, err := unix.Llistxattr(path, nil)
	if err != nil || n == 0 {
		return false, nil // the file system has none
	}
	list := make([]byte, n)
	if n, err = unix.Llistxattr(path, list); err != nil {
		return false, fmt.Errorf("%s: list extended attributes: %w", path, err)
	}
	names := strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00")
	slices.Sort(names)
	for _, name := range names {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return false, fmt.Errorf("%s: read extended attribute %s: %w", path, name, err)
		}
		switch {
		case name == overlayOpaque:
			opaque = true
		case strings.HasPrefix(name, "trusted."), name == "security.selinux", strings.HasPrefix(name, "system."):
			// They belong to this machine.
		default:
			if h.PAXRecords == nil {
				h.PAXRecords = make(map[string]string)
			}
			h.PAXRecords[xattrRecord+name] = string(value[:n])
		}
	}
	return opaque, nil
}
