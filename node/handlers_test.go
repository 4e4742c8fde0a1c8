package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/node/podstate"
)

// localWorker is a worker whose pod is reached at 127.0.0.1, as one on the host network is.
func localWorker(t *testing.T) *worker {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}, Spec: corev1.PodSpec{HostNetwork: true,
		Containers: []corev1.Container{{Name: "c", Image: "img"}}}}
	a := &Agent{cfg: Config{Now: time.Now}, hostIPs: []string{"127.0.0.1"}}
	w := newWorker(a, pod, runtimePod{})
	w.state, _ = podstate.Step(w.state, podstate.Recovered{Sandboxes: []podstate.Sandbox{{ID: "s", Ready: true}}}, time.Now())
	return w
}

func portOf(t *testing.T, addr net.Addr) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestHTTPProbe(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
		case "/redirect":
			http.Redirect(w, r, "/ok?x=1", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		case "/headers":
			if r.Host != "shop.test" || r.Header.Get("X-A") != "1" || !strings.HasPrefix(r.UserAgent(), "kube-probe/") {
				w.WriteHeader(http.StatusTeapot)
			}
		case "/bad":
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	w := localWorker(t)
	for name, c := range map[string]struct {
		get  corev1.HTTPGetAction
		want string // "" for success, else part of the message
	}{
		"ok":       {corev1.HTTPGetAction{Path: "/ok?a=b"}, ""},
		"redirect": {corev1.HTTPGetAction{Path: "/redirect"}, ""},
		"away":     {corev1.HTTPGetAction{Path: "/away"}, ""}, // a redirect to another host counts as success, as upstream
		"headers":  {corev1.HTTPGetAction{Path: "/headers", HTTPHeaders: []corev1.HTTPHeader{{Name: "Host", Value: "shop.test"}, {Name: "X-A", Value: "1"}}}, ""},
		"bad":      {corev1.HTTPGetAction{Path: "/bad"}, "HTTP probe failed with statuscode: 500"},
		"https":    {corev1.HTTPGetAction{Path: "/ok", Scheme: corev1.URISchemeHTTPS}, ""},
		"slow":     {corev1.HTTPGetAction{Path: "/slow"}, "context deadline exceeded"},
		"no port":  {corev1.HTTPGetAction{Port: intstr.FromString("nope")}, "invalid port number: nope"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := plain
			if c.get.Scheme == corev1.URISchemeHTTPS {
				server = secure
			}
			ct := &corev1.Container{Name: "c", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(portOf(t, server.Listener.Addr()))}}}
			if c.get.Port.StrVal == "" {
				c.get.Port = intstr.FromString("web")
			}
			seconds := int32(60)
			if name == "slow" {
				seconds = 1
			}
			err := w.runProbe(t.Context(), w.state.Pod(), ct, "id", &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &c.get}, TimeoutSeconds: seconds})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestTCPAndGRPCProbes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, state := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, state)
	state.SetServingStatus("sick", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	go func() { _ = server.Serve(l) }()
	port := portOf(t, l.Addr())
	w := localWorker(t)
	run := func(h corev1.ProbeHandler) error {
		return w.runProbe(t.Context(), w.state.Pod(), &corev1.Container{}, "id", &corev1.Probe{ProbeHandler: h, TimeoutSeconds: 60})
	}
	sick := "sick"
	if err := run(corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(port)}}); err != nil {
		t.Error(err)
	}
	if err := run(corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: int32(port), Service: &sick}}); err == nil || !strings.Contains(err.Error(), "NOT_SERVING") {
		t.Errorf("a sick service: %v", err)
	}
	if err := run(corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(int32(port))}}); err != nil {
		t.Error(err)
	}
	server.Stop()
	if err := run(corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(int32(port))}}); err == nil {
		t.Error("a closed port is open")
	}
	if err := run(corev1.ProbeHandler{}); err == nil {
		t.Error("a probe without a handler succeeds")
	}
}

