// Package helper writes the programs that are embedded in this one out to files, so that they can be started.
//
// A helper is written once, into a folder named by its hash: an upgraded server does not touch the file that
// running processes were started from, and two servers of one build share it. A helper that was not built in is an
// error that says so.
package helper

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Helper is a program that has been written out.
type Helper struct {
	Path string // the file
	Hash string // tells builds apart: 16 hex digits
}

// WriteOut writes the file name of the folder "embedded" in files to <dir>/<hash>/<name>, unless it is there.
func WriteOut(files fs.FS, name, dir string) (Helper, error) {
	data, err := fs.ReadFile(files, path.Join("embedded", name))
	if errors.Is(err, fs.ErrNotExist) {
		return Helper{}, fmt.Errorf("this program was built without %s: run make", name)
	}
	if err != nil {
		return Helper{}, err
	}
	sum := sha256.Sum256(data)
	h := Helper{Hash: hex.EncodeToString(sum[:8])}
	h.Path = filepath.Join(dir, h.Hash, name)
	if info, err := os.Stat(h.Path); err == nil && info.Size() == int64(len(data)) {
		return h, nil
	}
	if err := write(h.Path, data); err != nil {
		return Helper{}, fmt.Errorf("write out %s: %w", name, err)
	}
	return h, nil
}

// write makes the file appear in one step: another server may be looking for it.
func write(file string, data []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o700), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
