package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"sampan/dns/answer"
	"sampan/dns/wire"
)

// Control does what is asked over the control socket, in the language of dns/wire.
//
// Whoever begins to send the whole state is the feeder, and the one before is let go. What a feeder sends before
// its Commit changes nothing; when it dies, the server goes on with what it has. A connection with a malformed frame is
// closed, and nothing else happens.
type Control struct {
	server *Server
	build  string
	log    *slog.Logger
	ended  chan struct{} // closed when a retired server has answered everything

	conns sync.WaitGroup

	mu      sync.Mutex // guards what follows
	open    map[*wire.Conn]bool
	closed  bool
	feeder  *wire.Conn
	sockets []Socket
	stop    context.CancelFunc // ends the serving; nil before Take
	retired bool
}

// NewControl returns the control of a server. build is what it says of itself, see wire.Identity.
func NewControl(server *Server, build string, log *slog.Logger) *Control {
	return &Control{server: server, build: build, log: log, ended: make(chan struct{}), open: map[*wire.Conn]bool{}}
}

// Ended is closed when a server that was retired has answered everything that it was asked.
func (c *Control) Ended() <-chan struct{} { return c.ended }

// Accept converses with all who connect, until the listener is closed.
func (c *Control) Accept(l *net.UnixListener) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				c.log.Error("dns: the control socket is broken", slog.Any("error", err))
			}
			return
		}
		c.Converse(conn)
	}
}

// Converse talks to one client in the background, until one of them ends it.
func (c *Control) Converse(conn *net.UnixConn) {
	w := wire.NewConn(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		w.Close()
		return
	}
	c.open[w] = true
	hello := wire.AppendHello(nil, wire.Identity{Build: c.build, Retiring: c.retired})
	c.conns.Go(func() {
		defer c.leave(w)
		if w.Send(hello) != nil {
			return
		}
		s := session{control: c, conn: w}
		for {
			kind, payload, err := w.Receive()
			if err == nil {
				err = s.handle(kind, payload)
			}
			if err != nil {
				s.explain(err)
				return
			}
		}
	})
}

func (c *Control) leave(w *wire.Conn) {
	w.Close()
	w.Discard()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, w)
	if c.feeder == w {
		c.feeder = nil
	}
}

// Close ends all conversations and stops serving.
func (c *Control) Close() {
	c.Retire()
	c.mu.Lock()
	c.closed = true
	for w := range c.open {
		w.Close()
	}
	c.mu.Unlock()
	c.conns.Wait()
	<-c.ended
}

// Retire lets the server end: it takes no more questions, and Ended is closed when it has answered those it has.
func (c *Control) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return
	}
	c.retired = true
	if c.stop == nil {
		close(c.ended) // it never served
		return
	}
	c.stop()
}

// serve begins to answer on sockets.
func (c *Control) serve(sockets []Socket) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil || c.retired {
		for _, s := range sockets {
			s.Close()
		}
		return errors.New("the name server has sockets already, or is about to end")
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.sockets, c.stop = sockets, cancel
	go func() {
		c.server.Serve(ctx, sockets)
		c.mu.Lock()
		c.sockets = nil
		c.mu.Unlock()
		close(c.ended)
	}()
	return nil
}

// session is one client's conversation.
type session struct {
	control  *Control
	conn     *wire.Conn
	building *answer.Index // between Begin and Commit
	began    bool
	whole    bool // Commit has come
}

// refusal is an error that the client is told before the connection is closed.
type refusal struct{ error }

func (s *session) explain(err error) {
	if r, ok := errors.AsType[refusal](err); ok {
		// The client may be gone.
		_ = s.conn.Send(wire.AppendFrame(nil, wire.Failed, []byte(r.Error())))
	}
}

func (s *session) handle(kind wire.Kind, payload []byte) error {
	switch kind {
	case wire.Give:
		return s.give()
	case wire.Retire:
		s.control.Retire()
		return nil
	case wire.Begin:
		s.building, s.began, s.whole = answer.New(s.control.server.cfg.Domain), true, false
		s.control.follow(s.conn)
		return nil
	}
	if !s.began {
		return refusal{fmt.Errorf("frame %q before the state", kind)}
	}
	switch kind {
	case wire.Commit:
		if s.building == nil {
			return refusal{errors.New("end of a state that has not begun")}
		}
		index := s.building
		s.building, s.whole = nil, true
		return s.confirm(s.control.change(s.conn, func() { s.control.server.Replace(index) }))
	case wire.Take:
		sockets, err := FromDescriptors(s.conn.Descriptors())
		if err == nil && !s.whole {
			err = errors.New("sockets before the state")
			for _, socket := range sockets {
				socket.Close()
			}
		}
		if err == nil {
			err = s.control.serve(sockets)
		}
		return s.confirm(err)
	case wire.Flush:
		return s.confirm(nil)
	}
	change, err := parseChange(kind, payload)
	if err != nil {
		return refusal{err}
	}
	if s.building != nil {
		change(s.building)
		return nil
	}
	return s.control.change(s.conn, func() { s.control.server.Update(change) })
}

// confirm answers what was asked, if it was done.
func (s *session) confirm(err error) error {
	if err != nil {
		return refusal{err}
	}
	return s.conn.Send(wire.AppendFrame(nil, wire.Done, nil))
}

// parseChange returns what a frame changes in an index.
func parseChange(kind wire.Kind, payload []byte) (func(*answer.Index), error) {
	switch kind {
	case wire.PutService:
		svc, err := wire.ParseService(payload)
		return func(x *answer.Index) { x.PutService(svc) }, err
	case wire.PutSlice:
		slice, err := wire.ParseSlice(payload)
		return func(x *answer.Index) { x.PutSlice(slice) }, err
	case wire.RemoveService:
		namespace, name, err := wire.ParseKey(payload)
		return func(x *answer.Index) { x.RemoveService(namespace, name) }, err
	case wire.RemoveSlice:
		namespace, name, err := wire.ParseKey(payload)
		return func(x *answer.Index) { x.RemoveSlice(namespace, name) }, err
	}
	return nil, fmt.Errorf("unknown frame %q", kind)
}

// give sends the sockets, or none.
func (s *session) give() error {
	s.control.mu.Lock()
	sockets := s.control.sockets
	fds, err := Descriptors(sockets)
	s.control.mu.Unlock()
	if err != nil {
		return refusal{err}
	}
	defer wire.CloseAll(fds)
	return s.conn.SendDescriptors(wire.Done, fds)
}

// follow makes a client the feeder.
func (c *Control) follow(w *wire.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.feeder; before != nil && before != w {
		_ = before.SetWriteDeadline(time.Now().Add(time.Second)) // it may not read any more
		_ = before.Send(wire.AppendFrame(nil, wire.Replaced, nil))
		before.Close()
	}
	c.feeder = w
}

// change calls f if the client is still the feeder: what another one has sent meanwhile is newer.
func (c *Control) change(w *wire.Conn, f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.feeder != w {
		return errors.New("another feeder is there")
	}
	f()
	return nil
}
