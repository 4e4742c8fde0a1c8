package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sampan/dns/answer"
)

type harness struct {
	t      *testing.T
	server *Server
	addr   string
}

// start starts a server that knows an empty cluster.
func start(t *testing.T) *harness {
	t.Helper()
	h := startUnknowing(t)
	h.server.Replace(answer.New("cluster.local"))
	return h
}

func startUnknowing(t *testing.T) *harness {
	t.Helper()
	h := &harness{t: t, server: newServer(t)}
	socket, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.addr = socket.Address().String()
	done := make(chan struct{})
	go func() { defer close(done); h.server.Serve(ctx, []Socket{socket}) }()
	t.Cleanup(func() { cancel(); <-done })
	h.ask("udp", "cluster.local.", dns.TypeSOA, nil) // now it has read its settings, which tests change
	return h
}

func newServer(t *testing.T) *Server {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Domain: "cluster.local", ResolvConf: conf, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (h *harness) put(svc answer.Service) {
	h.server.Update(func(x *answer.Index) { x.PutService(svc) })
}

func (h *harness) putSlice(e answer.Slice) {
	h.server.Update(func(x *answer.Index) { x.PutSlice(e) })
}

func (h *harness) ask(network, name string, kind uint16, mutate func(*dns.Msg)) *dns.Msg {
	h.t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	if mutate != nil {
		mutate(m)
	}
	r, _, err := (&dns.Client{Net: network, UDPSize: 4096, Timeout: 20 * time.Second}).Exchange(m, h.addr)
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	return r
}

// text is an answer in short: its code if it is not success, then the records' data.
func text(r *dns.Msg) string {
	var parts []string
	if r.Rcode != dns.RcodeSuccess {
		parts = append(parts, dns.RcodeToString[r.Rcode])
	}
	for _, rr := range r.Answer {
		parts = append(parts, strings.ReplaceAll(strings.TrimPrefix(rr.String(), rr.Header().String()), "\"", ""))
	}
	slices.Sort(parts)
	if len(parts) == 0 && len(r.Ns) == 1 {
		return "NODATA"
	}
	return strings.Join(parts, ", ")
}

// svc is a Service with one cluster address; ip "None" makes it headless, "" leaves it without.
func svc(name, ip string, ports ...answer.Port) answer.Service {
	s := answer.Service{Namespace: "shop", Name: name, Ports: ports}
	switch ip {
	case "":
	case "None":
		s.Headless = true
	default:
		s.Addresses = []netip.Addr{netip.MustParseAddr(ip)}
	}
	return s
}

func alias(name, to string) answer.Service {
	return answer.Service{Namespace: "shop", Name: name, External: to}
}

func ready(ip, hostname string) answer.Endpoint {
	return answer.Endpoint{Addresses: []netip.Addr{netip.MustParseAddr(ip)}, Hostname: hostname, Ready: true}
}

func unready(ip, hostname string) answer.Endpoint {
	e := ready(ip, hostname)
	e.Ready = false
	return e
}

func slice(owner, name string, endpoints ...answer.Endpoint) answer.Slice {
	return answer.Slice{Namespace: "shop", Name: name, Service: owner, Endpoints: endpoints, Ports: []answer.Port{{Name: "sql", Protocol: "tcp", Number: 3306}}}
}

func TestNamesFollowTheSpecification(t *testing.T) {
	h := start(t)
	h.put(svc("web", "10.96.0.20", answer.Port{Name: "http", Number: 80, Protocol: "tcp"}))
	h.put(svc("mysql", "None", answer.Port{Name: "sql", Number: 3306, Protocol: "tcp"}))
	h.putSlice(slice("mysql", "mysql-1", ready("10.244.0.5", "mysql-0"), unready("10.244.0.6", "mysql-1"), ready("10.244.0.7", "")))
	early := svc("early", "None")
	early.PublishNotReady = true
	h.put(early)
	h.putSlice(slice("early", "early-1", unready("10.244.0.9", "")))
	h.put(alias("alias", "web.shop.svc.cluster.local"))
	h.put(svc("empty", "None"))
	for _, c := range []struct {
		name string
		kind uint16
		want string
	}{
		{"web.shop.svc.cluster.local.", dns.TypeA, "10.96.0.20"},
		{"WEB.Shop.svc.Cluster.Local.", dns.TypeA, "10.96.0.20"},
		{"web.shop.svc.cluster.local.", dns.TypeAAAA, "NODATA"},
		{"web.shop.svc.cluster.local.", dns.TypeMX, "NODATA"},
		{"web.shop.svc.cluster.local.", dns.TypeSRV, "0 100 80 web.shop.svc.cluster.local."},
		{"_http._tcp.web.shop.svc.cluster.local.", dns.TypeSRV, "0 100 80 web.shop.svc.cluster.local."},
		{"_http._tcp.web.shop.svc.cluster.local.", dns.TypeA, "NODATA"},
		{"_http._udp.web.shop.svc.cluster.local.", dns.TypeSRV, "NXDOMAIN"},
		{"_tcp.web.shop.svc.cluster.local.", dns.TypeSRV, "NODATA"},
		{"mysql.shop.svc.cluster.local.", dns.TypeA, "10.244.0.5, 10.244.0.7"},
		{"mysql-0.mysql.shop.svc.cluster.local.", dns.TypeA, "10.244.0.5"},
		{"mysql-1.mysql.shop.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"10-244-0-7.mysql.shop.svc.cluster.local.", dns.TypeA, "10.244.0.7"},
		{"_sql._tcp.mysql.shop.svc.cluster.local.", dns.TypeSRV, "0 100 3306 10-244-0-7.mysql.shop.svc.cluster.local., 0 100 3306 mysql-0.mysql.shop.svc.cluster.local."},
		{"early.shop.svc.cluster.local.", dns.TypeA, "10.244.0.9"},
		{"empty.shop.svc.cluster.local.", dns.TypeA, "NODATA"},
		{"alias.shop.svc.cluster.local.", dns.TypeA, "10.96.0.20, web.shop.svc.cluster.local."},
		{"alias.shop.svc.cluster.local.", dns.TypeCNAME, "web.shop.svc.cluster.local."},
		{"none.shop.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"shop.svc.cluster.local.", dns.TypeA, "NODATA"},
		{"none.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"svc.cluster.local.", dns.TypeA, "NODATA"},
		{"cluster.local.", dns.TypeSOA, "ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 5"},
		{"example.com.shop.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"10-244-0-5.shop.pod.cluster.local.", dns.TypeA, "10.244.0.5"},
		{"10-244-0.shop.pod.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"dns-version.cluster.local.", dns.TypeTXT, "1.1.0"},
		{"20.0.96.10.in-addr.arpa.", dns.TypePTR, "web.shop.svc.cluster.local."},
		{"5.0.244.10.in-addr.arpa.", dns.TypePTR, "mysql-0.mysql.shop.svc.cluster.local."},
		{"7.0.244.10.in-addr.arpa.", dns.TypePTR, "10-244-0-7.mysql.shop.svc.cluster.local."},
		{"9.9.9.10.in-addr.arpa.", dns.TypePTR, "SERVFAIL"}, // not ours, and there is no other server
		{"example.com.", dns.TypeA, "SERVFAIL"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := text(h.ask(network, c.name, c.kind, nil)); got != c.want {
				t.Errorf("%s %s by %s: got %q, want %q", c.name, dns.TypeToString[c.kind], network, got, c.want)
			}
		}
	}
	r := h.ask("udp", "web.shop.svc.cluster.local.", dns.TypeA, nil)
	if !r.Authoritative || r.Answer[0].Header().Ttl != 5 {
		t.Errorf("not authoritative for 5 seconds: %v", r)
	}
}

func TestAnswersFollowChanges(t *testing.T) {
	h := start(t)
	h.put(svc("a", "10.96.0.30"))
	want := func(name, answer string) {
		t.Helper()
		if got := text(h.ask("udp", name, dns.TypeA, nil)); got != answer {
			t.Fatalf("%s: got %q, want %q", name, got, answer)
		}
	}
	want("a.shop.svc.cluster.local.", "10.96.0.30")
	h.put(svc("a", "None"))
	want("a.shop.svc.cluster.local.", "NODATA")
	h.putSlice(slice("a", "s", ready("10.244.0.1", "")))
	want("a.shop.svc.cluster.local.", "10.244.0.1")
	h.put(svc("b", "None"))
	h.putSlice(slice("b", "s", ready("10.244.0.1", ""))) // now of another Service
	want("a.shop.svc.cluster.local.", "NODATA")
	want("b.shop.svc.cluster.local.", "10.244.0.1")
	h.server.Update(func(x *answer.Index) { x.RemoveSlice("shop", "s") })
	want("b.shop.svc.cluster.local.", "NODATA")
	h.server.Update(func(x *answer.Index) { x.RemoveService("shop", "a") })
	h.server.Update(func(x *answer.Index) { x.RemoveService("shop", "b") })
	want("b.shop.svc.cluster.local.", "NXDOMAIN")
}

func TestUnknownClusterIsFailureNotAbsence(t *testing.T) {
	h := startUnknowing(t)
	if got := text(h.ask("udp", "web.shop.svc.cluster.local.", dns.TypeA, nil)); got != "SERVFAIL" {
		t.Fatal(got)
	}
}

func TestLargeAnswersAreCutOverUDPOnly(t *testing.T) {
	h := start(t)
	h.put(svc("many", "None"))
	var list []answer.Endpoint
	for i := range 200 {
		list = append(list, ready(fmt.Sprintf("10.244.1.%d", i+1), ""))
	}
	h.putSlice(slice("many", "many-1", list...))
	r := h.ask("udp", "many.shop.svc.cluster.local.", dns.TypeA, nil)
	r.Compress = true
	if n := len(r.Answer); !r.Truncated || n < 25 || r.Len() > 512 {
		t.Fatalf("plain: truncated %v, %d answers", r.Truncated, n)
	}
	r = h.ask("udp", "many.shop.svc.cluster.local.", dns.TypeA, func(m *dns.Msg) { m.SetEdns0(4096, false) })
	if n := len(r.Answer); !r.Truncated || n < 60 || r.IsEdns0() == nil || r.IsEdns0().UDPSize() != 1232 {
		t.Fatalf("EDNS: truncated %v, %d answers, %v", r.Truncated, n, r.IsEdns0())
	}
	r = h.ask("tcp", "many.shop.svc.cluster.local.", dns.TypeA, nil)
	if r.Truncated || len(r.Answer) != 200 {
		t.Fatalf("TCP: truncated %v, %d answers", r.Truncated, len(r.Answer))
	}
}

func TestOddQueriesAreRefusedPolitely(t *testing.T) {
	h := start(t)
	h.put(svc("web", "10.96.0.20"))
	for _, c := range []struct {
		what   string
		mutate func(*dns.Msg)
		want   int
	}{
		{"two questions", func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.RcodeFormatError},
		{"no question", func(m *dns.Msg) { m.Question = nil }, dns.RcodeFormatError},
		{"an update", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		{"class chaos", func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		{"a zone transfer", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAXFR }, dns.RcodeRefused},
		{"EDNS version 1", func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }, dns.RcodeBadVers},
	} {
		if r := h.ask("udp", "web.shop.svc.cluster.local.", dns.TypeA, c.mutate); r.Rcode != c.want {
			t.Errorf("%s: %s, want %s", c.what, dns.RcodeToString[r.Rcode], dns.RcodeToString[c.want])
		}
	}
}

// upstream is a name server of the test's, which counts its questions.
func upstream(t *testing.T, handler dns.HandlerFunc) (netip.AddrPort, *atomic.Int64) {
	t.Helper()
	count := new(atomic.Int64)
	socket, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	counted := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) { count.Add(1); handler(w, m) })
	for _, s := range []*dns.Server{{PacketConn: socket.UDP, Handler: counted}, {Listener: socket.TCP, Handler: counted}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return socket.Address(), count
}

func reply(records ...string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg)
		r.SetReply(m)
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			r.Answer = append(r.Answer, rr)
		}
		w.WriteMsg(r)
	}
}

func TestOtherNamesAreForwardedAndKept(t *testing.T) {
	h := start(t)
	up, count := upstream(t, reply("example.com. 3600 IN A 192.0.2.7", "example.com. 3600 IN TYPE65400 \\# 2 0102"))
	h.server.forward.setServers([]netip.AddrPort{up})
	for range 3 {
		r := h.ask("udp", "eXample.com.", dns.TypeA, nil)
		if len(r.Answer) != 2 || r.Answer[0].(*dns.A).A.String() != "192.0.2.7" || r.Question[0].Name != "eXample.com." {
			t.Fatal(r)
		}
	}
	if n := count.Load(); n != 1 {
		t.Fatalf("the server was asked %d times", n)
	}
	if r := h.ask("udp", "example.com.", dns.TypeA, nil); r.Answer[0].Header().Ttl > 30 {
		t.Fatal("kept too long:", r)
	}
	h.ask("tcp", "example.com.", dns.TypeA, nil)
}

func TestAliasToAnotherNameIsFollowed(t *testing.T) {
	h := start(t)
	up, _ := upstream(t, reply("db.example.com. 60 IN A 192.0.2.8"))
	h.server.forward.setServers([]netip.AddrPort{up})
	h.put(alias("db", "db.example.com"))
	if got := text(h.ask("udp", "db.shop.svc.cluster.local.", dns.TypeA, nil)); got != "192.0.2.8, db.example.com." {
		t.Fatal(got)
	}
}

func TestAliasesInACircleEnd(t *testing.T) {
	h := start(t)
	h.put(alias("a", "a.shop.svc.cluster.local"))
	if got := text(h.ask("udp", "a.shop.svc.cluster.local.", dns.TypeA, nil)); got != "SERVFAIL" {
		t.Fatal(got)
	}
}

func TestSilentServerGivesWayToTheNext(t *testing.T) {
	h := start(t)
	closed, _ := net.ListenPacket("udp", "127.0.0.1:0")
	dead := netip.MustParseAddrPort(closed.LocalAddr().String())
	closed.Close() // refuses at once
	failing, _ := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		r := new(dns.Msg)
		r.SetRcode(m, dns.RcodeServerFailure)
		w.WriteMsg(r)
	})
	good, _ := upstream(t, reply("example.org. 60 IN A 192.0.2.9"))
	h.server.forward.setServers([]netip.AddrPort{dead, failing, good})
	if got := text(h.ask("udp", "example.org.", dns.TypeA, nil)); got != "192.0.2.9" {
		t.Fatal(got)
	}
}

