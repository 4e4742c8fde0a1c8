package network_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/client"
	"sampan/kind"
	"sampan/network"
	"sampan/podruntime"
	"sampan/view/viewtest"
)

// needRoot skips a test that makes network namespaces.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatal("not root")
		}
		t.Skip("needs root")
	}
}

// space is a network namespace that the test made.
type space struct {
	t      testing.TB
	handle netns.NsHandle
}

func newSpace(t testing.TB) *space {
	t.Helper()
	type result struct {
		h   netns.NsHandle
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		h, err := netns.New()
		done <- result{h, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal("make a network namespace:", r.err)
	}
	s := &space{t, r.h}
	t.Cleanup(func() { r.h.Close() })
	s.links(func(h *netlink.Handle) {
		lo, err := h.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetUp(lo); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

func (s *space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(s.handle)) }

// do runs f on a thread in the namespace.
func (s *space) do(f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := netns.Set(s.handle)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		panic(err)
	}
}

func (s *space) links(f func(*netlink.Handle)) {
	s.t.Helper()
	h, err := netlink.NewHandleAt(s.handle)
	if err != nil {
		s.t.Fatal(err)
	}
	defer h.Close()
	f(h)
}

// join connects two namespaces by a veth pair with an address on each end.
func join(t testing.TB, a *space, aName, aAddr string, b *space, bName, bAddr string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a.links(func(h *netlink.Handle) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.Flags = aName, 1400, net.FlagUp
		must(h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: bName, PeerNamespace: netlink.NsFd(b.handle)}))
		addr, err := netlink.ParseAddr(aAddr)
		must(err)
		l, err := h.LinkByName(aName)
		must(err)
		must(h.AddrAdd(l, addr))
	})
	b.links(func(h *netlink.Handle) {
		l, err := h.LinkByName(bName)
		must(err)
		addr, err := netlink.ParseAddr(bAddr)
		must(err)
		must(h.AddrAdd(l, addr))
		must(h.LinkSetUp(l))
	})
	a.operational(aName)
	b.operational(bName)
}

// operational makes the kernel let an interface send. It does so by itself only some time after it is up, but at
// once when it is asked for the interface (since Linux 6.8).
func (s *space) operational(name string) {
	s.t.Helper()
	s.links(func(h *netlink.Handle) {
		l, err := h.LinkByName(name)
		if err == nil {
			_, err = h.LinkByIndex(l.Attrs().Index)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	})
}

func route(t testing.TB, s *space, to, via string) {
	t.Helper()
	s.links(func(h *netlink.Handle) {
		r := &netlink.Route{Gw: net.ParseIP(via)}
		if to != "" {
			_, n, err := net.ParseCIDR(to)
			if err != nil {
				t.Fatal(err)
			}
			r.Dst = n
		}
		if err := h.RouteAdd(r); err != nil {
			t.Fatal(err)
		}
	})
}

// source is a client that serves a world of the test's.
type source struct {
	*viewtest.Source
	unused
}

// unused is what else a client has.
type unused struct{ client.Client }

// put sets objects and waits until the reader has done them.
func (s *source) put(objs ...kind.Object) {
	for _, o := range objs {
		switch o.(type) {
		case *corev1.Service:
			s.Put(kind.Services, o)
		case *discoveryv1.EndpointSlice:
			s.Put(kind.EndpointSlices, o)
		}
	}
	s.settle()
}

// settle returns when the reader has done all that the world has.
func (s *source) settle() { s.Settle(context.Background()) }

func service(name, ip string, mutate func(*corev1.Service), ports ...corev1.ServicePort) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, Ports: ports}}
	if mutate != nil {
		mutate(svc)
	}
	return svc
}

func endpoints(svc string, protocol corev1.Protocol, port int32, addrs ...netip.Addr) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: svc + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: svc}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new(""), Port: &port, Protocol: &protocol}},
	}
	for _, a := range addrs {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a.String()}, NodeName: new("n1")})
	}
	return s
}

// machine is a node in a namespace, with an outside.
type machine struct {
	t             testing.TB
	host, outside *space
	source        *source
	config        network.Config
	net           *network.Network
	stop          func()
	sandboxes     int
}

// Addresses of a machine's uplink.
const (
	nodeAddress    = "192.168.77.2"
	outsideAddress = "192.168.77.1"
)

func newMachine(t testing.TB) *machine {
	t.Helper()
	needRoot(t)
	m := &machine{t: t, host: newSpace(t), outside: newSpace(t), source: &source{Source: viewtest.NewSource()}}
	join(t, m.outside, "up0", outsideAddress+"/24", m.host, "up0", nodeAddress+"/24")
	route(t, m.host, "", outsideAddress)
	m.config = network.Config{
		Client: m.source, NodeName: "n1", Instance: t.Name(),
		PodCIDR: netip.MustParsePrefix("10.244.0.0/24"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
		DNSAddress: netip.MustParseAddr("10.96.0.10"), StateDir: t.TempDir() + "/network", NodeAddresses: []netip.Addr{netip.MustParseAddr(nodeAddress)},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), NetNS: m.host.path(),
	}
	m.start()
	t.Cleanup(func() { m.stop() }) // whatever stop is by then
	return m
}

func (m *machine) start() {
	m.t.Helper()
	m.source.NextReader()
	n, err := network.New(m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx)
	}()
	m.net = n
	m.stop = func() {
		cancel()
		<-done
		n.Close()
		m.stop = func() {}
	}
}

// pod is a namespace connected to a machine.
type pod struct {
	*space
	id   string
	addr netip.Addr
}

func (m *machine) pod(ports ...podruntime.HostPort) *pod {
	m.t.Helper()
	m.sandboxes++
	p := &pod{space: newSpace(m.t), id: fmt.Sprintf("sandbox%d", m.sandboxes)}
	addrs, err := m.net.Attach(context.Background(), podruntime.Attachment{SandboxID: p.id, NetNS: p.path(), HostPorts: ports})
	if err != nil {
		m.t.Fatal(err)
	}
	p.addr = addrs[0]
	return p
}

// serve answers each TCP connection with the name and the client's address, until the test ends.
func (s *space) serve(address, name string) {
	s.t.Helper()
	var l net.Listener
	var err error
	s.do(func() { l, err = net.Listen("tcp4", address) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s %s", name, c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
	}()
}

// ask connects and returns what the server says.
func (s *space) ask(address string) (name, client string, err error) {
	var c net.Conn
	s.do(func() {
		c, err = (&net.Dialer{Timeout: 5 * time.Second}).Dial("tcp4", address)
	})
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		return "", "", err
	}
	_, err = fmt.Sscan(string(b), &name, &client)
	return name, client, err
}

func (s *space) wantAnswer(address, name, client string) {
	s.t.Helper()
	gotName, gotClient, err := s.ask(address)
	if err != nil || gotName != name || client != "" && gotClient != client {
		s.t.Fatalf("%s answers %q to client %q, %v; want %q to %q", address, gotName, gotClient, err, name, client)
	}
}
