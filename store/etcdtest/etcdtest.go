// Package etcdtest runs a real etcd server for tests: Debian's, or any that is on the PATH. A test is skipped
// where there is none, unless SAMPAN_E2E=require; then it fails. Nothing is left behind.
package etcdtest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Server is a running etcd.
type Server struct {
	Endpoint string // HOST:PORT

	args   []string
	cmd    *exec.Cmd
	output bytes.Buffer
}

// Start starts an empty etcd on 127.0.0.1, which ends with the test. More arguments may be given for the server;
// scheme is http, or https if they name certificates.
func Start(t testing.TB, scheme string, more ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatal("needs etcd: apt-get install etcd-server")
		}
		t.Skip("needs etcd: apt-get install etcd-server")
	}
	s := &Server{Endpoint: freeAddress(t)}
	client, peer := scheme+"://"+s.Endpoint, "http://"+freeAddress(t)
	s.args = append([]string{
		"--name=test", "--data-dir=" + dataDir(t), "--log-level=error",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=test=" + peer,
	}, more...)
	s.Run(t)
	t.Cleanup(func() { s.Kill() })
	return s
}

// Run starts the server again after Kill, with the data that it had.
func (s *Server) Run(t testing.TB) {
	t.Helper()
	s.output.Reset()
	s.cmd = exec.Command("etcd", s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.await(t)
}

// await returns when the server accepts connections, which it does when it is a member that can answer.
func (s *Server) await(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		conn, err := net.DialTimeout("tcp", s.Endpoint, time.Second)
		if err == nil {
			conn.Close()
			return
		}
		if syscall.Kill(s.cmd.Process.Pid, 0) != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.Kill()
	t.Fatalf("etcd does not listen on %s:\n%s", s.Endpoint, s.output.Bytes())
}

// Kill ends the server at once; its data stay.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed, and says so
	s.cmd = nil
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

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
