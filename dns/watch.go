package dns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fileWatch tells when a file may have changed: it, or one of the links that lead to it. It watches the folders,
// since programs replace such files rather than write to them.
type fileWatch struct {
	path string
	f    *os.File // inotify
}

func watchFile(path string) (*fileWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &fileWatch{path: path, f: os.NewFile(uintptr(fd), "inotify")}
	if err := w.add(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// add watches the folders of the file and of what the links lead to. Adding one twice changes nothing.
func (w *fileWatch) add() error {
	path := w.path
	for range 10 {
		dir := filepath.Dir(path)
		if err := w.addFolder(dir); err != nil {
			return fmt.Errorf("inotify on %s: %w", dir, err)
		}
		target, err := os.Readlink(path)
		if err != nil {
			return nil // no link, or not there yet
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return nil
}

func (w *fileWatch) addFolder(dir string) error {
	// Not by Fd, which would make reads block a thread that close cannot wake.
	c, err := w.f.SyscallConn()
	if err != nil {
		return err
	}
	failed := c.Control(func(fd uintptr) {
		_, err = unix.InotifyAddWatch(int(fd), dir, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_CREATE|unix.IN_DELETE)
	})
	return errors.Join(failed, err)
}

// run calls changed after each change, until close.
func (w *fileWatch) run(changed func()) {
	buf := make([]byte, 4096)
	for {
		if _, err := w.f.Read(buf); err != nil {
			return
		}
		_ = w.add() // a link may lead elsewhere now; if its folder is not there, there is nothing to watch
		changed()
	}
}

func (w *fileWatch) close() { w.f.Close() }
