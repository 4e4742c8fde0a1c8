package feed

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	resolverdns "sampan/dns"
	"sampan/internal/helper"
	"sampan/kind"
	"sampan/view/viewtest"
)

// TestMain makes the test binary the name server process too: it is started by a link with that name.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "resolver" {
		if err := resolverdns.Main(os.Args[1:], slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func svc(name, ip string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{ClusterIP: ip}}
}

func slice(owner, name string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: owner}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discoveryv1.EndpointPort{{Name: new("sql"), Port: new(int32(3306)), Protocol: new(corev1.ProtocolTCP)}},
	}
}

// node is a machine of the test's: a run folder, and what is started in it.
type node struct {
	t         *testing.T
	cfg       Config
	linked    string
	complains bool // the log need not be empty
	patience  time.Duration
}

func newNode(t *testing.T) *node {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	n := &node{t: t, patience: answerMax, linked: filepath.Join(dir, "resolver"), cfg: Config{
		Source: viewtest.NewSource(), Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Domain: "cluster.local",
		ResolvConf: filepath.Join(dir, "resolv.conf"), RunDir: filepath.Join(dir, "run"), Log: slog.New(slog.DiscardHandler),
	}}
	if err := errors.Join(os.Symlink(self, n.linked), os.WriteFile(n.cfg.ResolvConf, nil, 0o600), os.Mkdir(n.cfg.RunDir, 0o700)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pids := n.pids()
		if err := Stop(context.Background(), n.cfg.RunDir); err != nil {
			t.Error(err)
		}
		for _, pid := range pids {
			if n.runs(pid) {
				t.Errorf("name server %d was left behind", pid)
			}
		}
		if _, err := os.Stat(Dir(n.cfg.RunDir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder of sockets was left behind: %v", err)
		}
		if text, _ := os.ReadFile(filepath.Join(n.cfg.RunDir, "dns.log")); len(text) > 0 && !n.complains {
			t.Errorf("the name server complained: %s", text)
		}
	})
	return n
}

func (n *node) source() *viewtest.Source { return n.cfg.Source.(*viewtest.Source) }

// pids returns the processes whose control sockets are there.
func (n *node) pids() (list []int) {
	entries, err := os.ReadDir(Dir(n.cfg.RunDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			n.t.Fatal(err)
		}
		if n.runs(pid) {
			list = append(list, pid)
		}
	}
	return list
}

// runs reports whether a process runs and is a name server of this node.
func (n *node) runs(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return err == nil && strings.HasPrefix(string(line), "resolver\x00"+Dir(n.cfg.RunDir)+"\x00")
}

// server is a feed that runs.
type server struct {
	n    *node
	feed *Feed
	stop func() error // ends the feed, as the end of the server does
	ctx  context.Context
	done chan struct{}
	err  error
}

// start starts a server's part, of a build, and waits until names are answered.
func (n *node) start(build string) *server {
	n.t.Helper()
	f, err := newFeed(n.cfg, helper.Helper{Path: n.linked, Hash: build}, n.patience)
	if err != nil {
		n.t.Fatal(err)
	}
	if n.cfg.Listen[0].Port() == 0 {
		n.cfg.Listen = f.Addresses()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{n: n, feed: f, ctx: ctx, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = f.Run(ctx)
	}()
	s.stop = sync.OnceValue(func() error { cancel(); <-s.done; return s.err })
	n.t.Cleanup(func() { _ = s.stop() })
	return s
}

func (s *server) ready() *server {
	s.n.t.Helper()
	select {
	case <-s.feed.Ready():
	case <-s.done:
		log, _ := os.ReadFile(filepath.Join(s.n.cfg.RunDir, "dns.log"))
		s.n.t.Fatalf("Run: %v; log: %s", s.err, log)
	}
	return s
}

// addressOf asks for a name of the shop, "" if there is none.
func (n *node) addressOf(name string) string {
	n.t.Helper()
	answer, err := n.ask(name)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer
}

func (n *node) ask(name string) (string, error) { return n.askBy("udp", name) }

func (n *node) askBy(network, name string) (string, error) {
	m := new(dns.Msg)
	m.SetQuestion(name+".shop.svc.cluster.local.", dns.TypeA)
	r, _, err := (&dns.Client{Net: network, Timeout: 20 * time.Second}).Exchange(m, n.cfg.Listen[0].String())
	if err != nil {
		return "", err
	}
	var list []string
	for _, rr := range r.Answer {
		list = append(list, rr.(*dns.A).A.String())
	}
	slices.Sort(list)
	return strings.Join(list, " "), nil
}

func (n *node) want(name, address string) {
	n.t.Helper()
	if got := n.addressOf(name); got != address {
		n.t.Fatalf("%s: got %q, want %q", name, got, address)
	}
}

// gone waits until a process has ended.
func (n *node) gone(pid int) {
	n.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		n.t.Fatal(err)
	}
	defer unix.Close(fd)
	if !n.runs(pid) {
		return
	}
	if err := ended(n.t.Context(), fd); err != nil {
		n.t.Fatal(err)
	}
}

