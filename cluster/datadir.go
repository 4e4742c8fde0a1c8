package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// CheckDataDir returns an error if a data directory exists and is somebody else's. A directory is a server's from
// the time that it was empty, or new, when the first server locked it. So everything in a directory with a lock file
// may be removed with the data, and nothing is ever done to any other, whatever --data-dir says.
func CheckDataDir(dir string) error {
	if _, err := os.Stat(Settings{DataDir: dir}.lockFile()); err == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		switch {
		case e.Name() == filepath.Base(ImageDir(dir)) && isImageStore(ImageDir(dir)): // of `sampan image import` before the first start
		case e.Name() == filepath.Base(Settings{}.logFile()): // of `sampan up`
		case e.Name() == "lost+found": // of a file system of its own
		default:
			return fmt.Errorf("%s is not a data directory of Sampan: it holds %s and no server.lock; "+
				"name an empty or new directory with --data-dir", dir, e.Name())
		}
	}
	return nil
}

// unfinished are the names that files of the data directory have until they are whole: in it, and in its pki folder.
var (
	unfinished    = regexp.MustCompile(`^\.(kubeconfig|backup)-\d+$`)
	unfinishedPKI = regexp.MustCompile(`^\..+\.(crt|key)\.\d+$`)
)

// removeUnfinished removes the files that a server left half written when it was killed. The caller holds the lock.
func removeUnfinished(s Settings) error {
	for dir, names := range map[string]*regexp.Regexp{s.DataDir: unfinished, s.pkiDir(): unfinishedPKI} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("data directory: %w", err)
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !names.MatchString(e.Name()) {
				continue
			}
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("data directory: %w", err)
			}
		}
	}
	return nil
}

// isImageStore reports whether a folder is an image store, or nothing yet, and not just one of its name.
func isImageStore(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, "lock")); err == nil {
		return true
	}
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}
