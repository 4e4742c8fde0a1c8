package apiserver_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"sampan/apiserver"
)

// serveTLS starts Serve, and returns its address and what it returns when ctx ends.
func serveTLS(ctx context.Context, t *testing.T, s *apiserver.Server) (addr string, ended <-chan error) {
	t.Helper()
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	t.Cleanup(certs.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, certs.TLS) }()
	return l.Addr().String(), done
}

// TestFailedHandshakesAreCounted sends what is no TLS.
func TestFailedHandshakesAreCounted(t *testing.T) {
	s := newMemory(t)
	ctx, stop := context.WithCancel(t.Context())
	addr, done := serveTLS(ctx, t, s)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("nonsense\n")); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, conn) // until the server gives up
	if text := ask(t, s.Handler(), "GET", "/metrics", "").Body.String(); !strings.Contains(text, "\napiserver_tls_handshake_errors_total 1\n") {
		t.Error("the handshake is not counted")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestServeStopsItsWatches checks that a stopped server ends its streams and returns.
func TestServeStopsItsWatches(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	addr, done := serveTLS(ctx, t, newMemory(t))
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Get("https://" + addr + "/api/v1/pods?watch=true")
	if err != nil {
		t.Fatal(err)
	}
	if res.ProtoMajor != 2 {
		t.Errorf("protocol %s", res.Proto)
	}
	stop()
	io.Copy(io.Discard, res.Body) // ends
	res.Body.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestKubectlWorks drives the server with the kubectl that is installed, if there is one.
func TestKubectlWorks(t *testing.T) {
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("no kubectl")
	}
	url, home := plain(t, newMemory(t)), t.TempDir()
	manifest := `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: nginx, ports: [{containerPort: 80}]}
`
	for _, step := range []struct{ args, stdin, want string }{
		{"get namespaces", "", "kube-system"},
		{"api-resources", "", "deployments"},
		{"explain deployment.spec.strategy", "", "rollingUpdate"},
		{"apply -f -", manifest, "deployment.apps/web created"},
		{"apply -f -", strings.Replace(manifest, "image: nginx", "image: nginx:2", 1), "deployment.apps/web configured"},
		{"apply -f -", strings.Replace(manifest, "replicas: 2", "replicsa: 2", 1), `unknown field "spec.replicsa"`},
		{"get deployment web -o wide", "", "nginx:2"},
		{"scale deployment web --replicas=5", "", "deployment.apps/web scaled"},
		{"get deployment web -o jsonpath={.spec.replicas}", "", "5"},
		{"set image deployment/web c=foo", "", "image updated"},
		{"rollout restart deployment web", "", "restarted"},
		{"describe deployment web", "", "RollingUpdate"},
		{"label deployment web a=b", "", "labeled"},
		{"delete deployment web", "", `deployment.apps "web" deleted`},
		{"get deployment web", "", `deployments.apps "web" not found`},
	} {
		cmd := exec.CommandContext(t.Context(), path, append([]string{"--server=" + url}, strings.Fields(step.args)...)...)
		cmd.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin"}
		cmd.Stdin = strings.NewReader(step.stdin)
		out, _ := cmd.CombinedOutput()
		if !strings.Contains(string(out), step.want) {
			t.Errorf("kubectl %s:\n%s\nwant %s", step.args, out, step.want)
		}
	}
}
