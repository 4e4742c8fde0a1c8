package dns

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sampan/dns/wire"
)

// FirstClient is the descriptor over which the one who starts the process talks to it, as if it had connected.
const FirstClient = 3

// Main is the name server process: it serves until it is retired. args are a folder, its build, the cluster
// domain and the file with the node's resolvers. The control socket is in the folder, named after the process.
//
// A process whose control socket is gone can be fed and found by nobody. It retires, so that no server of old names
// stays behind.
func Main(args []string, log *slog.Logger) (err error) {
	if len(args) != 4 {
		return errors.New("usage: resolver DIR BUILD DOMAIN RESOLVCONF; it is started by sampan")
	}
	dir, build := args[0], args[1]
	first, err := firstClient()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// Who started us may be gone.
			_ = wire.NewConn(first).Send(wire.AppendFrame(nil, wire.Failed, []byte(err.Error())))
		}
	}()
	server, err := New(Config{Domain: args[2], ResolvConf: args[3], Log: log})
	if err != nil {
		return err
	}
	defer server.Close()
	path := filepath.Join(dir, strconv.Itoa(os.Getpid()))
	l, err := listenControl(path)
	if err != nil {
		return fmt.Errorf("dns: control socket %s: %w", path, err)
	}
	defer os.Remove(path)
	defer l.Close()
	watch, err := watchFile(path)
	if err != nil {
		return fmt.Errorf("dns: watch %s: %w", path, err)
	}
	defer watch.close()

	control := NewControl(server, build, log)
	go control.Accept(l)
	go watch.run(func() {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			control.Retire()
		}
	})
	control.Converse(first)
	<-control.Ended()
	return nil
}

func firstClient() (*net.UnixConn, error) {
	unix.CloseOnExec(FirstClient)
	f := os.NewFile(FirstClient, "first client")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("talk to who started this process: %w", err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("who started this process gave it no unix socket to talk over")
	}
	return conn, nil
}

// listenControl makes the control socket, for its owner only. What a process with our number left is removed.
func listenControl(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// A short name by way of an open folder: a socket's name has at most 107 bytes.
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))})
	unix.Umask(old)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}
