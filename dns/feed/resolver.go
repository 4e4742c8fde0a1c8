package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sampan/dns/wire"
)

// resolver is a name server process, and the connection to it.
type resolver struct {
	conn     *wire.Conn
	id       wire.Identity
	pidfd    int
	patience time.Duration
}

// start starts a name server that lives on when we do not, and waits for its greeting.
func start(program string, cfg Config, build string, patience time.Duration) (*resolver, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(ends[1]), "theirs")
	defer theirs.Close()
	conn, err := connOf(ends[0])
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(cfg.RunDir, "dns.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("log of the name server: %w", err)
	}
	defer log.Close()
	r := &resolver{conn: conn, pidfd: -1, patience: patience}
	cmd := exec.Command(program, Dir(cfg.RunDir), build, cfg.Domain, cfg.ResolvConf)
	cmd.Args[0] = filepath.Base(program)
	cmd.Dir, cmd.Env = "/", []string{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{theirs} // dns.FirstClient
	// A session of its own: no terminal and no group of ours ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, PidFD: &r.pidfd}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start the name server: %w", err)
	}
	go func() { _ = cmd.Wait() }() // as long as it is our child; how it ended is in its log
	if err := r.greet(); err != nil {
		r.kill()
		r.close()
		return nil, fmt.Errorf("start the name server: %w", err)
	}
	return r, nil
}

func connOf(fd int) (*wire.Conn, error) {
	f := os.NewFile(uintptr(fd), "name server")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return wire.NewConn(c.(*net.UnixConn)), nil
}

// findAll connects to all name servers whose control sockets are in a folder. Sockets that nobody has are removed,
// and a name server that does not say who it is, is ended.
func findAll(dir string, patience time.Duration) ([]*resolver, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []*resolver
	for _, e := range entries {
		r, err := dial(filepath.Join(dir, e.Name()))
		if err != nil {
			return found, err
		}
		if r == nil {
			continue
		}
		r.patience = patience
		if err := r.greet(); err != nil {
			if err := r.end(context.Background()); err != nil {
				return found, fmt.Errorf("stop a name server that says nothing: %w", err)
			}
			continue
		}
		found = append(found, r)
	}
	return found, nil
}

// dial connects to a name server; it is nil if there is none, and then its socket is removed.
func dial(path string) (*resolver, error) {
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: name})
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOENT) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the name server at %s: %w", path, err)
	}
	r := &resolver{conn: wire.NewConn(c)}
	if r.pidfd, err = peer(c); err != nil {
		c.Close()
		if errors.Is(err, unix.ESRCH) {
			return nil, nil // it has just ended
		}
		return nil, fmt.Errorf("process of the name server at %s: %w", path, err)
	}
	return r, nil
}

// peer returns a descriptor of the process that listens at the other end. It is that process and no other: the
// connection is still open when we have the descriptor, so its number was not anybody else's.
func peer(c *net.UnixConn) (pidfd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	pidfd = -1
	failed := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		if pidfd, err = unix.PidfdOpen(int(cred.Pid), 0); err != nil {
			return
		}
		state := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if _, err = unix.Poll(state, 0); err == nil && state[0].Revents&(unix.POLLHUP|unix.POLLRDHUP|unix.POLLERR) != 0 {
			err = unix.ESRCH
		}
	})
	if err = errors.Join(failed, err); err != nil && pidfd >= 0 {
		unix.Close(pidfd)
		pidfd = -1
	}
	return pidfd, err
}

// greet reads who the name server is.
func (r *resolver) greet() error {
	payload, err := r.await(wire.Hello)
	if err == nil {
		r.id, err = wire.ParseHello(payload)
	}
	return err
}

// give returns the sockets that the name server answers at; they are the caller's.
func (r *resolver) give() ([]int, error) {
	if err := r.conn.Send(wire.AppendFrame(nil, wire.Give, nil)); err != nil {
		return nil, err
	}
	if _, err := r.await(wire.Done); err != nil {
		return nil, err
	}
	return r.conn.Descriptors(), nil
}

// await reads one frame of a kind, before anybody listens.
func (r *resolver) await(want wire.Kind) ([]byte, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(r.patience)); err != nil {
		return nil, err
	}
	kind, payload, err := r.conn.Receive()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it ended")
	case err != nil:
		return nil, err
	case kind == wire.Failed:
		return nil, errors.New(string(payload))
	case kind != want:
		return nil, fmt.Errorf("it said %q and not %q", kind, want)
	}
	return payload, r.conn.SetReadDeadline(time.Time{})
}

// listen hands on the name server's answers until the connection ends, and returns why it did.
func (r *resolver) listen(ctx context.Context, answers chan<- error) error {
	for {
		kind, payload, err := r.conn.Receive()
		var answer error
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("it ended")
		case err != nil:
			return err
		case kind == wire.Replaced:
			return errReplaced
		case kind == wire.Failed:
			answer = errors.New(string(payload))
		case kind != wire.Done:
			return fmt.Errorf("it said %q", kind)
		}
		select {
		case answers <- answer:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// retire asks a name server to finish and end.
func (r *resolver) retire() {
	err := r.conn.SetDeadline(time.Now().Add(drainPatience))
	if err == nil {
		err = r.conn.Send(wire.AppendFrame(nil, wire.Retire, nil))
	}
	if err != nil {
		r.kill()
	}
}

// bury waits until a retired name server has ended, and helps if it does not. It gives up when ctx ends.
func (r *resolver) bury(ctx context.Context) {
	defer r.close()
	defer context.AfterFunc(ctx, func() { r.conn.Close() })()
	for {
		switch _, _, err := r.conn.Receive(); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.kill()
			return
		case err != nil:
			return // it has ended, or ctx has
		}
	}
}

// kill ends the process. It is not an error that it has ended.
func (r *resolver) kill() { _ = unix.PidfdSendSignal(r.pidfd, unix.SIGKILL, nil, 0) }

// close lets go of the connection and leaves the process alone.
func (r *resolver) close() {
	r.conn.Close()
	if r.pidfd >= 0 {
		unix.Close(r.pidfd)
		r.pidfd = -1
	}
}

// addresses returns where sockets are.
func addresses(fds []int) []netip.AddrPort {
	var list []netip.AddrPort
	for i := 0; i < len(fds); i += 2 {
		name, err := unix.Getsockname(fds[i])
		if err != nil {
			continue
		}
		switch a := name.(type) {
		case *unix.SockaddrInet4:
			list = append(list, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)))
		case *unix.SockaddrInet6:
			list = append(list, netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)))
		}
	}
	return list
}

// sameNetwork reports whether sockets are of this network namespace. Kernels before 5.14 do not tell; then it is
// taken for granted.
func sameNetwork(fds []int) bool {
	if len(fds) == 0 {
		return true
	}
	ours, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(ours)
	want, err1 := unix.GetsockoptUint64(ours, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	got, err2 := unix.GetsockoptUint64(fds[0], unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return err1 != nil || err2 != nil || got == want
}
