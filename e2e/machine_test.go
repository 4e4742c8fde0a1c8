//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// The cable between the two namespaces (RFC 5737 documentation addresses).
const (
	nodeAddress    = "198.51.100.1"
	outsideAddress = "198.51.100.2"
)

// patience bounds waits for what is to happen in a moment: only a hang takes so long.
const patience = time.Minute

var root = func() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// machine is a node to run a server on: two network namespaces and a data directory.
type machine struct {
	t             *testing.T
	node, outside netns.NsHandle
	dataDir       string
	started       bool
}

// newMachine makes the namespaces. The test's end removes them and checks that nothing is left.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	m := &machine{t: t, dataDir: filepath.Join(t.TempDir(), "data")}
	m.inThread(func() error {
		var err error
		if m.node, err = netns.New(); err != nil {
			return err
		}
		if m.outside, err = netns.New(); err != nil {
			return err
		}
		nodeLinks, err := netlink.NewHandleAt(m.node)
		if err != nil {
			return err
		}
		defer nodeLinks.Close()
		outsideLinks, err := netlink.NewHandleAt(m.outside)
		if err != nil {
			return err
		}
		defer outsideLinks.Close()
		cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "cable"}, PeerName: "cable", PeerNamespace: netlink.NsFd(m.outside)}
		if err := nodeLinks.LinkAdd(cable); err != nil {
			return fmt.Errorf("cable: %w", err)
		}
		for _, end := range []struct {
			links   *netlink.Handle
			address string
		}{{nodeLinks, nodeAddress}, {outsideLinks, outsideAddress}} {
			if err := plug(end.links, end.address); err != nil {
				return err
			}
		}
		// The node's default route leads outside, where nobody forwards: what leaves the node goes nowhere.
		return nodeLinks.RouteAdd(&netlink.Route{Gw: net.ParseIP(outsideAddress)})
	})
	t.Cleanup(m.tearDown)
	return m
}

func plug(links *netlink.Handle, address string) error {
	for _, name := range []string{"lo", "cable"} {
		link, err := links.LinkByName(name)
		if err != nil {
			return err
		}
		if name == "cable" {
			addr, err := netlink.ParseAddr(address + "/24")
			if err != nil {
				return err
			}
			if err := links.AddrAdd(link, addr); err != nil {
				return err
			}
		}
		if err := links.LinkSetUp(link); err != nil {
			return err
		}
	}
	return nil
}

// inThread runs f in a thread of its own whose network namespace f may change.
func (m *machine) inThread(f func() error) {
	m.t.Helper()
	done := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, and its namespace with it.
		runtime.LockOSThread()
		done <- f()
	}()
	if err := <-done; err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) tearDown() {
	if m.t.Failed() && m.started {
		log, _ := os.ReadFile(filepath.Join(m.dataDir, "server.log"))
		m.t.Logf("the server's log:\n%s", tail(log, 60))
		pods, _ := m.try("bin/kubectl", "get", "pods", "-A")
		warnings, _ := m.try("bin/kubectl", "events", "-A", "--types=Warning")
		m.t.Logf("pods:\n%s\nwarnings:\n%s", pods, tail([]byte(warnings), 30))
	}
	if out, err := m.try("bin/sampan", "down", "--purge", "--grace", "1s"); err != nil {
		m.t.Errorf("down: %v\n%s", err, out)
	}
	m.nothingIsLeft()
	m.node.Close()
	m.outside.Close()
}

func tail(b []byte, lines int) []byte {
	all := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}

// command is a program of this repository (bin/…, examples/…) that runs on the node.
func (m *machine) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	switch program {
	case "bin/sampan":
		if args[0] == "image" {
			args = append([]string{args[0], args[1], "--data-dir", m.dataDir}, args[2:]...)
		} else {
			args = append(args, "--data-dir", m.dataDir)
		}
	case "bin/kubectl":
		args = append([]string{"--kubeconfig", filepath.Join(m.dataDir, "kubeconfig")}, args...)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, program), args...)
	cmd.Dir = root
	// kubectl keeps its discovery cache below the home directory.
	cmd.Env = append(os.Environ(), "HOME="+filepath.Dir(m.dataDir))
	return cmd
}

