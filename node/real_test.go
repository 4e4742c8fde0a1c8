package node_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"sampan/kind"
	"sampan/node"
	"sampan/podruntime"
	"sampan/podruntime/linux"
	"sampan/view"
)

// busyboxImages has every image, and all of them are busybox.
type busyboxImages struct{ layer string }

func (i busyboxImages) Open(context.Context, string) (podruntime.Image, error) {
	return podruntime.Image{ID: "sha256:busybox", Layers: []string{i.layer}, Config: imagespec.ImageConfig{
		Env: []string{"PATH=/bin"}, Cmd: []string{"/bin/sh"}}}, nil
}

// loopback is a pod network that has nothing but loopback.
type loopback struct{}

func (loopback) Attach(_ context.Context, a podruntime.Attachment) ([]netip.Addr, error) {
	ns, err := netns.GetFromPath(a.NetNS)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, h.LinkSetUp(lo)
}

func (loopback) Detach(context.Context, string) error { return nil }

// machine is a node with real processes.
type machine struct {
	t       *testing.T
	api     *fakeAPI
	events  *fakeEvents
	agent   *node.Agent
	runtime *podruntime.Server
	dir     string
	stop    func()
}

func require(t *testing.T, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("SAMPAN_E2E") == "require" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	require(t, os.Geteuid() == 0, "needs root")
	busybox, err := exec.LookPath("busybox")
	require(t, err == nil, "needs busybox (Debian: busybox-static)")
	m := &machine{t: t, api: newAPI(), events: &fakeEvents{}, dir: t.TempDir()}
	layer := filepath.Join(m.dir, "rootfs")
	for _, d := range []string{"bin", "etc", "tmp", "proc", "sys", "dev"} {
		if err := os.MkdirAll(filepath.Join(layer, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(layer, "bin/busybox"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields("sh cat echo ls sleep id hostname touch test mount nc") {
		if err := os.Symlink("busybox", filepath.Join(layer, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	m.start()
	t.Cleanup(func() {
		m.stop()
		if err := m.runtime.RemoveAll(context.Background(), 0); err != nil {
			t.Errorf("remove all: %v", err)
		}
		m.runtime.Close()
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || strings.Contains(string(mounts), m.dir) {
			t.Errorf("mounts are left below %s (%v)", m.dir, err)
		}
	})
	return m
}

func (m *machine) start() {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	instance := "ntest" + filepath.Base(filepath.Dir(m.dir))[max(0, len(filepath.Base(filepath.Dir(m.dir)))-6):]
	driver, err := linux.New(linux.Config{Root: m.dir + "/data", State: m.dir + "/run", Instance: instance})
	if err != nil && strings.Contains(err.Error(), "run make") {
		require(m.t, false, err.Error())
	}
	if err != nil {
		m.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(m.t.Output(), nil))
	m.runtime, err = podruntime.New(ctx, podruntime.Config{Driver: driver, Images: busyboxImages{m.dir + "/rootfs"}, Network: loopback{}, Instance: instance, Log: log})
	if err != nil {
		m.t.Fatal(err)
	}
	m.agent, err = node.New(node.Config{
		Name: "n1", Client: m.api, Runtime: m.runtime.Client(), Images: &fakeImages{present: map[string]bool{"img": true}},
		Events: m.events, Root: m.dir + "/root", State: m.dir + "/state", PodLogs: m.dir + "/logs", Log: log,
		NodeAddresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- m.agent.Run(ctx) }()
	m.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			m.t.Errorf("agent ended with %v", err)
		}
	}
}

// await waits for a state of a pod, by the API's own events.
func (m *machine) await(name, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 20*time.Second)
	defer cancel()
	for {
		snap := m.api.Snapshot()
		pod, _ := view.Get[*corev1.Pod](snap, kind.Pods, "default", name)
		if ok(pod) {
			return pod
		}
		if err := m.api.Wait(ctx, snap.Revision()); err != nil {
			m.t.Fatalf("pod %s does not become %s: %+v; events %+v", name, what, pod, m.events.list)
		}
	}
}

func ready(p *corev1.Pod) bool { return condition(p, corev1.PodReady) == corev1.ConditionTrue }
func gone(p *corev1.Pod) bool  { return p == nil }

func (m *machine) create(obj kind.Object) {
	m.t.Helper()
	if _, err := m.api.Create(m.t.Context(), obj, metav1.CreateOptions{}); err != nil {
		m.t.Fatal(err)
	}
}

// sh runs a command in a pod through the agent's HTTP handler, as kubectl exec does.
func (m *machine) sh(server *httptest.Server, pod, command string) string {
	m.t.Helper()
	u, err := url.Parse(server.URL + "/exec/default/" + pod + "/web")
	if err != nil {
		m.t.Fatal(err)
	}
	q := url.Values{"command": {"sh", "-c", command}, "output": {"1"}, "error": {"1"}}
	u.RawQuery = q.Encode()
	executor, err := remotecommand.NewSPDYExecutor(&rest.Config{Host: server.URL}, http.MethodPost, u)
	if err != nil {
		m.t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	err = executor.StreamWithContext(m.t.Context(), remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut})
	if err != nil {
		m.t.Fatalf("%s: %v (%s)", command, err, errOut.String())
	}
	return strings.TrimSpace(out.String())
}

// forward reads what a port of a pod says, as kubectl port-forward does.
func (m *machine) forward(server *httptest.Server, pod string, port int) string {
	m.t.Helper()
	u, err := url.Parse(server.URL + "/portForward/default/" + pod)
	if err != nil {
		m.t.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{Host: server.URL})
	if err != nil {
		m.t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	stop, ready := make(chan struct{}), make(chan struct{})
	fw, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(port)}, stop, ready, io.Discard, m.t.Output())
	if err != nil {
		m.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- fw.ForwardPorts() }()
	defer func() {
		close(stop)
		if err := <-done; err != nil {
			m.t.Error(err)
		}
	}()
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		m.t.Fatal(err)
	}
	ports, err := fw.GetPorts()
	if err != nil {
		m.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(int(ports[0].Local)))
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	data, err := io.ReadAll(conn)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func TestRealPod(t *testing.T) {
	m := newMachine(t)
	m.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"}, Data: map[string]string{"greeting": "hello", "other": "x"}})
	m.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "default"}, Data: map[string][]byte{"password": []byte("pw")}})
	gid := int64(2000)
	expr := "$(GREETING)"
	pod := newPod("web", func(p *corev1.Pod) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &gid}
		p.Spec.Hostname, p.Spec.Subdomain = "web-0", "db"
		p.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"alias.test"}}}
		p.Spec.Volumes = []corev1.Volume{
			{Name: "cm", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}},
			{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}},
			{Name: "mem", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: resource.NewQuantity(1<<20, resource.BinarySI)}}},
			{Name: "disk", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		}
		c := &p.Spec.Containers[0]
		c.Command = []string{"sh", "-c", "echo out $(GREETING); echo err >&2; (while :; do echo from the pod | nc -l -p 8080; done) & trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"}
		c.Env = []corev1.EnvVar{
			{Name: "GREETING", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "greeting"}}},
			{Name: "TWICE", Value: "$(GREETING) $(GREETING) $$(GREETING)"},
			{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		}
		c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")}
		c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		c.VolumeMounts = []corev1.VolumeMount{
			{Name: "cm", MountPath: "/cm"}, {Name: "s", MountPath: "/s"}, {Name: "mem", MountPath: "/mem"},
			{Name: "disk", MountPath: "/sub", SubPathExpr: expr}, {Name: "disk", MountPath: "/disk"},
			{Name: "cm", MountPath: "/one", SubPath: "other"},
		}
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-d", "/cm"}}}, PeriodSeconds: 10, TimeoutSeconds: 5}
	})
	m.create(pod)
	m.await("web", "ready", ready)
	server := httptest.NewServer(m.agent.Handler())
	defer server.Close()

	for command, want := range map[string]string{
		"cat /cm/greeting":        "hello",
		"cat /s/password":         "pw",
		"cat /one":                "x",
		"echo $TWICE $NAME":       "hello hello $(GREETING) web",
		"touch /sub/f; ls /disk":  "hello",
		"hostname":                "web-0",
		"cat /etc/hosts | sed 1q": "",
	} {
		if want == "" {
			continue
		}
		if got := m.sh(server, "web", command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if hosts := m.sh(server, "web", "cat /etc/hosts"); !strings.Contains(hosts, "192.0.2.1\talias.test") {
		t.Errorf("hosts:\n%s", hosts)
	}
	if groups := m.sh(server, "web", "id"); !strings.Contains(groups, "2000") {
		t.Errorf("id: %s", groups)
	}
	// kubectl takes WebSocket, and SPDY where that is refused.
	u, err := url.Parse(server.URL + "/exec/default/web/web?command=hostname&output=1")
	if err != nil {
		t.Fatal(err)
	}
	ws, err := remotecommand.NewWebSocketExecutor(&rest.Config{Host: server.URL}, http.MethodGet, u.String())
	if err != nil {
		t.Fatal(err)
	}
	plain, err := remotecommand.NewSPDYExecutor(&rest.Config{Host: server.URL}, http.MethodPost, u)
	if err != nil {
		t.Fatal(err)
	}
	both, err := remotecommand.NewFallbackExecutor(ws, plain, httpstream.IsUpgradeFailure)
	if err != nil {
		t.Fatal(err)
	}
	var name bytes.Buffer
	if err := both.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdout: &name}); err != nil || name.String() != "web-0\n" {
		t.Errorf("exec with fallback: %q, %v", name.String(), err)
	}
	resp, err := http.Get(server.URL + "/containerLogs/default/web/web?follow=true") // it may not be there yet
	if err != nil {
		t.Fatal(err)
	}
	logged, lines := map[string]bool{}, bufio.NewScanner(resp.Body)
	for len(logged) < 2 && lines.Scan() {
		logged[lines.Text()] = true
	}
	resp.Body.Close()
	if !logged["out hello"] || !logged["err"] {
		t.Errorf("logs %v, %v", logged, lines.Err())
	}

	// A changed ConfigMap reaches the running pod in one step.
	cm, _ := view.Get[*corev1.ConfigMap](m.api.Snapshot(), kind.ConfigMaps, "default", "cm")
	cm = cm.DeepCopy()
	cm.Data = map[string]string{"greeting": "bye", "new": "n"}
	if _, err := m.api.Update(t.Context(), cm, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := m.sh(server, "web", "while [ ! -e /cm/new ]; do sleep 0.01; done; cat /cm/greeting; ls /cm"); cmp.Diff(got, "byegreeting\nnew") != "" {
		t.Errorf("after the update: %q", got)
	}

	m.sh(server, "web", "until case $(cat /proc/net/tcp /proc/net/tcp6) in *:1F90*) true;; *) false;; esac; do :; done") // nc listens
	if got := m.forward(server, "web", 8080); got != "from the pod" {
		t.Errorf("port-forward: %q", got)
	}

	begin := time.Now()
	if _, err := m.api.Delete(t.Context(), view.KeyOf(kind.Pods, pod), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	m.await("web", "gone", gone)
	t.Logf("deleted in %v", time.Since(begin))
	for _, dir := range []string{"/root/pods", "/logs"} {
		if entries, err := os.ReadDir(m.dir + dir); err != nil || len(entries) > 0 {
			t.Errorf("%s holds %v (%v)", dir, entries, err)
		}
	}
}

func TestRealPodsAreReadySoonAndSurviveTheAgent(t *testing.T) {
	m := newMachine(t)
	begin := time.Now()
	m.create(newPod("one", func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sleep", "1000"} }))
	m.await("one", "ready", ready)
	t.Logf("one pod ready after %v", time.Since(begin))
	var names []string
	begin = time.Now()
	for i := range 10 {
		name := "many-" + string(rune('a'+i))
		names = append(names, name)
		m.create(newPod(name, func(p *corev1.Pod) { p.Spec.Containers[0].Command = []string{"sleep", "1000"} }))
	}
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = m.await(name, "ready", ready).Status.ContainerStatuses[0].ContainerID
	}
	t.Logf("%d pods ready after %v", len(names), time.Since(begin))
	m.stop()
	m.runtime.Close()
	m.start()
	for _, name := range names {
		pod := m.await(name, "ready", ready)
		if st := pod.Status.ContainerStatuses[0]; st.ContainerID != ids[name] || st.RestartCount != 0 {
			t.Errorf("%s was restarted: %+v", name, st)
		}
	}
}
