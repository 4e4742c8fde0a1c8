// Package etcdtest runs a real etcd server for tests: Debian's, or any that is on the PATH. A test is skipped
// where there is none, unless SAMPAN_E2E=require; then it fails. Nothing is left behind.
package etcdtest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a running etcd.
type Server struct {
	Endpoint string // HOST:PORT
	Data     string // its folder; to be changed between Kill and Run only

	args   []string
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has ended
	output bytes.Buffer  // of cmd, to be read when it has ended
}

// Host is the address of this process's servers: a loopback address of its own. What others listen on and connect from
// is 127.0.0.1, so nobody takes a port between the moment it is found free and that in which etcd listens there, nor
// while etcd is down.
func Host() netip.Addr {
	pid := os.Getpid() // below 2^22
	return netip.AddrFrom4([4]byte{127, byte(64 + pid>>16), byte(pid >> 8), byte(pid)})
}

// Start starts an empty etcd on [Host], which ends with the test. More arguments may be given for the server; scheme is
// http, or https if they name certificates.
func Start(t testing.TB, scheme string, more ...string) *Server {
	t.Helper()
	return start(t, 1, scheme, more...)[0]
}

// StartCluster is Start for an etcd of several members.
func StartCluster(t testing.TB, members int, more ...string) []*Server {
	t.Helper()
	return start(t, members, "http", more...)
}

func start(t testing.TB, members int, scheme string, more ...string) []*Server {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatal("needs etcd: apt-get install etcd-server")
		}
		t.Skip("needs etcd: apt-get install etcd-server")
	}
	free := freeAddresses(t, 2*members)
	var all []string
	for i := range members {
		all = append(all, fmt.Sprintf("m%d=http://%s", i, free[2*i+1]))
	}
	servers := make([]*Server, members)
	for i := range servers {
		s := &Server{Endpoint: free[2*i], Data: dataDir(t)}
		client, peer := scheme+"://"+free[2*i], "http://"+free[2*i+1]
		s.args = append([]string{
			fmt.Sprint("--name=m", i), "--data-dir=" + s.Data, "--log-level=error",
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + strings.Join(all, ","),
		}, more...)
		servers[i] = s
		s.launch(t)
		t.Cleanup(func() { s.Kill() })
	}
	for _, s := range servers {
		s.await(t)
	}
	return servers
}

// Run starts the server again after Kill, with the data that it had.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	s.launch(t)
	s.await(t)
}

func (s *Server) launch(t testing.TB) {
	t.Helper()
	s.output.Reset()
	s.cmd = exec.Command("etcd", s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait() // if it was killed, it says so
	}()
}

// await returns when the server accepts connections, which it does when it is a member that can answer.
func (s *Server) await(t testing.TB) {
	t.Helper()
	for {
		conn, err := net.DialTimeout("tcp", s.Endpoint, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("etcd does not listen on %s:\n%s", s.Endpoint, s.output.Bytes())
		case <-time.After(5 * time.Millisecond): // it does not say when it listens
		}
	}
}

// Kill ends the server at once; its data stay.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // unless it has ended
	<-s.ended
}

// Hang stops the server where it is, for good; its connections stay.
func (s *Server) Hang(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// dataDir returns a folder in memory where there is one: what a test wants of etcd is not its disk.
func dataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sampan-etcd-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// freeAddresses returns addresses of [Host] on which nobody listens.
func freeAddresses(t testing.TB, n int) (free []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", netip.AddrPortFrom(Host(), 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		free = append(free, l.Addr().String())
	}
	return free
}