// start starts a command on the node: a process gets the network namespace of the thread that forks it.
func (m *machine) start(cmd *exec.Cmd) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(m.node); err != nil {
			done <- err
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// try runs a program on the node and returns what it printed.
func (m *machine) try(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := m.command(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := m.start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// must runs a program that must succeed and returns what it printed.
func (m *machine) must(program string, args ...string) string {
	m.t.Helper()
	out, err := m.try(program, args...)
	if err != nil {
		m.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

func (m *machine) kubectl(args ...string) string { m.t.Helper(); return m.must("bin/kubectl", args...) }

// up starts the server.
func (m *machine) up() string {
	m.t.Helper()
	m.started = true
	return m.must("bin/sampan", "up")
}

// until runs kubectl until it says what is wanted: for what follows by itself and kubectl cannot wait for.
func (m *machine) until(want string, args ...string) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		out, err := m.try("bin/kubectl", args...)
		if err == nil && strings.Contains(out, want) {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("kubectl %s: %v, says\n%s\nwant %q in it", strings.Join(args, " "), err, out, want)
		}
	}
}

// endpoints waits until a Service leads to these pods, and no others. They are in the order of their names.
func (m *machine) endpoints(service string, pods ...string) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		out := m.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name="+service,
			"-o", `jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name}{"\n"}{end}`)
		ready := strings.Fields(out)
		slices.Sort(ready)
		if slices.Equal(ready, pods) {
			return
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("Service %s leads to %v, want %v", service, ready, pods)
		}
	}
}

// apply applies a manifest.
func (m *machine) apply(manifest string) {
	m.t.Helper()
	file := filepath.Join(m.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o644); err != nil {
		m.t.Fatal(err)
	}
	m.kubectl("apply", "-f", file)
}

// importBusybox makes the image busybox:e2e of Debian's static busybox and package e2e/peer.
func (m *machine) importBusybox() {
	m.t.Helper()
	rootfs := filepath.Join(m.t.TempDir(), "rootfs")
	buildRootfs(m.t, rootfs)
	m.must("bin/sampan", "image", "import", rootfs, "--tag", "busybox:e2e")
}

// buildRootfs makes a root file system with busybox and peer.
func buildRootfs(t *testing.T, dir string) {
	t.Helper()
	script := `set -e
mkdir -p "$1/bin" "$1/etc" "$1/tmp"
cp /bin/busybox "$1/bin/busybox"
for applet in $(/bin/busybox --list); do [ $applet = busybox ] || ln -s busybox "$1/bin/$applet"; done
CGO_ENABLED=0 "$2" build -trimpath -ldflags '-s -w' -o "$1/bin/peer" ./peer`
	golang, err := exec.LookPath("go")
	if err != nil {
		t.Fatalf("go builds the test image's program: %v", err)
	}
	if out, err := exec.Command("sh", "-c", script, "sh", dir, golang).CombinedOutput(); err != nil {
		t.Fatalf("root file system of the test image: %v\n%s", err, out)
	}
}

// httpClient returns a client whose connections come from the outside namespace, one per request.
func (m *machine) httpClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Timeout: 20 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				type result struct {
					conn net.Conn
					err  error
				}
				done := make(chan result, 1)
				go func() {
					// For a literal address the socket is made in this very thread.
					runtime.LockOSThread()
					if err := netns.Set(m.outside); err != nil {
						done <- result{err: err}
						return
					}
					conn, err := dialer.DialContext(ctx, network, address)
					done <- result{conn, err}
				}()
				r := <-done
				return r.conn, r.err
			},
		},
	}
}

// load sends GET requests from outside, one after the other in each of a few workers, until stop is called.
type load struct {
	stop     context.CancelFunc
	wait     sync.WaitGroup
	mu       sync.Mutex // guards what follows
	requests int
	failures []string
}

func (m *machine) load(url string, workers int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel}
	client := m.httpClient()
	// A pause between requests keeps the load generator from taking both cores from what it measures.
	pause := time.NewTicker(20 * time.Millisecond)
	for range workers {
		l.wait.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-pause.C:
				}
				began := time.Now()
				status, body, err := get(client, url)
				l.mu.Lock()
				l.requests++
				switch {
				case err != nil:
					l.failures = append(l.failures, fmt.Sprintf("%s after %s: %v", began.Format("15:04:05.000"), time.Since(began), err))
				case status != http.StatusOK:
					l.failures = append(l.failures, fmt.Sprintf("%s after %s: status %d: %.300s", began.Format("15:04:05.000"), time.Since(began), status, body))
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

// end stops the load and fails the test if a request failed.
func (l *load) end(t *testing.T, while string) {
	t.Helper()
	l.stop()
	l.wait.Wait()
	if l.requests < 20 {
		t.Errorf("%s: only %d requests were sent", while, l.requests)
	}
	if len(l.failures) > 0 {
		t.Errorf("%s: %d of %d requests failed:\n%s", while, len(l.failures), l.requests, strings.Join(l.failures[:min(10, len(l.failures))], "\n"))
	}
	t.Logf("%s: %d requests, %d failed", while, l.requests, len(l.failures))
}
