package feed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stopMax is how long a killed process may take to be gone.
const stopMax = 10 * time.Second

// Stop ends the name servers of a run folder, if there are any, also those that are about to end, and waits until
// they are gone. No server may be running.
func Stop(ctx context.Context, runDir string) error {
	dir := Dir(runDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the name server: %w", err)
	}
	for _, e := range entries {
		r, err := dial(dir + "/" + e.Name())
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		if err := r.end(ctx); err != nil {
			return fmt.Errorf("stop the name server: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the name server's sockets: %w", err)
	}
	return nil
}

// end ends a process, waits until it is gone, and lets go of it.
func (r *resolver) end(ctx context.Context) error {
	defer r.close()
	r.kill()
	return ended(ctx, r.pidfd)
}

// ended waits until a process is gone, or a zombie that its parent has to see to.
func ended(ctx context.Context, pidfd int) error {
	for deadline := time.Now().Add(stopMax); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 200)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return err
		case n > 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("it did not end within %s", stopMax)
		}
	}
}
