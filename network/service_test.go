package network_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/podruntime"
)

func port(n int32, protocol corev1.Protocol) corev1.ServicePort {
	return corev1.ServicePort{Port: n, Protocol: protocol}
}

func TestPodReachesItselfThroughItsService(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	p.serve(":8080", "self")
	m.source.put(service("self", "10.96.0.21", nil, port(80, "TCP")), endpoints("self", "TCP", 8080, p.addr))
	p.wantAnswer("10.96.0.21:80", "self", m.net.Gateway().String())
}

func TestNodePortIsOnEveryAddressButLoopback(t *testing.T) {
	m := newMachine(t)
	p, other := m.pod(), m.pod()
	p.serve(":8080", "web")
	sp := port(80, "TCP")
	sp.NodePort = 30080
	m.source.put(service("web", "10.96.0.22", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }, sp), endpoints("web", "TCP", 8080, p.addr))
	m.outside.wantAnswer(nodeAddress+":30080", "web", outsideAddress)
	m.host.wantAnswer(nodeAddress+":30080", "web", "")
	other.wantAnswer(nodeAddress+":30080", "web", other.addr.String())
	p.wantAnswer(nodeAddress+":30080", "web", m.net.Gateway().String())
	if _, _, err := m.host.ask("127.0.0.1:30080"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal("loopback:", err)
	}
}

func TestServiceWithoutEndpointsRefusesAtOnce(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	sp := port(80, "TCP")
	sp.NodePort = 30081
	m.source.put(service("none", "10.96.0.23", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }, sp))
	for _, c := range []struct {
		from *space
		to   string
	}{{p.space, "10.96.0.23:80"}, {m.host, "10.96.0.23:80"}, {m.outside, nodeAddress + ":30081"}, {p.space, "10.96.0.23:81"}} {
		if _, _, err := c.from.ask(c.to); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: %v", c.to, err)
		}
	}
}

func TestExternalAndLoadBalancerAddresses(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	p.serve(":8080", "web")
	for _, a := range []string{"203.0.113.1/32", "203.0.113.2/32", "203.0.113.3/32"} {
		route(t, m.outside, a, nodeAddress)
	}
	m.source.put(
		service("web", "10.96.0.24", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalIPs = corev1.ServiceTypeLoadBalancer, []string{"203.0.113.1"}
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.2"}}
		}, port(80, "TCP")), endpoints("web", "TCP", 8080, p.addr),
		service("shut", "10.96.0.25", func(s *corev1.Service) {
			s.Spec.Type, s.Spec.LoadBalancerSourceRanges = corev1.ServiceTypeLoadBalancer, []string{"192.168.77.1/32", "198.51.100.0/24"}
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.3"}}
		}, port(80, "TCP")), endpoints("shut", "TCP", 8080, p.addr))
	for _, a := range []string{"203.0.113.1:80", "203.0.113.2:80", "203.0.113.3:80"} {
		m.outside.wantAnswer(a, "web", outsideAddress)
	}
	other := m.pod()
	other.wantAnswer("203.0.113.2:80", "web", "")
	var err error
	other.do(func() { _, err = net.DialTimeout("tcp4", "203.0.113.3:80", 50*time.Millisecond) })
	if err == nil {
		t.Fatal("a source that is not in the ranges came through")
	}
}

