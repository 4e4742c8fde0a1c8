package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The control socket is SOCK_SEQPACKET: a message is a packet, fields are separated by NUL, and a connection
// carries one request. The answer is "ok" with fields or "err" with a text.
//
//	hello                                          ok PID
//	start ID BUNDLE LOG FLAGS OOMFILE OCIRUN       ok PID NANOSECONDS        FLAGS: t terminal, i stdin, o stdin once
//	exec ID BUNDLE FLAGS OCIRUN ARG...             ok, later: exit CODE      with stdin, stdout, stderr as descriptors
//	                                               (t: with one, a socket on which the terminal is sent)
//	attach ID FLAGS                                ok, later: exit           FLAGS name the descriptors sent: 0, 1, 2
//	signal ID NUMBER                               ok
//	log ID                                         ok                        reopens the log file
//	resize ID WIDTH HEIGHT                         ok
//	sharepid SELF                                  ok PID                    starts "SELF init" in a new PID namespace
//	watch                                          running ID..., then for each end: exit ID CODE NANOSECONDS OOM
//	quit                                           (the process ends)
//
// A client that hangs up during exec ends the process that it asked for.
const messageBytesMax = 64 << 10

// conn is one client. It is read by one goroutine; writes are guarded by whoever shares it.
type conn struct {
	file *os.File
}

func (p *pod) serve(listener *os.File) {
	raw, err := listener.SyscallConn()
	if err != nil {
		die("control socket: " + err.Error())
	}
	for {
		var fd int
		var aerr error
		err := raw.Read(func(s uintptr) bool {
			fd, _, aerr = unix.Accept4(int(s), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return aerr != unix.EAGAIN
		})
		if err != nil {
			die("control socket: " + err.Error())
		}
		if aerr != nil {
			continue // the client went away, or no descriptor is free; the next may do better
		}
		go p.handle(&conn{os.NewFile(uintptr(fd), "client")})
	}
}

// receive reads one message with the descriptors that came with it.
func (c *conn) receive() ([]string, []int) {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return nil, nil
	}
	var n, oobn int
	var rerr error
	buf := make([]byte, messageBytesMax)
	oob := make([]byte, unix.CmsgSpace(3*4))
	err = raw.Read(func(fd uintptr) bool {
		n, oobn, _, _, rerr = unix.Recvmsg(int(fd), buf, oob, unix.MSG_CMSG_CLOEXEC)
		return rerr != unix.EAGAIN
	})
	if err != nil || rerr != nil || n == 0 {
		return nil, nil
	}
	var fds []int
	if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for i := range messages {
			if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
				fds = append(fds, got...)
			}
		}
	}
	return strings.Split(string(buf[:n]), "\x00"), fds
}

func (c *conn) send(fields ...string) {
	// A client that is gone or does not read is no reason to stop anything.
	_, _ = c.file.Write([]byte(strings.Join(fields, "\x00")))
}

// hangup returns when the client has closed its end.
func (c *conn) hangup() {
	var b [1]byte
	for {
		if n, err := c.file.Read(b[:]); n == 0 || err != nil {
			return
		}
	}
}

func (p *pod) handle(c *conn) {
	defer c.file.Close()
	req, fds := c.receive()
	if len(req) == 0 {
		return
	}
	if p.problem != "" && req[0] != "quit" {
		c.send("err", p.problem)
		closeAll(fds)
		return
	}
	argument := func(i int) string {
		if i < len(req) {
			return req[i]
		}
		return ""
	}
	switch req[0] {
	case "hello":
		c.send("ok", strconv.Itoa(os.Getpid()))
	case "start":
		pid, at, err := p.start(argument(1), argument(2), argument(3), argument(4), argument(5), argument(6))
		if err != "" {
			c.send("err", err)
			return
		}
		c.send("ok", strconv.Itoa(pid), strconv.FormatInt(at, 10))
	case "exec":
		if len(req) < 6 {
			closeAll(fds)
			c.send("err", "exec: arguments are missing")
			return
		}
		p.exec(c, req[1], req[2], req[3], req[4], req[5:], fds)
		return // exec closes fds
	case "attach":
		p.attach(c, argument(1), argument(2), fds)
		return
	case "signal":
		n, _ := strconv.Atoi(argument(2))
		c.send(answer(p.signal(argument(1), n))...)
	case "log":
		c.send(answer(p.reopen(argument(1)))...)
	case "resize":
		w, _ := strconv.Atoi(argument(2))
		h, _ := strconv.Atoi(argument(3))
		c.send(answer(p.resize(argument(1), w, h))...)
	case "sharepid":
		pid, err := p.sharePID(argument(1))
		if err != "" {
			c.send("err", err)
			return
		}
		c.send("ok", strconv.Itoa(pid))
	case "watch":
		p.watch(c)
	case "quit":
		os.Exit(0)
	default:
		c.send("err", "unknown request "+req[0])
	}
	closeAll(fds)
}

func answer(err string) []string {
	if err == "" {
		return []string{"ok"}
	}
	return []string{"err", err}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
