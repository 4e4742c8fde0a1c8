package crilog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

type wake int

const (
	woke      wake = iota // something happened to the file
	over                  // the container has ended
	cancelled             // nobody reads any more
)

// watch hears of changes to the files in a log's directory.
type watch struct {
	inotify *os.File
	events  chan struct{} // holds a token when something changed
}

func newWatch(path string) (*watch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("follow log %q: %w", path, err)
	}
	w := &watch{inotify: os.NewFile(uintptr(fd), "inotify"), events: make(chan struct{}, 1)}
	// The directory, not the file: a rotated log is a new file.
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		_ = w.inotify.Close() // nothing was done with it
		return nil, fmt.Errorf("follow log %q: %w", path, err)
	}
	go w.read()
	return w, nil
}

func (w *watch) read() {
	buf := make([]byte, 4096)
	for {
		if _, err := w.inotify.Read(buf); err != nil {
			return
		}
		select {
		case w.events <- struct{}{}:
		default:
		}
	}
}

func (w *watch) wait(ctx context.Context, done <-chan struct{}) wake {
	select {
	case <-ctx.Done():
		return cancelled
	case <-done:
		return over
	case <-w.events:
		return woke
	}
}

func (w *watch) close() { _ = w.inotify.Close() } // ends read
