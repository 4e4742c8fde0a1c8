package linux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"sampan/podruntime"
)

func owner(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return 0, 0
}

// Exec implements podruntime.Driver. The process is pause's child; its ends of the pipes go there as
// descriptors, ours are copied here.
func (d *Driver) Exec(ctx context.Context, c podruntime.ContainerRef, e podruntime.ExecSpec) (int, error) {
	conn, err := d.dial(c.Sandbox)
	if err != nil {
		return -1, err
	}
	// Hanging up ends the process: when ctx ends, or when the copying does.
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if e.TTY {
		return d.execTTY(ctx, conn, c, e)
	}
	pipes, err := newPipes(e.Streams)
	if err != nil {
		return -1, err
	}
	defer pipes.close()
	fields := append([]string{"exec", c.ID, d.containerDir(c.ID), "", d.ocirun}, e.Args...)
	_, err = ask(ctx, conn, pipes.fds(), fields...)
	pipes.closeTheirs()
	if err != nil {
		return -1, err
	}
	pipes.copy(e.Streams)
	code, err := awaitExit(ctx, conn)
	if err != nil {
		return -1, err
	}
	pipes.outputs.drain(ctx)
	return code, nil
}

func awaitExit(ctx context.Context, conn *net.UnixConn) (int, error) {
	m, err := receive(conn)
	if err != nil {
		return -1, lost(ctx, "exec", err)
	}
	if m[0] != "exit" || len(m) < 2 {
		return -1, fmt.Errorf("exec: unexpected message %q", m[0])
	}
	return strconv.Atoi(m[1])
}

// pipes are the three streams of a process: the process' ends and ours.
type pipes struct {
	theirs  [3]*os.File
	ours    [3]*os.File
	outputs outputs
}

func newPipes(s podruntime.Streams) (*pipes, error) {
	p := &pipes{}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	for i, wanted := range []bool{s.Stdin != nil, s.Stdout != nil, s.Stderr != nil} {
		if !wanted {
			// A descriptor of its own, so that each can be closed alike.
			fd, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				p.close()
				return nil, err
			}
			p.theirs[i] = os.NewFile(uintptr(fd), os.DevNull)
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, err
		}
		p.theirs[i], p.ours[i] = w, r
		if i == 0 {
			p.theirs[i], p.ours[i] = r, w
		}
	}
	return p, nil
}

// fds are the process' ends. Taking them makes them blocking, as a program expects its streams to be.
func (p *pipes) fds() []int {
	var fds []int
	for _, f := range p.theirs {
		fds = append(fds, int(f.Fd()))
	}
	return fds
}

func (p *pipes) closeTheirs() {
	for i, f := range p.theirs {
		if f != nil {
			f.Close()
			p.theirs[i] = nil
		}
	}
}

func (p *pipes) close() {
	p.closeTheirs()
	for _, f := range p.ours {
		if f != nil {
			f.Close()
		}
	}
}

func (p *pipes) copy(s podruntime.Streams) {
	if in := p.ours[0]; in != nil {
		go func() {
			// Ends when the client's input does, or at the next byte after the process has ended.
			_, _ = io.Copy(in, s.Stdin)
			in.Close()
		}()
	}
	for i, w := range []io.Writer{s.Stdout, s.Stderr} {
		if r := p.ours[i+1]; r != nil {
			p.outputs.copy(w, r)
		}
	}
}

// execTTY runs the process on a terminal, whose master end comes back over a socket.
func (d *Driver) execTTY(ctx context.Context, conn *net.UnixConn, c podruntime.ContainerRef, e podruntime.ExecSpec) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	socket := os.NewFile(uintptr(pair[0]), "console")
	defer socket.Close()
	fields := append([]string{"exec", c.ID, d.containerDir(c.ID), "t", d.ocirun}, e.Args...)
	_, err = ask(ctx, conn, []int{pair[1]}, fields...)
	unix.Close(pair[1])
	if err != nil {
		return -1, err
	}
	console, err := receiveConsole(socket)
	if err != nil {
		return -1, err
	}
	defer console.Close()
	if e.Stdin != nil {
		go func() { _, _ = io.Copy(console, e.Stdin) }()
	}
	var outputs outputs
	if e.Stdout == nil {
		e.Stdout = io.Discard
	}
	outputs.copy(e.Stdout, console) // ends with EIO when nobody has the terminal open
	stopResize := make(chan struct{})
	defer close(stopResize)
	go resize(console, e.Resize, stopResize)
	code, err := awaitExit(ctx, conn)
	if err != nil {
		return -1, err
	}
	outputs.drain(ctx)
	return code, nil
}