func TestAnswersFollowTheCluster(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	change := func(f func()) { f(); n.source().Settle(s.ctx) }
	n.want("web", "10.96.0.20")
	change(func() { n.source().Put(kind.Services, svc("mysql", "None")) })
	n.want("mysql", "")
	change(func() {
		n.source().Put(kind.EndpointSlices, slice("mysql", "s", discoveryv1.Endpoint{Addresses: []string{"10.244.0.5"}, Hostname: new("mysql-0")}))
	})
	n.want("mysql-0.mysql", "10.244.0.5")
	change(func() { n.source().Put(kind.Services, svc("other", "None")) })
	change(func() {
		n.source().Put(kind.EndpointSlices, slice("other", "s", discoveryv1.Endpoint{Addresses: []string{"10.244.0.5"}}))
	})
	n.want("mysql", "")
	n.want("other", "10.244.0.5")
	change(func() { n.source().Remove(kind.EndpointSlices, "shop", "s") })
	n.want("other", "")
	change(func() { n.source().Remove(kind.Services, "shop", "web") })
	n.want("web", "")
	n.source().Forget()
	change(func() { n.source().Put(kind.Services, svc("late", "10.96.0.21")) })
	n.want("late", "10.96.0.21")
}

func TestNamesOutliveTheServer(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	before := n.pids()
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	n.want("web", "10.96.0.20")

	// The next server has no view yet. It finds the process, and takes no name away.
	full := n.source()
	n.cfg.Source = viewtest.NewSource()
	s = n.start("one")
	n.want("web", "10.96.0.20")
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}

	n.cfg.Source = full
	full.Put(kind.Services, svc("api", "10.96.0.21"))
	full.Remove(kind.Services, "shop", "web")
	n.start("one").ready()
	n.want("api", "10.96.0.21")
	n.want("web", "")
	if after := n.pids(); len(before) != 1 || !slices.Equal(before, after) {
		t.Fatalf("processes %v, then %v", before, after)
	}
}

func TestDeadNameServerIsReplacedAndNoQuestionIsLost(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	n.start("one").ready()
	n.want("web", "10.96.0.20")
	pid := n.pids()[0]
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.gone(pid)
	n.want("web", "10.96.0.20") // this one waits in the socket
	if now := n.pids(); len(now) != 1 || now[0] == pid {
		t.Fatalf("processes %v after the end of %d", now, pid)
	}
}

func TestUpgradeLosesNoQuestion(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	old := n.pids()[0]

	stop := make(chan struct{})
	var asked sync.WaitGroup
	for _, network := range []string{"udp", "tcp", "udp", "tcp"} {
		asked.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := n.askBy(network, "web"); err != nil || got != "10.96.0.20" {
					t.Errorf("during the upgrade, by %s: %q, %v", network, got, err)
					return
				}
			}
		})
	}
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	n.source().Put(kind.Services, svc("api", "10.96.0.21"))
	n.start("two").ready()
	n.gone(old)
	close(stop)
	asked.Wait()
	n.want("api", "10.96.0.21")
	if now := n.pids(); len(now) != 1 || now[0] == old {
		t.Fatalf("processes %v after the upgrade of %d", now, old)
	}
}

// suspend stops a child of the test's, and waits until it does nothing more.
func suspend(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
}

