package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sampan/dns/feed"
	"sampan/network"
	"sampan/podruntime"
)

// Down ends the server, if it runs, and then the pods, and removes every trace of the instance from the
// kernel. It works on what a killed server left too, and on nothing at all. purge removes the data as well. A
// directory that is not a server's data directory is an error, and stays as it is.
func Down(ctx context.Context, s Settings, grace time.Duration, purge bool) error {
	if os.Geteuid() != 0 {
		return errors.New("stopping pods needs root: run it with sudo")
	}
	if err := CheckDataDir(s.DataDir); err != nil {
		return err
	}
	if err := stopServer(ctx, s); err != nil {
		return err
	}
	if _, err := os.Stat(s.DataDir); errors.Is(err, fs.ErrNotExist) {
		return errors.Join(feed.Stop(ctx, s.RunDir), os.RemoveAll(s.RunDir))
	}
	lock, err := takeLock(s)
	if err != nil {
		return err
	}
	defer lock.release()
	quiet := slog.New(slog.DiscardHandler)
	runtime, err := openRuntime(ctx, s, noImages{}, nil, quiet)
	if err != nil {
		return err
	}
	err = errors.Join(runtime.RemoveAll(ctx, grace), runtime.Close())
	if err != nil {
		return fmt.Errorf("stop the pods: %w", err)
	}
	// After the pods, which may look names up until their end.
	if err := feed.Stop(ctx, s.RunDir); err != nil {
		return err
	}
	if err := network.Destroy(ctx, s.Instance, s.networkDir()); err != nil {
		return fmt.Errorf("remove the network: %w", err)
	}
	if err := unmountBelow(s.DataDir); err != nil {
		return err
	}
	if err := os.RemoveAll(s.RunDir); err != nil {
		return fmt.Errorf("remove the sockets: %w", err)
	}
	if purge {
		if err := os.RemoveAll(s.DataDir); err != nil {
			return fmt.Errorf("remove the data: %w", err)
		}
	}
	return nil
}

// stopServer ends the running server, if there is one, and waits until it is gone.
func stopServer(ctx context.Context, s Settings) error {
	pid, err := serverPID(s)
	if err != nil || pid == 0 {
		return err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("watch the server, process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	// The lock says that the process is the server; the pidfd keeps it from becoming another one meanwhile.
	if again, err := serverPID(s); err != nil || again != pid {
		return err
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("stop the server, process %d: %w", pid, err)
	}
	for deadline := time.Now().Add(15 * time.Second); ; {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 200)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for the server, process %d: %w", pid, err)
		case n > 0:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("the server, process %d, did not end within 15 s", pid)
		}
	}
}

// unmountBelow takes away the mounts below a folder, the last one first.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("list the mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			points = append(points, strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(f[4]))
		}
	}
	for _, p := range slices.Backward(points) {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount %s: %w", p, err)
		}
	}
	return nil
}

// noImages is the image store of a runtime that only stops pods.
type noImages struct{}

// Open implements podruntime.Images.
func (noImages) Open(context.Context, string) (podruntime.Image, error) {
	return podruntime.Image{}, podruntime.ErrImageNotPresent
}