func resize(console *os.File, sizes <-chan podruntime.WindowSize, stop <-chan struct{}) {
	for {
		select {
		case s, ok := <-sizes:
			if !ok {
				return
			}
			raw, err := console.SyscallConn()
			if err != nil {
				return
			}
			_ = raw.Control(func(fd uintptr) {
				_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Height, Col: s.Width})
			})
		case <-stop:
			return
		}
	}
}

func receiveConsole(socket *os.File) (*os.File, error) {
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("receive the terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return nil, errors.New("receive the terminal: no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil, errors.New("receive the terminal: no descriptor came")
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "console"), nil
}

// Attach implements podruntime.Driver.
func (d *Driver) Attach(ctx context.Context, c podruntime.ContainerRef, s podruntime.Streams) error {
	conn, err := d.dial(c.Sandbox)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	pipes, err := newPipes(s)
	if err != nil {
		return err
	}
	defer pipes.close()
	flags, fds := "", []int(nil)
	for i, fd := range pipes.fds() {
		if pipes.ours[i] != nil {
			flags += strconv.Itoa(i)
			fds = append(fds, fd)
		}
	}
	_, err = ask(ctx, conn, fds, "attach", c.ID, flags)
	pipes.closeTheirs()
	if err != nil {
		return err
	}
	pipes.copy(s)
	if s.Resize != nil {
		stopResize := make(chan struct{})
		defer close(stopResize)
		go func() {
			for {
				select {
				case size, ok := <-s.Resize:
					if !ok {
						return
					}
					// A container without a terminal has no size; the client cannot know that.
					_, _ = d.call(ctx, c.Sandbox, nil, "resize", c.ID, strconv.Itoa(int(size.Width)), strconv.Itoa(int(size.Height)))
				case <-stopResize:
					return
				}
			}
		}()
	}
	if _, err := receive(conn); err != nil {
		return lost(ctx, "attach", err)
	}
	pipes.outputs.drain(ctx)
	return nil
}

// DialPod implements podruntime.Driver. A socket belongs to the namespace that it was made in, so only its
// making needs a thread in the pod's namespace.
func (d *Driver) DialPod(ctx context.Context, s podruntime.SandboxSpec, port uint16) (io.ReadWriteCloser, error) {
	if s.HostNetwork {
		return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("localhost", strconv.Itoa(int(port))))
	}
	hello, err := d.call(ctx, s.ID, nil, "hello")
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(hello[0])
	if err != nil {
		return nil, err
	}
	target, err := netns.GetFromPid(pid)
	if err != nil {
		return nil, fmt.Errorf("network namespace of the pod: %w", err)
	}
	defer target.Close()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := inNetwork(target, func() (net.Conn, error) { return dialLoopback(ctx, port) })
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// inNetwork calls dial on a thread in another network namespace. If the thread cannot be brought home it stays
// locked, so that it ends with its goroutine.
func inNetwork(target netns.NsHandle, dial func() (net.Conn, error)) (net.Conn, error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("network namespace of the node: %w", err)
	}
	defer home.Close()
	if err := netns.Set(target); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter the pod's network namespace: %w", err)
	}
	conn, err := dial()
	if netns.Set(home) == nil {
		runtime.UnlockOSThread()
	}
	return conn, err
}

// dialLoopback tries IPv4 first, then IPv6, as servers listen on either. It dials addresses, not a name, and
// one after the other, so that all of it happens on this thread.
func dialLoopback(ctx context.Context, port uint16) (net.Conn, error) {
	dialer := net.Dialer{FallbackDelay: -1}
	p := strconv.Itoa(int(port))
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", p))
	if err == nil {
		return conn, nil
	}
	if conn6, err6 := dialer.DialContext(ctx, "tcp6", net.JoinHostPort("::1", p)); err6 == nil {
		return conn6, nil
	}
	return nil, err
}