func TestExternalTrafficPolicyLocalKeepsToTheNode(t *testing.T) {
	m := newMachine(t)
	here := m.pod()
	here.serve(":8080", "here")
	// Plays a pod of another node: the outside has the address.
	m.outside.serve(":8080", "there")
	eps := endpoints("web", "TCP", 8080, here.addr, netip.MustParseAddr(outsideAddress))
	eps.Endpoints[1].NodeName = new("n2")
	sp := port(80, "TCP")
	sp.NodePort = 30082
	local := func(s *corev1.Service) {
		s.Spec.Type, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeNodePort, corev1.ServiceExternalTrafficPolicyLocal
	}
	m.source.put(service("web", "10.96.0.26", local, sp), eps)
	for range 4 {
		m.outside.wantAnswer(nodeAddress+":30082", "here", outsideAddress)
	}
	seen := map[string]bool{}
	for range 4 {
		name, _, err := here.ask("10.96.0.26:80")
		if err != nil {
			t.Fatal(err)
		}
		seen[name] = true
	}
	if !seen["here"] || !seen["there"] {
		t.Fatal("the cluster IP is not for every endpoint:", seen)
	}
	far := eps.DeepCopy()
	far.Endpoints = far.Endpoints[1:]
	m.source.put(far)
	var err error
	m.outside.do(func() { _, err = net.DialTimeout("tcp4", nodeAddress+":30082", 50*time.Millisecond) })
	if e := net.Error(nil); !errors.As(err, &e) || !e.Timeout() {
		t.Fatal("without a local endpoint traffic is to be dropped:", err)
	}
	m.host.wantAnswer(nodeAddress+":30082", "there", "")
}

func TestSessionAffinityKeepsAClientAndLetsGoOfADeadEndpoint(t *testing.T) {
	m := newMachine(t)
	var pods []*pod
	var addrs []netip.Addr
	for _, name := range []string{"x", "y", "z"} {
		p := m.pod()
		p.serve(":8080", name)
		pods, addrs = append(pods, p), append(addrs, p.addr)
	}
	sticky := func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }
	m.source.put(service("web", "10.96.0.27", sticky, port(80, "TCP")), endpoints("web", "TCP", 8080, addrs...))
	a, b := m.pod(), m.pod()
	ask := func(p *pod) string {
		t.Helper()
		name, _, err := p.ask("10.96.0.27:80")
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	first, second := ask(a), ask(b)
	if first == second {
		t.Fatal("two clients were not balanced")
	}
	for range 10 {
		if got := ask(a); got != first {
			t.Fatalf("client moved from %s to %s", first, got)
		}
	}
	// A new process keeps clients where they are.
	m.stop()
	m.start()
	m.source.settle()
	if got := ask(b); got != second {
		t.Fatalf("client moved from %s to %s at a restart", second, got)
	}
	var rest []netip.Addr
	for i, name := range []string{"x", "y", "z"} {
		if name != first {
			rest = append(rest, pods[i].addr)
		}
	}
	m.source.put(endpoints("web", "TCP", 8080, rest...))
	moved := ask(a)
	if moved == first {
		t.Fatal("client was sent to an endpoint that is gone")
	}
	for range 10 {
		if got := ask(a); got != moved {
			t.Fatalf("client moved from %s to %s", moved, got)
		}
	}
}

