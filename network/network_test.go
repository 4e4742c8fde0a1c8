package network_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

func TestPodsAndNodeAndOutsideReachEachOther(t *testing.T) {
	m := newMachine(t)
	a, b := m.pod(), m.pod()
	a.serve(":80", "a")
	b.serve(":80", "b")
	m.host.serve(":8080", "node")
	m.outside.serve(":80", "outside")

	a.wantAnswer("127.0.0.1:80", "a", "")
	a.wantAnswer(b.addr.String()+":80", "b", a.addr.String())
	b.wantAnswer(a.addr.String()+":80", "a", b.addr.String())
	m.host.wantAnswer(a.addr.String()+":80", "a", m.net.Gateway().String())
	a.wantAnswer(m.net.Gateway().String()+":8080", "node", a.addr.String())
	a.wantAnswer(m.config.DNSAddress.String()+":8080", "node", a.addr.String())
	a.wantAnswer(outsideAddress+":80", "outside", nodeAddress) // masqueraded

	if _, _, err := a.ask("10.244.0.200:80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal("a pod address that nobody has:", err)
	}
	if _, _, err := m.host.ask("10.244.0.200:80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal("a pod address that nobody has, from the node:", err)
	}
	if _, _, err := a.ask("10.96.1.2:80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal("a Service address that nobody has:", err)
	}
}

func TestConnectionsGoToEndpointsExactlyInTurn(t *testing.T) {
	m := newMachine(t)
	var addrs []netip.Addr
	for _, name := range []string{"x", "y", "z"} {
		p := m.pod()
		p.serve(":8080", name)
		addrs = append(addrs, p.addr)
	}
	client := m.pod()
	m.source.put(service("web", "10.96.0.20", nil, corev1.ServicePort{Port: 80, Protocol: "TCP"}), endpoints("web", "TCP", 8080, addrs...))
	count := map[string]int{}
	for range 3000 {
		name, from, err := client.ask("10.96.0.20:80")
		if err != nil || from != client.addr.String() {
			t.Fatal(from, err)
		}
		count[name]++
	}
	for _, name := range []string{"x", "y", "z"} {
		if n := count[name]; n < 999 || n > 1001 {
			t.Fatalf("not in turn: %v", count)
		}
	}
	for range 6 {
		if _, _, err := m.host.ask("10.96.0.20:80"); err != nil {
			t.Fatal("from the node:", err)
		}
	}
}

func TestDestroyLeavesNothing(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	m.pod()
	if err := m.net.Detach(context.Background(), p.id); err != nil {
		t.Fatal(err)
	}
	m.stop()
	if err := m.net.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.wantClean()
}

func TestFirstPacketsOfAPodAreNotLost(t *testing.T) {
	m := newMachine(t)
	m.host.serve(m.net.Gateway().String()+":8080", "node")
	for range 10 {
		p := m.pod()
		p.serve(":80", "pod")
		for _, c := range []struct {
			from *space
			to   string
		}{{p.space, m.net.Gateway().String() + ":8080"}, {m.host, p.addr.String() + ":80"}} {
			var conn net.Conn
			var err error
			c.from.do(func() { conn, err = net.Dial("tcp4", c.to) })
			if err != nil {
				t.Fatal(err)
			}
			raw, err := conn.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var info *unix.TCPInfo
			if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil || err != nil {
				t.Fatal(e, err)
			}
			conn.Close()
			if info.Total_retrans > 0 {
				t.Fatalf("%s: the first packet had to be sent again", c.to)
			}
		}
	}
}

func TestPodsReachTheClusterDNSAddressOnTheNode(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	address := m.config.DNSAddress.String() + ":53"
	if address != "10.96.0.10:53" {
		t.Fatal(address)
	}
	m.host.echo(address, "dns")
	// A Service of that address, as clusters have one, changes nothing.
	m.source.put(service("kube-dns", "10.96.0.10", nil, port(53, "UDP")))
	for _, from := range []*space{p.space, m.host} {
		var c net.Conn
		var err error
		from.do(func() { c, err = net.Dial("udp4", address) })
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.Read(buf); string(buf[:n]) != "dns" {
			t.Fatal(string(buf[:n]), err)
		}
	}
}
