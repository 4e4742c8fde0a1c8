// Package dns answers the names of the cluster's Services and pods, and forwards all other names to the node's
// resolvers.
//
// A [Server] follows Services and EndpointSlices through a client and answers from an index in memory;
// dns/answer is the pure part. It listens on UDP and TCP, on addresses of the node.
//
// Packets that are not DNS queries are dropped. A name server that does not answer leads to SERVFAIL, never to
// a client that waits for ever. Until the first view of the API server is there, names of the cluster are
// SERVFAIL too: "no such name" would be a lie that clients keep.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"sampan/client"
	"sampan/dns/answer"
)

// Config is what a Server needs.
type Config struct {
	Client client.Client
	// Listen are the addresses, each opened for UDP and TCP.
	Listen []netip.AddrPort
	// Domain is the cluster domain, "cluster.local".
	Domain string
	// ResolvConf is the file that names the resolvers for other names; "" is /etc/resolv.conf. It is read
	// again when it changes.
	ResolvConf string
	Log        *slog.Logger
}

// Server is the cluster's name server on one node.
type Server struct {
	cfg     Config
	udp     []*net.UDPConn
	tcp     []*net.TCPListener
	forward *forwarder
	watch   *fileWatch
	conns   chan struct{} // one place per open TCP connection

	mu    sync.RWMutex  // guards index, whose methods are not for concurrent use
	index *answer.Index // nil until the first view is there
}

// New opens the sockets, so that an address in use is an error here and not later.
func New(cfg Config) (*Server, error) {
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if cfg.Domain == "" {
		cfg.Domain = "cluster.local"
	}
	s := &Server{cfg: cfg, conns: make(chan struct{}, tcpConnsMax)}
	if err := s.listen(); err != nil {
		s.close()
		return nil, err
	}
	s.forward = newForwarder(s.Addresses())
	var err error
	if s.watch, err = watchFile(cfg.ResolvConf); err != nil {
		s.close()
		return nil, fmt.Errorf("dns: watch %s: %w", cfg.ResolvConf, err)
	}
	s.readResolvers()
	return s, nil
}

func (s *Server) listen() error {
	for _, a := range s.cfg.Listen {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
		if err != nil {
			return fmt.Errorf("dns: %w", err)
		}
		s.udp = append(s.udp, u)
		// The port may have been 0; TCP is on the same.
		a = u.LocalAddr().(*net.UDPAddr).AddrPort()
		t, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
		if err != nil {
			return fmt.Errorf("dns: %w", err)
		}
		s.tcp = append(s.tcp, t)
	}
	return nil
}

// Addresses returns where the server listens.
func (s *Server) Addresses() []netip.AddrPort {
	var list []netip.AddrPort
	for _, u := range s.udp {
		a := u.LocalAddr().(*net.UDPAddr).AddrPort()
		list = append(list, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
	}
	return list
}

func (s *Server) close() {
	for _, u := range s.udp {
		u.Close()
	}
	for _, t := range s.tcp {
		t.Close()
	}
	if s.watch != nil {
		s.watch.close()
	}
}

// Run answers until ctx ends, then closes the sockets. It is called once.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	start := func(f func() error) {
		wg.Go(func() {
			// One part that ends takes the others with it: a server that half works is worse than none.
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}
	start(func() error { return s.follow(ctx) })
	start(func() error { return s.watch.run(s.readResolvers) })
	for _, u := range s.udp {
		start(func() error { return s.serveUDP(ctx, u, &wg) })
	}
	for _, t := range s.tcp {
		start(func() error { return s.serveTCP(ctx, t, &wg) })
	}
	<-ctx.Done()
	s.close()
	wg.Wait()
	err := context.Cause(ctx)
	if errors.Is(err, net.ErrClosed) {
		err = context.Canceled
	}
	return err
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