// reopener is a runtime that can do nothing but reopen logs.
type reopener struct {
	runtimeapi.RuntimeServiceClient
	path string
	err  error
}

func (r reopener) ReopenContainerLog(context.Context, *runtimeapi.ReopenContainerLogRequest, ...grpc.CallOption) (*runtimeapi.ReopenContainerLogResponse, error) {
	if r.err != nil {
		return nil, r.err
	}
	return &runtimeapi.ReopenContainerLogResponse{}, os.WriteFile(r.path, []byte("new"), 0o600)
}

func TestLongLogsAreRotatedAndFiveAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	a := &Agent{cfg: Config{Runtime: reopener{path: path}}}
	write := func(size int64) {
		t.Helper()
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write(logBytesMax - 1)
	if err := a.rotateLog(t.Context(), runningLog{"id", path}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".1"); !os.IsNotExist(err) {
		t.Error("a short log was rotated")
	}
	for range 7 {
		write(logBytesMax)
		if err := a.rotateLog(t.Context(), runningLog{"id", path}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != logFilesMax {
		t.Errorf("%d files, %v", len(entries), err)
	}
	// A runtime that does not answer goes on writing to the file that it has: it must keep its name.
	write(logBytesMax + 1)
	a.cfg.Runtime = reopener{err: errors.New("no")}
	if err := a.rotateLog(t.Context(), runningLog{"id", path}); err == nil {
		t.Error("no error")
	}
	if st, err := os.Stat(path); err != nil || st.Size() != logBytesMax+1 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestTerminationMessage(t *testing.T) {
	dir := t.TempDir()
	words, log := dir+"/words", dir+"/0.log"
	if err := errors.Join(os.WriteFile(words, []byte("bye"), 0o600),
		os.WriteFile(log, []byte("2026-01-01T00:00:00.000000000Z stderr F panic: x\n"), 0o600), os.WriteFile(dir+"/empty", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	st := func(path, policy string, code int32) *runtimeapi.ContainerStatus {
		return &runtimeapi.ContainerStatus{ExitCode: code, LogPath: log, Annotations: map[string]string{
			"sampan.dev/termination-message-path": path, "io.kubernetes.container.terminationMessagePolicy": policy}}
	}
	for _, c := range []struct {
		st   *runtimeapi.ContainerStatus
		want string
	}{
		{st(words, "File", 1), "bye"}, {st(dir+"/empty", "File", 1), ""}, {st(dir+"/empty", "FallbackToLogsOnError", 1), "panic: x\n"},
		{st(dir+"/empty", "FallbackToLogsOnError", 0), ""}, {st(words, "FallbackToLogsOnError", 1), "bye"},
	} {
		if got := terminationMessage(c.st); got != c.want {
			t.Errorf("%v: %q, want %q", c.st, got, c.want)
		}
	}
}

// exits is a runtime in which every command ends with an exit code and says nothing.
type exits struct {
	runtimeapi.RuntimeServiceClient
	code int32
}

func (e exits) ExecSync(context.Context, *runtimeapi.ExecSyncRequest, ...grpc.CallOption) (*runtimeapi.ExecSyncResponse, error) {
	return &runtimeapi.ExecSyncResponse{ExitCode: e.code}, nil
}

func TestPostStartCommandFailsByItsExitCode(t *testing.T) {
	for code, want := range map[int32]string{0: "", 7: "command 'sh -c exit 7' exited with 7: "} {
		w := localWorker(t)
		w.a.cfg.Runtime = exits{code: code}
		pod := w.state.Pod().DeepCopy()
		pod.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{
			Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "exit 7"}},
		}}
		got := w.postStart(t.Context(), pod, podstate.RunPostStart{Container: "c", ID: "id"})
		if done := got.(podstate.HookDone); done.Err != want {
			t.Errorf("exit code %d: %q, want %q", code, done.Err, want)
		}
	}
}
