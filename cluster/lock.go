package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lock is the right to be the server of a data directory. The kernel takes it back when the process ends,
// however it ends.
type lock struct{ file *os.File }

// runningError says that another process holds the lock.
type runningError struct {
	dataDir string
	pid     int
}

func (e *runningError) Error() string {
	text := fmt.Sprintf("a server with the data directory %s is running already", e.dataDir)
	if e.pid != 0 { // 0: it has taken the lock this moment and not yet said who it is
		text += fmt.Sprintf(" (process %d)", e.pid)
	}
	return text
}

// takeLock takes the data directory for this process, or returns a *runningError.
func takeLock(s Settings) (*lock, error) {
	f, err := os.OpenFile(s.lockFile(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid := readPID(f)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &runningError{dataDir: s.DataDir, pid: pid}
		}
		return nil, fmt.Errorf("lock %s: %w", s.lockFile(), err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock of the data directory: %w", err)
	}
	return &lock{file: f}, nil
}

func (l *lock) release() { l.file.Close() }

// takeTurn waits until no other [Up] of the data directory is under way: the second of two finds the server of the
// first. The turn ends with end, or with the process.
func takeTurn(ctx context.Context, s Settings) (end func(), err error) {
	dir, err := os.Open(s.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	taken := make(chan error, 1)
	go func() {
		for {
			err := unix.Flock(int(dir.Fd()), unix.LOCK_EX)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			taken <- err
			return
		}
	}()
	select {
	case err := <-taken:
		if err != nil {
			dir.Close()
			return nil, fmt.Errorf("lock %s: %w", s.DataDir, err)
		}
		return func() { dir.Close() }, nil
	case <-ctx.Done():
		// The call cannot be taken back; it ends, and gives the turn back, when it is its turn.
		go func() { <-taken; dir.Close() }()
		return nil, errors.New("interrupted while another `sampan up` starts the server")
	}
}

// serverPID returns the process of the running server of a data directory, 0 if there is none.
func serverPID(s Settings) (int, error) {
	f, err := os.Open(s.lockFile())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("lock of the data directory: %w", err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return 0, nil
	} else if !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, fmt.Errorf("lock %s: %w", s.lockFile(), err)
	}
	return readPID(f), nil
}

func readPID(f *os.File) int {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	return pid
}
