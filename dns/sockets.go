package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sampan/dns/wire"
)

// Socket is one address, by UDP and by TCP.
type Socket struct {
	UDP *net.UDPConn
	TCP *net.TCPListener
}

// Listen opens the sockets of an address. If its port is 0, both have the same port.
func Listen(a netip.AddrPort) (Socket, error) {
	for range 10 {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
		if err != nil {
			return Socket{}, err
		}
		t, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(u.LocalAddr().(*net.UDPAddr).AddrPort()))
		if err == nil {
			return Socket{UDP: u, TCP: t}, nil
		}
		u.Close()
		// The port that the kernel chose may be somebody's for TCP.
		if a.Port() != 0 || !errors.Is(err, unix.EADDRINUSE) {
			return Socket{}, err
		}
	}
	return Socket{}, fmt.Errorf("no port of %s is free for both UDP and TCP", a.Addr())
}

// Address returns where the socket is.
func (s Socket) Address() netip.AddrPort {
	a := s.UDP.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close closes both in this process. What waits in them is lost unless another process has them too.
func (s Socket) Close() {
	s.UDP.Close()
	s.TCP.Close()
}

// stopReading ends reads and accepts, those under way too.
func (s Socket) stopReading() {
	past := time.Unix(1, 0)
	_ = s.UDP.SetReadDeadline(past)
	_ = s.TCP.SetDeadline(past)
}

// Descriptors returns duplicates of the sockets' descriptors: UDP, TCP, UDP, TCP… They are the caller's to close, and
// are not in the runtime's poller, so that whoever only keeps them is not woken by packets.
func Descriptors(sockets []Socket) (fds []int, err error) {
	for _, s := range sockets {
		for _, part := range []syscall.Conn{s.UDP, s.TCP} {
			c, err := part.SyscallConn()
			if err != nil {
				wire.CloseAll(fds)
				return nil, err
			}
			var dup int
			var failed error
			// Not by File and Fd, which would make the shared socket a blocking one.
			err = c.Control(func(fd uintptr) { dup, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
			if err := errors.Join(err, failed); err != nil {
				wire.CloseAll(fds)
				return nil, err
			}
			fds = append(fds, dup)
		}
	}
	return fds, nil
}

// FromDescriptors makes sockets of descriptors as Descriptors returns them, and closes those.
func FromDescriptors(fds []int) (sockets []Socket, err error) {
	defer wire.CloseAll(fds)
	if len(fds)%2 != 0 {
		return nil, errors.New("sockets do not come in pairs")
	}
	defer func() {
		if err != nil {
			for _, s := range sockets {
				s.Close()
			}
			sockets = nil
		}
	}()
	for i := 0; i < len(fds); i += 2 {
		u, err := fromDescriptor(fds[i], func(f *os.File) (net.PacketConn, error) { return net.FilePacketConn(f) })
		if err != nil {
			return sockets, err
		}
		t, err := fromDescriptor(fds[i+1], func(f *os.File) (net.Listener, error) { return net.FileListener(f) })
		if err != nil {
			u.Close()
			return sockets, err
		}
		udp, ok1 := u.(*net.UDPConn)
		tcp, ok2 := t.(*net.TCPListener)
		if !ok1 || !ok2 {
			u.Close()
			t.Close()
			return sockets, errors.New("descriptors are not a UDP and a TCP socket")
		}
		sockets = append(sockets, Socket{UDP: udp, TCP: tcp})
	}
	return sockets, nil
}

// fromDescriptor calls f with a duplicate of a descriptor.
func fromDescriptor[T any](fd int, f func(*os.File) (T, error)) (none T, err error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return none, err
	}
	file := os.NewFile(uintptr(dup), "socket")
	defer file.Close()
	return f(file)
}
