package dns

import (
	"bufio"
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"sampan/dns/answer"
	"sampan/dns/wire"
)

// newControl returns a control with a server that listens on a free address.
func newControl(t *testing.T) (*Control, *harness) {
	t.Helper()
	server := newServer(t)
	c := NewControl(server, "test", slog.New(slog.DiscardHandler))
	t.Cleanup(c.Close)
	return c, &harness{t: t, server: server}
}

// client is one end of a conversation.
type client struct {
	t *testing.T
	*wire.Conn
}

func connect(t *testing.T, c *Control) *client {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range ends {
		f := os.NewFile(uintptr(fd), "pair")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn.(*net.UnixConn)
	}
	c.Converse(conns[1])
	cl := &client{t, wire.NewConn(conns[0])}
	t.Cleanup(func() { cl.Close(); cl.Discard() })
	if kind, _, err := cl.Receive(); err != nil || kind != wire.Hello {
		t.Fatalf("%q, %v", kind, err)
	}
	return cl
}

func (c *client) send(frames []byte) {
	c.t.Helper()
	if err := c.Send(frames); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) expect(want wire.Kind) {
	c.t.Helper()
	if kind, payload, err := c.Receive(); err != nil || kind != want {
		c.t.Fatalf("%q %q, %v, want %q", kind, payload, err, want)
	}
}

// expectEnd waits until the other end closes the connection.
func (c *client) expectEnd() {
	c.t.Helper()
	for {
		if _, _, err := c.Receive(); err != nil {
			return
		}
	}
}

// state returns the frames of a whole state.
func state(services ...answer.Service) []byte {
	b := wire.AppendFrame(nil, wire.Begin, nil)
	for _, s := range services {
		b = wire.AppendService(b, s)
	}
	return wire.AppendFrame(b, wire.Commit, nil)
}

// serve hands sockets over, as the first feeder does.
func (c *client) serve(h *harness) {
	c.t.Helper()
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		c.t.Fatal(err)
	}
	h.addr = s.Address().String()
	fds, err := Descriptors([]Socket{s})
	s.Close()
	if err != nil {
		c.t.Fatal(err)
	}
	defer wire.CloseAll(fds)
	if err := c.SendDescriptors(wire.Take, fds); err != nil {
		c.t.Fatal(err)
	}
	c.expect(wire.Done)
}

func (h *harness) want(name, address string) {
	h.t.Helper()
	if got := text(h.ask("udp", name+".shop.svc.cluster.local.", dns.TypeA, nil)); got != address {
		h.t.Fatalf("%s: got %q, want %q", name, got, address)
	}
}

func TestStateIsReplacedAtOnceOrNotAtAll(t *testing.T) {
	c, h := newControl(t)
	first := connect(t, c)
	first.send(state(svc("web", "10.96.0.20")))
	first.expect(wire.Done)
	first.serve(h)
	h.want("web", "10.96.0.20")
	h.want("api", "NXDOMAIN")

	// A second feeder that dies before its state is whole changes nothing.
	second := connect(t, c)
	whole := state(svc("api", "10.96.0.21"))
	second.send(whole[:len(whole)-5])
	first.expect(wire.Replaced)
	first.expectEnd()
	second.Close()
	h.want("web", "10.96.0.20")
	h.want("api", "NXDOMAIN")

	third := connect(t, c)
	third.send(whole)
	third.expect(wire.Done)
	h.want("web", "NXDOMAIN")
	h.want("api", "10.96.0.21")

	third.send(wire.AppendFrame(wire.AppendService(nil, svc("web", "10.96.0.22")), wire.Flush, nil))
	third.expect(wire.Done)
	third.Close()
	h.want("web", "10.96.0.22")
}

