//go:build e2e

package e2e

import (
	"testing"

	"golang.org/x/sys/unix"
)

// waitExit returns when a process has ended.
func waitExit(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatalf("watch process %d: %v", pid, err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			t.Fatalf("wait for process %d: %v", pid, err)
		case n == 0:
			t.Fatalf("process %d did not end within %s", pid, patience)
		}
		return
	}
}
