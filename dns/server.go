// Package dns answers the names of the cluster's Services and pods, and forwards all other names to the node's
// resolvers.
//
// A [Server] answers from an index in memory; dns/answer is the pure part. It listens on UDP and TCP, on sockets
// that it is given. It lives in a process of its own ([Main], cmd/resolver), which outlives the cluster's server
// as pods do: what it knows comes over a control socket ([Control]) from dns/feed, and while nobody feeds it, it goes
// on with the last state. So this package imports nothing of Kubernetes, and little else.
//
// Packets that are not DNS queries are dropped. A name server that does not answer leads to SERVFAIL, never to
// a client that waits for ever. Until the first whole state is there, names of the cluster are SERVFAIL too: "no such
// name" would be a lie that clients keep.
package dns

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sampan/dns/answer"
)

// Config is what a Server needs.
type Config struct {
	// Domain is the cluster domain, "cluster.local".
	Domain string
	// ResolvConf is the file that names the resolvers for other names; "" is /etc/resolv.conf. It is read
	// again when it changes.
	ResolvConf string
	Log        *slog.Logger
}

// drainMax is how long a server that shall end goes on with what it was asked before: longer than a forwarded
// question takes, and than a silent TCP connection is kept.
const drainMax = 15 * time.Second

// Server is the cluster's name server on one node.
type Server struct {
	cfg     Config
	forward *forwarder
	watch   *fileWatch
	conns   chan struct{} // one place per open TCP connection

	mu    sync.RWMutex  // guards index, whose methods are not for concurrent use
	index *answer.Index // nil until the first state is there
}

// New returns a server that knows nothing yet. Close it.
func New(cfg Config) (*Server, error) {
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if cfg.Domain == "" {
		cfg.Domain = "cluster.local"
	}
	s := &Server{cfg: cfg, conns: make(chan struct{}, tcpConnsMax), forward: newForwarder()}
	var err error
	if s.watch, err = watchFile(cfg.ResolvConf); err != nil {
		return nil, fmt.Errorf("dns: watch %s: %w", cfg.ResolvConf, err)
	}
	s.readResolvers()
	return s, nil
}

// Close lets go of what New opened. Serve must have returned.
func (s *Server) Close() { s.watch.close() }

// Replace sets the whole state at once. The index is the server's from now on.
func (s *Server) Replace(index *answer.Index) {
	s.mu.Lock()
	s.index = index
	s.mu.Unlock()
}

// Update changes the state in place. Nobody is answered meanwhile. There must have been a Replace.
func (s *Server) Update(f func(*answer.Index)) {
	s.mu.Lock()
	f(s.index)
	s.mu.Unlock()
}

// Serve answers until ctx ends. Then it takes no more questions, answers those it has, and returns. The sockets are
// closed in this process only: a question that nobody took waits for another one that has them. It is called once.
func (s *Server) Serve(ctx context.Context, sockets []Socket) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	for _, socket := range sockets {
		s.forward.avoid(socket.Address())
	}
	s.readResolvers()
	var watching, wg sync.WaitGroup
	watching.Go(func() { s.watch.run(s.readResolvers) })
	for _, socket := range sockets {
		wg.Go(func() { s.serveUDP(ctx, work, socket.UDP, &wg) })
		wg.Go(func() { s.serveTCP(ctx, work, socket.TCP, &wg) })
	}
	<-ctx.Done()
	for _, socket := range sockets {
		socket.stopReading()
	}
	patience := time.AfterFunc(drainMax, cancel)
	wg.Wait()
	patience.Stop()
	for _, socket := range sockets {
		socket.Close()
	}
	s.watch.close()
	watching.Wait()
}

func (s *Server) readResolvers() {
	servers, err := readResolvConf(s.cfg.ResolvConf)
	if err != nil {
		// Without resolvers other names are SERVFAIL; the names of the cluster work.
		s.cfg.Log.Warn("could not read the node's resolvers", slog.String("file", s.cfg.ResolvConf), slog.Any("error", err))
		return
	}
	s.forward.setServers(servers)
}
