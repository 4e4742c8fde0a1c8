package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
		switch e.Name() {
		case "images", "server.log": // of `sampan image import` before the first start, and of `sampan up`
		case "lost+found": // of a file system of its own
		default:
			return fmt.Errorf("%s is not a data directory of Sampan: it holds %s and no server.lock; "+
				"name an empty or new directory with --data-dir", dir, e.Name())
		}
	}
	return nil
}