func TestHostPorts(t *testing.T) {
	m := newMachine(t)
	p := m.pod(podruntime.HostPort{HostPort: 8088, ContainerPort: 80, Protocol: "TCP"},
		podruntime.HostPort{HostIP: netip.MustParseAddr(nodeAddress), HostPort: 8089, ContainerPort: 80, Protocol: "TCP"})
	p.serve(":80", "pod")
	for _, from := range []*space{m.outside, m.host, p.space} {
		from.wantAnswer(nodeAddress+":8088", "pod", "")
		from.wantAnswer(nodeAddress+":8089", "pod", "")
	}
	if err := m.net.Detach(context.Background(), p.id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.outside.ask(nodeAddress + ":8088"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal("after Detach:", err)
	}
}

// echo answers each datagram with the name.
func (s *space) echo(address, name string) {
	s.t.Helper()
	var c net.PacketConn
	var err error
	s.do(func() { c, err = net.ListenPacket("udp4", address) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo([]byte(name), from)
		}
	}()
}

func TestUDPClientMovesWhenItsEndpointGoes(t *testing.T) {
	m := newMachine(t)
	x, y, client := m.pod(), m.pod(), m.pod()
	x.echo(":53", "x")
	y.echo(":53", "y")
	m.source.put(service("dns", "10.96.0.28", nil, port(53, "UDP")))
	var c net.Conn
	var err error
	client.do(func() { c, err = net.Dial("udp4", "10.96.0.28:53") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func() (string, error) {
		buf := make([]byte, 100)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("?")); err != nil {
			return "", err
		}
		n, err := c.Read(buf)
		return string(buf[:n]), err
	}
	if _, err := ask(); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal("no endpoint:", err)
	}
	m.source.put(endpoints("dns", "UDP", 53, x.addr))
	for range 3 {
		if got, err := ask(); got != "x" {
			t.Fatal(got, err)
		}
	}
	m.source.put(endpoints("dns", "UDP", 53, y.addr))
	for range 3 {
		if got, err := ask(); got != "y" {
			t.Fatal("the client is still sent to the old endpoint:", got, err)
		}
	}
}

func TestTheAPIServerIsReachedByItsService(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	m.host.serve(m.net.Gateway().String()+":6443", "api")
	eps := endpoints("kubernetes", "TCP", 6443, m.net.Gateway())
	eps.Endpoints[0].NodeName = nil
	m.source.put(service("kubernetes", "10.96.0.1", nil, port(443, "TCP")), eps)
	p.wantAnswer("10.96.0.1:443", "api", p.addr.String())
	m.host.wantAnswer("10.96.0.1:443", "api", "")
}

func TestRestartInterruptsNoConnection(t *testing.T) {
	m := newMachine(t)
	p, client := m.pod(), m.pod()
	var l net.Listener
	var err error
	p.do(func() { l, err = net.Listen("tcp4", ":8080") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprint(c, line)
		}
	}()
	m.source.put(service("web", "10.96.0.29", nil, port(80, "TCP")), endpoints("web", "TCP", 8080, p.addr))
	var c net.Conn
	client.do(func() { c, err = net.Dial("tcp4", "10.96.0.29:80") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	say := func(word string) {
		t.Helper()
		fmt.Fprintln(c, word)
		if got, err := r.ReadString('\n'); got != word+"\n" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	say("before")
	m.stop()
	say("while it is away")
	m.start()
	m.source.settle()
	say("after")
	if addrs, err := m.net.Attach(context.Background(), podruntime.Attachment{SandboxID: p.id, NetNS: p.path()}); err != nil || addrs[0] != p.addr {
		t.Fatal("a repeated Attach:", addrs, err)
	}
	say("after a repeated Attach")
	if err := m.net.Reconcile(context.Background(), []string{p.id}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.ask(client.addr.String() + ":1"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal("Reconcile left the client:", err)
	}
}

func TestNoConnectionFailsWhileEndpointsAreReplaced(t *testing.T) {
	m := newMachine(t)
	var addrs []netip.Addr
	for i := range 6 {
		p := m.pod()
		p.serve(":8080", fmt.Sprint("p", i))
		addrs = append(addrs, p.addr)
	}
	client := m.pod()
	m.source.put(service("web", "10.96.0.30", nil, port(80, "TCP")), endpoints("web", "TCP", 8080, addrs[:3]...))
	stop := make(chan struct{})
	failed := make(chan error, 2)
	for range 2 {
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				if _, _, err := client.ask("10.96.0.30:80"); err != nil {
					failed <- fmt.Errorf("connection %d: %w", n, err)
					return
				}
			}
		}()
	}
	for i := range 60 {
		from, n := i%4, 1+i%5
		m.source.put(endpoints("web", "TCP", 8080, addrs[from:min(from+n, 6)]...))
	}
	close(stop)
	for range 2 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func TestRemovedServiceIsRefused(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	p.serve(":8080", "web")
	m.source.put(service("web", "10.96.0.31", nil, port(80, "TCP")), endpoints("web", "TCP", 8080, p.addr))
	p.wantAnswer("10.96.0.31:80", "web", "")
	m.source.Remove(kind.Services, "default", "web")
	m.source.Remove(kind.EndpointSlices, "default", "web-1")
	m.source.settle()
	if _, _, err := p.ask("10.96.0.31:80"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Fatal(err)
	}
	m.source.put(service("web", "10.96.0.31", nil, port(80, "TCP")), endpoints("web", "TCP", 8080, p.addr))
	p.wantAnswer("10.96.0.31:80", "web", "")
}
