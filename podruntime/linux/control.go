package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

// The client's side of cmd/pause/protocol.go.

const messageBytesMax = 64 << 10

// socketPath is a short name for a socket in a folder whose path may be longer than a socket's name can be.
// The folder must be kept open.
func socketPath(dir *os.File) string { return fmt.Sprintf("/proc/self/fd/%d/ctl", dir.Fd()) }

// dial connects to a pod's pause process; podruntime.ErrGone says that there is none.
func (d *Driver) dial(id string) (*net.UnixConn, error) {
	dir, err := os.OpenFile(d.podDir(id), unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, podruntime.ErrGone
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Net: "unixpacket", Name: socketPath(dir)})
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return nil, podruntime.ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the pause process of pod %s: %w", id, err)
	}
	return c, nil
}

// listen makes a pod's control socket, for its pause process to inherit.
func listen(dirPath string) (*os.File, error) {
	dir, err := os.OpenFile(dirPath, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := os.Remove(filepath.Join(dirPath, "ctl")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket", Name: socketPath(dir)})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	return l.File()
}

// call sends one request and returns the answer's fields after "ok".
func (d *Driver) call(ctx context.Context, id string, fds []int, fields ...string) ([]string, error) {
	c, err := d.dial(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return ask(ctx, c, fds, fields...)
}

// ask is call on a connection that goes on.
func ask(ctx context.Context, c *net.UnixConn, fds []int, fields ...string) ([]string, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	message := strings.Join(fields, "\x00")
	if len(message) > messageBytesMax {
		return nil, fmt.Errorf("%s: arguments are longer than %d bytes", fields[0], messageBytesMax)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := c.WriteMsgUnix([]byte(message), oob, nil); err != nil {
		return nil, lost(ctx, fields[0], err)
	}
	answer, err := receive(c)
	if err != nil {
		return nil, lost(ctx, fields[0], err)
	}
	switch answer[0] {
	case "ok":
		return answer[1:], nil
	case "err":
		text := strings.Join(answer[1:], " ")
		if text == "gone" {
			return nil, podruntime.ErrGone
		}
		return nil, errors.New(text)
	}
	return answer, nil
}

// lost says why no answer came: the caller gave up, or the pause process is gone.
func lost(ctx context.Context, verb string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%s: the pause process went away (%v): %w", verb, err, podruntime.ErrGone)
}

func receive(c *net.UnixConn) ([]string, error) {
	buf := make([]byte, messageBytesMax)
	n, err := c.Read(buf)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, net.ErrClosed
	}
	return strings.Split(string(buf[:n]), "\x00"), nil
}

// parseExit reads the fields CODE NANOSECONDS OOM.
func parseExit(sandbox, container string, f []string) (podruntime.Exit, error) {
	if len(f) < 3 {
		return podruntime.Exit{}, fmt.Errorf("exit of container %s: %d fields", container, len(f))
	}
	code, err := strconv.Atoi(f[0])
	if err != nil {
		return podruntime.Exit{}, fmt.Errorf("exit of container %s: %w", container, err)
	}
	at, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return podruntime.Exit{}, fmt.Errorf("exit of container %s: %w", container, err)
	}
	return podruntime.Exit{Sandbox: sandbox, Container: container, Code: code, At: time.Unix(0, at), OOMKilled: f[2] == "1"}, nil
}
