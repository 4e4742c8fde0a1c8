package wire

import (
	"bufio"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// descriptorsMax bounds the descriptors that are received and not yet taken.
const descriptorsMax = 64

// Conn carries frames, and file descriptors beside them. One goroutine may read while another writes.
type Conn struct {
	*net.UnixConn
	in      *bufio.Reader
	waiting []int // descriptors that nobody has taken yet
}

// NewConn returns a Conn on a stream socket, which is the Conn's from now on.
func NewConn(c *net.UnixConn) *Conn {
	conn := &Conn{UnixConn: c}
	conn.in = bufio.NewReader((*input)(conn))
	return conn
}

// input reads the socket for Conn.in.
type input Conn

func (c *input) Read(b []byte) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4*descriptorsMax))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, fmt.Errorf("read descriptors: %w", err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return 0, fmt.Errorf("read descriptors: %w", err)
		}
		c.waiting = append(c.waiting, fds...)
	}
	if flags&unix.MSG_CTRUNC != 0 || len(c.waiting) > descriptorsMax {
		return 0, errors.New("too many descriptors")
	}
	return n, nil
}

// Receive reads one frame.
func (c *Conn) Receive() (Kind, []byte, error) { return Read(c.in) }

// Descriptors returns those that have come with the frame that was received last, or before. They are the
// caller's to close.
func (c *Conn) Descriptors() []int {
	fds := c.waiting
	c.waiting = nil
	return fds
}

// Send writes frames.
func (c *Conn) Send(frames []byte) error {
	_, err := c.Write(frames)
	return err
}

// SendDescriptors writes a frame without payload, with descriptors, which stay the caller's.
func (c *Conn) SendDescriptors(kind Kind, fds []int) error {
	if len(fds) == 0 {
		return c.Send(AppendFrame(nil, kind, nil))
	}
	// One short message: the socket takes it whole.
	_, _, err := c.WriteMsgUnix(AppendFrame(nil, kind, nil), unix.UnixRights(fds...), nil)
	return err
}

// Discard closes the descriptors that nobody took. It is for the goroutine that reads, when it is done.
func (c *Conn) Discard() { CloseAll(c.Descriptors()) }

// CloseAll closes descriptors.
func CloseAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