func TestStuckNameServerIsReplaced(t *testing.T) {
	t.Parallel() // it waits for its patience to end
	n := newNode(t)
	n.patience = 5 * time.Second // the start of the next one included
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	stuck := n.pids()[0]
	suspend(t, stuck)
	n.source().Put(kind.Services, svc("api", "10.96.0.21"))
	n.want("api", "10.96.0.21") // asked of the stuck one, answered by the next
	n.gone(stuck)

	// So is one that is found.
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	stuck = n.pids()[0]
	suspend(t, stuck)
	n.start("one").ready()
	n.gone(stuck)
	n.want("api", "10.96.0.21")
}

func TestFurtherAddressKeepsTheFirstSocket(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	old := n.pids()[0]
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	n.cfg.Listen = append(n.cfg.Listen, netip.MustParseAddrPort("127.0.0.2:0"))
	s = n.start("one").ready()
	n.gone(old)
	if got := s.feed.Addresses(); len(got) != 2 || got[0] != n.cfg.Listen[0] {
		t.Fatal(got)
	}
	n.want("web", "10.96.0.20")
}

// A server that is started anew in another network namespace must not rely on a name server of the old one.
func TestNameServerOfAnotherNetworkIsNotTakenOver(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	here, there := make(chan int), make(chan int)
	for _, c := range []struct {
		unshare bool
		out     chan int
	}{{false, here}, {true, there}} {
		go func() {
			if c.unshare {
				runtime.LockOSThread() // and the thread ends with the goroutine
				if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
					t.Error(err)
				}
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
			}
			c.out <- fd
		}()
	}
	ours, theirs := <-here, <-there
	defer unix.Close(ours)
	defer unix.Close(theirs)
	if !sameNetwork([]int{ours}) || sameNetwork([]int{theirs}) {
		t.Fatal("the network namespace of a socket was not told")
	}
}

func TestOtherAddressNeedsAnotherProcess(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	old := n.pids()[0]
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	before := n.cfg.Listen[0]
	n.cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:0")}
	n.start("one").ready()
	n.gone(old)
	n.want("web", "10.96.0.20")
	if l, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(before)); err != nil {
		t.Fatalf("the old address is still taken: %v", err)
	} else {
		l.Close()
	}
}

func TestNewerServerTakesOver(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	first := n.start("one").ready()
	second := viewtest.NewSource()
	second.Put(kind.Services, svc("api", "10.96.0.21"))
	n.cfg.Source = second
	n.start("one").ready()
	<-first.done
	if !errors.Is(first.err, errReplaced) {
		t.Fatal(first.err)
	}
	n.want("web", "")
	n.want("api", "10.96.0.21")
}

func TestNameServerEndsWithItsControlSocket(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	pid := n.pids()[0]
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := os.RemoveAll(Dir(n.cfg.RunDir)); err != nil {
		t.Fatal(err)
	}
	n.gone(pid)
}

func TestStopNeedsNoServerAndNoNameServer(t *testing.T) {
	n := newNode(t)
	if err := Stop(t.Context(), n.cfg.RunDir); err != nil {
		t.Fatal(err)
	}
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	s := n.start("one").ready()
	if err := s.stop(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// A socket that a killed process left, whose number another process may have now.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(Dir(n.cfg.RunDir), strconv.Itoa(os.Getpid()))})
	if err != nil {
		t.Skip("the test's folder has too long a name for a socket:", err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	pid := n.pids()[0]
	if err := Stop(t.Context(), n.cfg.RunDir); err != nil {
		t.Fatal(err)
	}
	if n.runs(pid) {
		t.Fatal("it runs")
	}
	if _, err := n.ask("web"); err == nil {
		t.Fatal("it answers")
	}
}

func TestProgramThatCannotServeIsAnError(t *testing.T) {
	n := newNode(t)
	n.source().Put(kind.Services, svc("web", "10.96.0.20"))
	n.complains = true
	n.cfg.ResolvConf = filepath.Join(n.cfg.RunDir, "nowhere", "resolv.conf")
	s := n.start("one")
	<-s.done
	if s.err == nil || !strings.Contains(s.err.Error(), "nowhere") {
		t.Fatal(s.err)
	}
}

func TestAddressInUseIsAnErrorAtOnce(t *testing.T) {
	n := newNode(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n.cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort(c.LocalAddr().String())}
	if _, err := newFeed(n.cfg, helper.Helper{Path: n.linked, Hash: "one"}, n.patience); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatal(err)
	}
}
