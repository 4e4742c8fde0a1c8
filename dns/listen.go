package dns

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	tcpConnsMax = 256
	tcpIdle     = 10 * time.Second
)

// serveUDP answers what comes by UDP until ctx ends. What is known is answered at once, in order; the rest on the
// side, until work ends.
func (s *Server) serveUDP(ctx, work context.Context, c *net.UDPConn, wg *sync.WaitGroup) {
	buf := make([]byte, 4096)
	for ctx.Err() == nil {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			continue // the end, or an ICMP message about an earlier answer
		}
		reply, q, r, later := s.quick(buf[:n], false)
		if reply != nil {
			// A client that is gone is nobody's error.
			_, _ = c.WriteToUDPAddrPort(reply, from)
		}
		if !later {
			continue
		}
		if hit := s.forward.cached(q); hit != nil && r.Follow == "" {
			_, _ = c.WriteToUDPAddrPort(hit, from)
			continue
		}
		q.raw = append([]byte(nil), q.raw...)
		wg.Go(func() {
			if reply := s.slow(work, q, r); reply != nil {
				_, _ = c.WriteToUDPAddrPort(reply, from)
			}
		})
	}
}

// serveTCP accepts connections until ctx ends, and serves them until work ends.
func (s *Server) serveTCP(ctx, work context.Context, l *net.TCPListener, wg *sync.WaitGroup) {
	for failed := false; ctx.Err() == nil; {
		c, err := l.Accept()
		if ctx.Err() != nil && err != nil {
			return
		}
		if err != nil {
			if !failed {
				s.cfg.Log.Warn("dns: could not accept a connection", slog.Any("error", err))
			}
			failed = true
			// Out of file descriptors, most likely: it does not pass within a moment.
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-ctx.Done():
				return
			}
		}
		failed = false
		select {
		case s.conns <- struct{}{}:
		default:
			c.Close() // too many; clients come again
			continue
		}
		wg.Go(func() {
			defer func() { <-s.conns }()
			stop := context.AfterFunc(work, func() { c.Close() })
			defer stop()
			defer c.Close()
			s.converse(work, c)
		})
	}
}

// converse answers the queries of one connection, one after the other, until the client ends or is silent.
func (s *Server) converse(ctx context.Context, c net.Conn) {
	for {
		if err := c.SetDeadline(time.Now().Add(tcpIdle)); err != nil {
			return
		}
		raw, err := readMessage(c)
		if err != nil {
			return
		}
		reply, q, r, later := s.quick(raw, true)
		if later {
			reply = s.slow(ctx, q, r)
		}
		if reply == nil || writeMessage(c, reply) != nil {
			return
		}
	}
}

// readMessage reads one message of a stream: its length in two bytes, and itself.
func readMessage(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeMessage(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, len(b)+2), uint16(len(b))), b...))
	return err
}
