package linux

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The helpers are built by make; on a fresh clone only a README is there.
//
//go:embed embedded/*
var embedded embed.FS

func (d *Driver) writeHelpers() error {
	var err error
	if d.pause, err = d.writeHelper("pause"); err != nil {
		return err
	}
	d.ocirun, err = d.writeHelper("ocirun")
	return err
}

// writeHelper writes a helper out under its hash, so that an upgraded server does not touch the file that
// running pause processes were started from.
func (d *Driver) writeHelper(name string) (string, error) {
	data, err := embedded.ReadFile("embedded/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("this program was built without %s: run make", name)
	}
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	dir := filepath.Join(d.cfg.State, "bin", hex.EncodeToString(sum[:8]))
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(data)) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("write out %s: %w", name, err)
	}
	if err := writeFile(path, data, 0o700); err != nil {
		return "", fmt.Errorf("write out %s: %w", name, err)
	}
	return path, nil
}
