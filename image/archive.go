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
	"strings"
)

// fileSet is an archive or a folder from which single files are read.
type fileSet interface {
	// open returns a file and its size; the error satisfies fs.ErrNotExist if there is none.
	open(name string) (io.ReadCloser, int64, error)
	Close() error
}

// readAll reads a small file of a set. Metadata above the limit is an attack or a mistake.
func readAll(set fileSet, name string) ([]byte, error) {
	const limit = 16 << 20
	r, size, err := set.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than any such file needs", name, size)
	}
	return io.ReadAll(io.LimitReader(r, limit))
}

// dirFiles is a folder. Links cannot lead out of it.
type dirFiles struct{ *os.Root }

func openDir(dir string) (fileSet, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return dirFiles{root}, nil
}

func (d dirFiles) open(name string) (io.ReadCloser, int64, error) {
	f, err := d.Root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.Join(fmt.Errorf("%s is not a file", name), f.Close())
	}
	return f, info.Size(), nil
}

// tarFiles is an uncompressed tar on disk whose entries have been found once, so that each is read in place.
type tarFiles struct {
	file    *os.File
	entries map[string]tarEntry
}

type tarEntry struct {
	offset, size int64
	link         string // what a link points to, "" for a file
}

// openTar indexes a tar. A compressed one is first decompressed to an unnamed file.
func (s *Store) openTar(ctx context.Context, name string) (fileSet, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	plain, err := s.plainFile(ctx, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	t := &tarFiles{file: plain, entries: make(map[string]tarEntry)}
	if err := t.index(ctx); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return t, nil
}

// plainFile returns f at its begin if it is not compressed, else an unnamed file with its plain content.
func (s *Store) plainFile(ctx context.Context, f *os.File) (*os.File, error) {
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if n < len(head) || string(head[257:262]) == "ustar" {
		return f, nil
	}
	plain, err := decompress(f)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	out, err := s.unnamedFile()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(out, contextReader{ctx, plain}); err != nil {
		return nil, errors.Join(fmt.Errorf("decompress archive: %w", err), out.Close())
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	return out, f.Close()
}

func (t *tarFiles) index(ctx context.Context) error {
	r := tar.NewReader(t.file) // seeks over contents
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		name := path.Clean(strings.TrimLeft(h.Name, "/"))
		switch h.Typeflag {
		case tar.TypeReg:
			offset, err := t.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			t.entries[name] = tarEntry{offset: offset, size: h.Size}
		case tar.TypeLink:
			t.entries[name] = tarEntry{link: path.Clean(h.Linkname)}
		case tar.TypeSymlink:
			t.entries[name] = tarEntry{link: path.Join(path.Dir(name), h.Linkname)}
		}
	}
}

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	name = path.Clean(name)
	for range 10 {
		e, ok := t.entries[name]
		if !ok {
			break
		}
		if e.link == "" {
			return io.NopCloser(io.NewSectionReader(t.file, e.offset, e.size)), e.size, nil
		}
		name = e.link
	}
	return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (t *tarFiles) Close() error { return t.file.Close() }

// contextReader ends a long copy when its context does.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