func TestOwnAddressIsNeverAsked(t *testing.T) {
	h := start(t)
	h.server.forward.setServers([]netip.AddrPort{netip.MustParseAddrPort(h.addr)})
	if got := text(h.ask("udp", "example.org.", dns.TypeA, nil)); got != "SERVFAIL" {
		t.Fatal(got)
	}
}

func TestForgedAnswersAreIgnored(t *testing.T) {
	h := start(t)
	up, _ := upstream(t, func(w dns.ResponseWriter, m *dns.Msg) {
		forged := new(dns.Msg)
		forged.SetReply(m)
		forged.Id++
		rr, _ := dns.NewRR("example.net. 60 IN A 6.6.6.6")
		forged.Answer = append(forged.Answer, rr)
		w.WriteMsg(forged)
		forged.Id--
		forged.Question[0].Name = "other.net."
		w.WriteMsg(forged)
		reply("example.net. 60 IN A 192.0.2.1")(w, m)
	})
	h.server.forward.setServers([]netip.AddrPort{up})
	if got := text(h.ask("udp", "example.net.", dns.TypeA, nil)); got != "192.0.2.1" {
		t.Fatal(got)
	}
}

func TestResolversAreReadAgainWhenTheFileChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "resolv.conf")
	real := filepath.Join(dir, "real")
	if err := os.Symlink("real", path); err != nil {
		t.Fatal(err)
	}
	w, err := watchFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan []netip.AddrPort, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(func() {
			if list, err := readResolvConf(path); err == nil {
				seen <- list
			}
		})
	}()
	defer func() { w.close(); <-done }()
	if err := os.WriteFile(real+".new", []byte("# comment\nsearch x\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\noptions edns0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(real+".new", real); err != nil {
		t.Fatal(err)
	}
	for list := range seen {
		if len(list) == 2 && list[0] == netip.MustParseAddrPort("192.0.2.1:53") {
			return
		}
	}
}