func TestMalformedFeedEndsTheFeederOnly(t *testing.T) {
	c, h := newControl(t)
	good := connect(t, c)
	good.send(state(svc("web", "10.96.0.20")))
	good.expect(wire.Done)
	good.serve(h)
	for name, frames := range map[string][]byte{
		"an unknown frame":         wire.AppendFrame(wire.AppendFrame(nil, wire.Begin, nil), '?', nil),
		"a service cut short":      wire.AppendFrame(wire.AppendFrame(nil, wire.Begin, nil), wire.PutService, []byte{9, 'x'}),
		"a frame too long":         {0xff, 0xff, 0xff, 0xff, 'S'},
		"changes without a state":  wire.AppendService(nil, svc("web", "10.96.0.9")),
		"an end without beginning": wire.AppendFrame(nil, wire.Commit, nil),
		"two ends":                 wire.AppendFrame(state(svc("web", "10.96.0.20")), wire.Commit, nil),
		"sockets that are none":    wire.AppendFrame(state(svc("web", "10.96.0.20")), wire.Take, nil),
	} {
		t.Run(name, func(t *testing.T) {
			bad := connect(t, c)
			bad.send(frames)
			bad.expectEnd()
			h.want("web", "10.96.0.20")
		})
	}
	t.Run("descriptors that are no sockets", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		bad := connect(t, c)
		bad.send(state(svc("web", "10.96.0.20")))
		bad.expect(wire.Done)
		if err := bad.SendDescriptors(wire.Take, []int{int(r.Fd()), int(w.Fd())}); err != nil {
			t.Fatal(err)
		}
		bad.expect(wire.Failed)
		bad.expectEnd()
		h.want("web", "10.96.0.20")
	})
}

func TestRetiredServerAnswersWhatItWasAsked(t *testing.T) {
	c, h := newControl(t)
	feeder := connect(t, c)
	asked, release := make(chan struct{}), make(chan struct{})
	up, _ := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		close(asked)
		<-release
		reply("slow.example. 60 IN A 192.0.2.3")(w, m)
	})
	feeder.send(state(svc("web", "10.96.0.20")))
	feeder.expect(wire.Done)
	feeder.serve(h)
	h.want("web", "10.96.0.20")
	h.server.forward.setServers([]netip.AddrPort{up})
	answered := make(chan string)
	go func() { answered <- text(h.ask("udp", "slow.example.", dns.TypeA, nil)) }()
	<-asked
	feeder.send(wire.AppendFrame(nil, wire.Retire, nil))
	feeder.send(wire.AppendFrame(nil, wire.Flush, nil))
	feeder.expect(wire.Done)
	select {
	case <-c.Ended():
		t.Fatal("it ended with a question unanswered")
	default:
	}
	close(release)
	if got := <-answered; got != "192.0.2.3" {
		t.Fatal(got)
	}
	<-c.Ended()
}

func TestControlSocketIsForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a-socket-that-somebody-left")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
}

// FuzzFeed feeds wild frames to a server: it does not panic, and what it knew before a whole state came stays.
func FuzzFeed(f *testing.F) {
	f.Add(state(svc("api", "10.96.0.21")))
	f.Add(wire.AppendSlice(wire.AppendFrame(nil, wire.Begin, nil), slice("web", "s", ready("10.244.0.5", "web-0"))))
	f.Add(wire.AppendKey(state(svc("web", "None")), wire.RemoveService, "shop", "web"))
	f.Fuzz(func(t *testing.T, b []byte) {
		index := answer.New("cluster.local")
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			kind, payload, err := wire.Read(r)
			if err != nil {
				break
			}
			if change, err := parseChange(kind, payload); err == nil {
				change(index)
			}
		}
		s := &Server{cfg: Config{Domain: "cluster.local"}, index: index, forward: newForwarder()}
		for _, name := range []string{"web.shop.svc.cluster.local.", "_sql._tcp.web.shop.svc.cluster.local.", "5.0.244.10.in-addr.arpa."} {
			m := new(dns.Msg)
			m.SetQuestion(name, dns.TypeSRV)
			raw, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			if reply, _, _, later := s.quick(raw, false); reply == nil && !later {
				t.Fatalf("%s: nothing is said", name)
			}
		}
	})
}
