package main

import (
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sampan/internal/drain"
)

// stdio is a process' standard input and output, both ends.
type stdio struct {
	child    []uintptr  // descriptors of the helper: 0, 1, 2, and the report comes after them
	children []*os.File // what child names, closed once the helper runs
	stdin    *os.File   // our end, nil if there is none
	outputs  []*os.File // our ends of standard output and error, in this order
	terminal *os.File   // our end of the socket on which the helper sends the terminal
}

func pipeStdio(withStdin bool) (*stdio, string) {
	s := &stdio{}
	var in *os.File
	var err error
	if withStdin {
		var fd [2]int
		if err := unix.Pipe2(fd[:], unix.O_CLOEXEC); err != nil {
			return nil, "make a pipe: " + err.Error()
		}
		_ = unix.SetNonblock(fd[1], true)
		in, s.stdin = os.NewFile(uintptr(fd[0]), "stdin"), os.NewFile(uintptr(fd[1]), "stdin")
	} else if in, err = os.Open("/dev/null"); err != nil {
		return nil, err.Error()
	}
	s.add(in)
	for range 2 {
		r, w, problem := pipe()
		if problem != "" {
			s.close()
			s.closeChild()
			return nil, problem
		}
		s.outputs = append(s.outputs, r)
		s.add(w)
	}
	return s, ""
}

// terminalStdio gives the helper a socket as descriptor 0, on which the terminal comes back.
func terminalStdio() (*stdio, string) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, "make a socket pair: " + err.Error()
	}
	s := &stdio{terminal: os.NewFile(uintptr(pair[0]), "console")}
	s.add(os.NewFile(uintptr(pair[1]), "console"))
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		s.close()
		s.closeChild()
		return nil, err.Error()
	}
	s.add(null)
	s.child = append(s.child, null.Fd())
	return s, ""
}

func (s *stdio) add(f *os.File) {
	s.children = append(s.children, f)
	s.child = append(s.child, f.Fd())
}

// args names the verb, with how the helper gets its standard input and output.
func (s *stdio) args(verb, id string) []string {
	if s.terminal != nil {
		return []string{verb, "-tty", id}
	}
	return []string{verb, id}
}

func (s *stdio) closeChild() {
	for _, f := range s.children {
		f.Close()
	}
}

func (s *stdio) close() {
	for _, f := range append(s.outputs, s.stdin, s.terminal) {
		if f != nil {
			f.Close()
		}
	}
}

// takeConsole receives the terminal that the helper sent before it ended; nil without one.
func (s *stdio) takeConsole() *os.File {
	if s.terminal == nil {
		return nil
	}
	defer s.terminal.Close()
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(s.terminal.Fd()), buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil
	}
	_ = unix.SetNonblock(fds[0], true)
	return os.NewFile(uintptr(fds[0]), "console")
}

func setSize(console *os.File, width, height int) error {
	raw, err := console.SyscallConn()
	if err != nil {
		return err
	}
	var ierr error
	err = raw.Control(func(fd uintptr) {
		ierr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(height), Col: uint16(width)})
	})
	if err != nil {
		return err
	}
	return ierr
}

// awaitLog returns when all that the container printed before its end is in its log, however slow the disk is.
// Processes that share its PID namespace may hold its output open for longer: those are not waited for. again tells
// when to look whether only they are left.
func (c *container) awaitLog(again func() <-chan time.Time) { drain.Wait(c.outputs, c.drained, again) }

// copyOutput logs what the container prints until nobody can print any more.
func (c *container) copyOutput() {
	names := []string{"stdout", "stderr"}
	var all sync.WaitGroup
	for i, o := range c.outputs {
		f := o.File
		all.Go(func() {
			w := lineWriter{log: c.log, stream: names[i]}
			buf := make([]byte, lineBytesMax)
			for {
				n, err := o.Read(buf)
				if n > 0 {
					w.write(buf[:n])
					o.Passed(n)
					c.log.tee(i, buf[:n])
				}
				// A terminal whose last user is gone reads EIO, a pipe EOF.
				if err != nil {
					break
				}
			}
			w.end()
			if f != c.console {
				f.Close()
			}
		})
	}
	all.Wait()
	close(c.drained)
	c.log.close()
}

// attach joins a client to the container's streams until one of them ends.
func (p *pod) attach(c *conn, id, flags string, fds []int) {
	var files [3]*os.File
	for i, name := range []string{"0", "1", "2"} {
		if strings.Contains(flags, name) && len(fds) > 0 {
			_ = unix.SetNonblock(fds[0], true)
			files[i] = os.NewFile(uintptr(fds[0]), "attached")
			fds = fds[1:]
		}
	}
	closeAll(fds)
	ct, problem := p.find(id)
	if problem != "" {
		for _, f := range files {
			f.Close() // nil says no
		}
		c.send("err", problem)
		return
	}
	for i, f := range files[1:] {
		if f != nil {
			ct.log.attach(i, f)
		}
	}
	c.send("ok")
	if in := files[0]; in != nil && ct.stdin != nil {
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := in.Read(buf)
				if n > 0 {
					if _, werr := ct.stdin.Write(buf[:n]); werr != nil {
						break
					}
				}
				if err != nil {
					break
				}
			}
			in.Close()
			if ct.once && ct.console == nil {
				ct.stdin.Close()
			}
		}()
	} else if in != nil {
		in.Close()
	}
	left := make(chan struct{})
	go func() {
		c.hangup()
		close(left)
	}()
	select {
	case <-ct.gone:
		c.send("exit")
	case <-left:
	}
	if files[0] != nil {
		// Ends the copy of standard input, so that the next client has it alone.
		_ = files[0].SetReadDeadline(time.Now())
	}
	for i, f := range files[1:] {
		if f != nil {
			ct.log.detach(i, f)
		}
	}
}

// exec runs a process in a container for a client.
func (p *pod) exec(c *conn, id, bundle, flags, ocirun string, args []string, fds []int) {
	files := make([]uintptr, 0, 4)
	for _, fd := range fds {
		files = append(files, uintptr(fd))
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		closeAll(fds)
		c.send("err", err.Error())
		return
	}
	for len(files) < 3 {
		files = append(files, null.Fd())
	}
	verb := []string{"exec", id}
	if strings.Contains(flags, "t") {
		verb = []string{"exec", "-tty", id}
	}
	p.begin()
	pid, problem := p.helper(ocirun, bundle, append(append(verb, "--"), args...), files, false)
	closeAll(fds)
	null.Close()
	if problem != "" {
		p.done()
		c.send("err", problem)
		return
	}
	p.mu.Lock()
	end := p.claim(pid)
	p.mu.Unlock()
	p.done()
	c.send("ok")
	left := make(chan struct{})
	go func() {
		c.hangup()
		close(left)
	}()
	select {
	case ws := <-end:
		c.sendExit(ws)
	case <-left:
		p.mu.Lock()
		if _, waited := p.processes[pid]; waited {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		p.mu.Unlock()
		<-end
	}
}
