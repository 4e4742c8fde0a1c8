package volume

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	dataLink    = "..data"
	dataLinkTmp = "..data_tmp"
)

// writePayload makes dir show the files of p, and nothing else, in one step: the files are written to a new
// directory, and the symbolic link ..data, through which every visible name leads, is renamed over.
// It reports whether anything changed.
func writePayload(dir string, p payload, gid *int64) (changed bool, err error) {
	for name := range p {
		if err := checkRelative(name); err != nil {
			return false, err
		}
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !os.IsNotExist(err) {
		return false, fmt.Errorf("read %s of volume: %w", dataLink, err)
	}
	if old != "" && same(filepath.Join(dir, old), p) {
		return false, linkNames(dir, p)
	}
	fresh, err := os.MkdirTemp(dir, "..payload-")
	if err != nil {
		return false, fmt.Errorf("make directory in volume: %w", err)
	}
	if err := fill(fresh, p, gid); err != nil {
		_ = os.RemoveAll(fresh) // the error that matters is the one above
		return false, err
	}
	tmp := filepath.Join(dir, dataLinkTmp)
	_ = os.Remove(tmp) // of an interrupted update
	if err := os.Symlink(filepath.Base(fresh), tmp); err != nil {
		return false, fmt.Errorf("link volume content: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return false, fmt.Errorf("switch volume content: %w", err)
	}
	if err := linkNames(dir, p); err != nil {
		return true, err
	}
	return true, sweep(dir, filepath.Base(fresh), p)
}

func checkRelative(name string) error {
	if name == "" || filepath.IsAbs(name) || slices.Contains(strings.Split(name, "/"), "..") || strings.HasPrefix(name, "..") {
		return fmt.Errorf("invalid path %q in volume: must be relative and not contain '..'", name)
	}
	return nil
}

func fill(dir string, p payload, gid *int64) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("prepare volume content: %w", err)
	}
	if err := giveDir(dir, gid); err != nil {
		return err
	}
	for name, f := range p {
		path := filepath.Join(dir, name)
		for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
				return fmt.Errorf("make directory in volume: %w", err)
			}
			if err := giveDir(filepath.Join(dir, d), gid); err != nil {
				return err
			}
		}
		if err := os.WriteFile(path, f.data, 0o600); err != nil {
			return fmt.Errorf("write volume content: %w", err)
		}
		mode := os.FileMode(f.mode)
		if f.owner != nil {
			if err := os.Lchown(path, int(*f.owner), -1); err != nil {
				return fmt.Errorf("set owner of volume content: %w", err)
			}
		}
		if gid != nil {
			if err := os.Lchown(path, -1, int(*gid)); err != nil {
				return fmt.Errorf("set fsGroup of volume content: %w", err)
			}
			mode |= 0o440
		}
		if err := os.Chmod(path, mode); err != nil { // beyond the umask
			return fmt.Errorf("set mode of volume content: %w", err)
		}
	}
	return nil
}

// same reports whether a directory holds exactly the payload, modes aside.
func same(dir string, p payload) bool {
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		want, ok := p[name]
		if !ok {
			return os.ErrExist
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(data, want.data) {
			return os.ErrExist
		}
		found++
		return nil
	})
	return err == nil && found == len(p)
}

// linkNames makes the visible names: one symbolic link per first path element.
func linkNames(dir string, p payload) error {
	for name := range p {
		first, _, _ := strings.Cut(name, "/")
		link := filepath.Join(dir, first)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join(dataLink, first), link); err != nil && !os.IsExist(err) {
			return fmt.Errorf("link volume content: %w", err)
		}
	}
	return nil
}

// sweep removes names that are gone and earlier contents.
func sweep(dir, current string, p payload) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list volume: %w", err)
	}
	visible := map[string]bool{}
	for name := range p {
		first, _, _ := strings.Cut(name, "/")
		visible[first] = true
	}
	for _, e := range entries {
		name := e.Name()
		if name == dataLink || name == current || visible[name] {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("remove old volume content: %w", err)
		}
	}
	return nil
}
