package remote_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
	"sampan/apiserver/apiservertest"
	"sampan/apiserver/auth"
	"sampan/client"
	"sampan/client/clienttest"
	"sampan/client/remote"
	"sampan/internal/pki"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/store"
	"sampan/store/memory"
	"sampan/view"
)

var (
	_ client.Client      = (*remote.Client)(nil)
	_ client.TokenIssuer = (*remote.Client)(nil)
)

func newServer(t *testing.T, st store.Store, change ...func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	everyone := func(cfg *apiserver.Config) {
		cfg.Authorizer = func(auth.Attributes) (bool, string) { return true, "" }
	}
	return apiservertest.New(t, st, append([]func(*apiserver.Config){everyone}, change...)...)
}

func newMemory(t *testing.T) *memory.Store {
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	return st
}

// serve serves a handler over TLS and HTTP/2.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// newClient returns a client that follows kinds and runs until the test ends.
func newClient(t *testing.T, url string, change ...func(*remote.Config)) *remote.Client {
	t.Helper()
	cfg := remote.Config{Server: url, TLS: insecure(), Kinds: registry.New(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, id := range clienttest.Kinds() {
		cfg.Follow = append(cfg.Follow, remote.Follow{Kind: id})
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := remote.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		c.Close()
	})
	return c
}

func TestInProcessClientPassesTheSuite(t *testing.T) {
	clienttest.Run(t, func(t *testing.T) client.Client {
		return newServer(t, newMemory(t)).Client(auth.User{Name: "admin", Groups: []string{auth.GroupMasters}})
	})
}

func TestRemoteClientPassesTheSuite(t *testing.T) {
	clienttest.Run(t, func(t *testing.T) client.Client {
		return newClient(t, serve(t, newServer(t, newMemory(t)).Handler()).URL)
	})
}

// proxy passes connections on until they are cut, and refuses new ones while it is closed.
type proxy struct {
	t        *testing.T
	listener net.Listener
	passing  sync.WaitGroup // a connection each

	mu     sync.Mutex
	target string            // "": new connections are refused
	inward map[net.Conn]bool // those that are passed on
}

func newProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, inward: make(map[net.Conn]bool)}
	p.open(target)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(in)
		}
	}()
	t.Cleanup(func() { l.Close(); p.cut() })
	return p
}

func (p *proxy) url() string { return "https://" + p.listener.Addr().String() }

// open passes new connections on to a server.
func (p *proxy) open(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = strings.TrimPrefix(url, "https://")
}

// cut ends all connections and refuses new ones. Nothing is passed on after it returns.
func (p *proxy) cut() {
	p.mu.Lock()
	p.target = ""
	for in := range p.inward {
		in.Close()
	}
	p.mu.Unlock()
	p.passing.Wait()
}

// begin registers a connection and says where it goes, unless it is refused.
func (p *proxy) begin(in net.Conn) (target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target != "" {
		p.inward[in] = true
		p.passing.Add(1)
	}
	return p.target
}

func (p *proxy) end(in net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inward, in)
	p.passing.Done()
}

func (p *proxy) pass(in net.Conn) {
	defer in.Close()
	target := p.begin(in)
	if target == "" {
		return
	}
	defer p.end(in)
	out, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	var copying sync.WaitGroup
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		copying.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			in.Close()
			out.Close()
		})
	}
	copying.Wait()
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

func create(t *testing.T, c client.Client, name string) string {
	t.Helper()
	made, err := c.Create(t.Context(), configMap(name), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetResourceVersion()
}

// shows waits until the view shows an object, or no more.
func shows(t *testing.T, c client.Client, name string, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		snap := c.Snapshot()
		if got := snap.Get(view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: name}) != nil; got == want {
			return
		}
		if err := c.Wait(ctx, snap.Revision()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// drain collects the changes to config maps, in words, since a revision.
func drain(t *testing.T, c client.Client, from int64) (words []string, last int64) {
	t.Helper()
	changes, snap, ok := c.Since(from)
	if !ok {
		t.Fatalf("the history since %d is forgotten", from)
	}
	for _, change := range changes {
		switch {
		case change.Old == nil:
			words = append(words, "+"+change.Key.Name)
		case change.New == nil:
			words = append(words, "-"+change.Key.Name)
		default:
			words = append(words, "~"+change.Key.Name)
		}
	}
	return words, snap.Revision()
}

func TestViewGoesOnWhereTheConnectionBroke(t *testing.T) {
	api := newServer(t, newMemory(t))
	server := serve(t, api.Handler())
	local := api.Client(auth.User{Name: "admin"})
	p := newProxy(t, server.URL)
	c := newClient(t, p.url())
	create(t, local, "before")
	shows(t, c, "before", true)
	_, at := drain(t, c, c.Snapshot().Revision())
	p.cut()
	create(t, local, "meanwhile")
	if _, err := local.Delete(t.Context(), view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: "before"}, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: "meanwhile"}); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("a request without a connection: %v", err)
	}
	p.open(server.URL)
	shows(t, c, "before", false)
	if words, _ := drain(t, c, at); fmt.Sprint(words) != "[+meanwhile -before]" {
		t.Errorf("changes %v", words)
	}
}

// TestForgottenHistoryIsWorkedOut cuts the client off, restarts the server with the same store (whose cache begins
// a new history) and expects the difference as changes.
func TestForgottenHistoryIsWorkedOut(t *testing.T) {
	st := newMemory(t)
	first := newServer(t, st)
	local := first.Client(auth.User{Name: "admin"})
	server := serve(t, first.Handler())
	p := newProxy(t, server.URL)
	c := newClient(t, p.url())
	for _, name := range []string{"kept", "changed", "removed", "replaced"} {
		create(t, local, name)
	}
	shows(t, c, "replaced", true)
	_, at := drain(t, c, c.Snapshot().Revision())
	p.cut()

	next := configMap("changed")
	next.Data = map[string]string{"a": "b"}
	if _, err := local.Update(t.Context(), next, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"removed", "replaced"} {
		if _, err := local.Delete(t.Context(), view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: name}, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create(t, local, "replaced")
	create(t, local, "new")
	again := serve(t, newServer(t, st).Handler())
	p.open(again.URL)
	shows(t, c, "new", true)
	words, last := drain(t, c, at)
	if fmt.Sprint(words) != "[~changed +new -replaced +replaced -removed]" {
		t.Errorf("changes %v", words)
	}
	if last <= at {
		t.Errorf("the view went from %d to %d", at, last)
	}
}

// TestViewNeverGoesBack connects a client that has seen much to a server that has not.
func TestViewNeverGoesBack(t *testing.T) {
	ahead := newServer(t, newMemory(t))
	local := ahead.Client(auth.User{Name: "admin"})
	p := newProxy(t, serve(t, ahead.Handler()).URL)
	asked := make(chan struct{}, 100)
	behind := newServer(t, newMemory(t)).Handler()
	other := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		behind.ServeHTTP(w, r)
		asked <- struct{}{}
	}))
	c := newClient(t, p.url())
	for i := range 5 {
		create(t, local, fmt.Sprint("a", i))
	}
	shows(t, c, "a4", true)
	at := c.Snapshot().Revision()
	p.cut()
	p.open(other.URL)
	<-asked // the other server has answered
	if snap := c.Snapshot(); snap.Revision() != at || snap.Len(kind.ConfigMaps) < 5 {
		t.Errorf("the view went from %d to %d", at, snap.Revision())
	}
}

func TestOnlyWhatIsSelectedIsFollowed(t *testing.T) {
	api := newServer(t, newMemory(t))
	local := api.Client(auth.User{Name: "admin"})
	c := newClient(t, serve(t, api.Handler()).URL, func(cfg *remote.Config) {
		cfg.Follow = []remote.Follow{
			{Kind: kind.ConfigMaps, Namespace: "default", Labels: "tier in (front)"},
			{Kind: kind.Nodes, Fields: "metadata.name=n1"},
		}
	})
	for _, node := range []string{"n1", "n2"} {
		if _, err := local.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create(t, local, "plain")
	front := configMap("front")
	front.Labels = map[string]string{"tier": "front"}
	if _, err := local.Create(t.Context(), front, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	shows(t, c, "front", true)
	if snap := c.Snapshot(); snap.Len(kind.ConfigMaps) != 1 || snap.Len(kind.Nodes) != 1 {
		t.Errorf("the view has %d config maps and %d nodes", snap.Len(kind.ConfigMaps), snap.Len(kind.Nodes))
	}
	front.Labels["tier"] = "back"
	if _, err := local.Update(t.Context(), front, "", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	shows(t, c, "front", false)
}

func TestPartsOfOneKindAddUp(t *testing.T) {
	api := newServer(t, newMemory(t))
	local := api.Client(auth.User{Name: "admin"})
	for _, name := range []string{"a", "b"} {
		create(t, local, name)
	}
	c := newClient(t, serve(t, api.Handler()).URL, func(cfg *remote.Config) {
		cfg.Follow = []remote.Follow{
			{Kind: kind.ConfigMaps, Namespace: "default", Fields: "metadata.name=a"},
			{Kind: kind.ConfigMaps, Namespace: "default", Fields: "metadata.name=c"},
			{Kind: kind.ConfigMaps, Labels: "both"},
		}
	})
	shows(t, c, "a", true)
	at := c.Snapshot().Revision()
	create(t, local, "c")
	both := configMap("a")
	both.Labels = map[string]string{"both": ""} // in two parts now
	for _, labels := range []map[string]string{{"both": ""}, nil} {
		both = both.DeepCopy()
		both.Labels = labels
		if _, err := local.Update(t.Context(), both, "", metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := local.Delete(t.Context(), view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: "c"}, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shows(t, c, "c", false)
	for c.Snapshot().Revision() < local.Snapshot().Revision() {
		if err := c.Wait(t.Context(), c.Snapshot().Revision()); err != nil {
			t.Fatal(err)
		}
	}
	if words, _ := drain(t, c, at); fmt.Sprint(words) != "[+c ~a ~a -c]" {
		t.Errorf("changes %v", words)
	}
}

// TestNodeFollowsWhatIsItsOwn connects with a node's certificate to a server with the usual rules.
func TestNodeFollowsWhatIsItsOwn(t *testing.T) {
	ca, err := pki.NewCA("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.CertPEM)
	issue := func(r pki.Request) tls.Certificate {
		pair, err := ca.Issue(r, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cert, err := pair.TLS()
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	api := newServer(t, newMemory(t), func(cfg *apiserver.Config) { cfg.Authorizer, cfg.ClientCAs = nil, pool })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- api.Serve(ctx, l, &tls.Config{
			Certificates: []tls.Certificate{issue(pki.Request{CommonName: "server", IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Server: true})},
			ClientCAs:    pool, ClientAuth: tls.RequestClientCert,
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	node := issue(pki.Request{CommonName: "system:node:n1", Organizations: []string{auth.GroupNodes}, Client: true})
	follow := func(f ...remote.Follow) *remote.Client {
		return newClient(t, "https://"+l.Addr().String(), func(cfg *remote.Config) {
			cfg.TLS = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{node}}
			cfg.Follow = f
		})
	}
	local := api.Client(auth.User{Name: "admin", Groups: []string{auth.GroupMasters}})
	for _, name := range []string{"n1", "n2"} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "on-" + name},
			Spec:       corev1.PodSpec{NodeName: name, Containers: []corev1.Container{{Name: "a", Image: "a"}}},
		}
		if _, err := local.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c := follow(remote.Follow{Kind: kind.Pods, Fields: "spec.nodeName=n1"}, remote.Follow{Kind: kind.Nodes, Fields: "metadata.name=n1"}, remote.Follow{Kind: kind.Services})
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Wait(soon, 0); err != nil {
		t.Fatal(err)
	}
	if snap := c.Snapshot(); snap.Len(kind.Pods) != 1 {
		t.Errorf("the node sees %d pods", snap.Len(kind.Pods))
	}
	if _, err := c.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("the node registers: %v", err)
	}
	if _, err := c.Create(t.Context(), configMap("x"), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the node writes a config map: %v", err)
	}
}

func TestFollowingNeedsPermissionForEveryKind(t *testing.T) {
	refused := make(chan auth.Attributes, 10)
	api := newServer(t, newMemory(t), func(cfg *apiserver.Config) {
		cfg.Authorizer = func(a auth.Attributes) (bool, string) {
			if a.Resource == "pods" && a.Verb == "watch" {
				refused <- a
				return false, ""
			}
			return true, ""
		}
	})
	c := newClient(t, serve(t, api.Handler()).URL)
	if a := <-refused; a.User.Name != auth.AnonymousUser {
		t.Errorf("asked for %+v", a)
	}
	if at := c.Snapshot().Revision(); at != 0 {
		t.Errorf("the view is at %d", at)
	}
}

func TestBadFollowsAreRefused(t *testing.T) {
	server := serve(t, newServer(t, newMemory(t)).Handler())
	for query, code := range map[string]int{
		"":                      400,
		"follow=resource%3Dnil": 404,
		"follow=resource%3Dnodes%26namespace%3Dx":                   400,
		"follow=resource%3Dpods%26labelSelector%3Da%253D%253D%253D": 400,
		"follow=resource%3Dpods%26fieldSelector%3Dno%253Done":       400,
		"follow=resource%3Dpods&resourceVersion=x":                  400,
		"follow=%zz": 400,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/sampan/v1/follow?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/vnd.kubernetes.protobuf")
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != code {
			t.Errorf("%q: %s, want %d", query, resp.Status, code)
		}
	}
}

func TestTokenIsSentWithEveryRequest(t *testing.T) {
	got := make(chan string, 10)
	server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	n := 0
	c, err := remote.New(remote.Config{Server: server.URL, TLS: insecure(), Kinds: registry.New(), Token: func(context.Context) (string, error) {
		n++
		return fmt.Sprint("t", n), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, want := range []string{"Bearer t1", "Bearer t2"} {
		if _, err := c.Get(t.Context(), view.Key{Kind: kind.ConfigMaps, Namespace: "default", Name: "x"}); !apierrors.IsUnauthorized(err) {
			t.Errorf("got %v", err)
		}
		if header := <-got; header != want {
			t.Errorf("sent %q, want %q", header, want)
		}
	}
}

func TestOddConfigurationsAreRefused(t *testing.T) {
	for name, cfg := range map[string]remote.Config{
		"no kinds":     {Server: "https://127.0.0.1:1"},
		"no server":    {Kinds: registry.New()},
		"plain HTTP":   {Server: "http://127.0.0.1:1", Kinds: registry.New()},
		"unknown kind": {Server: "https://127.0.0.1:1", Kinds: registry.New(), Follow: []remote.Follow{{Kind: "boats"}}},
	} {
		if _, err := remote.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestManagedFieldsNameTheProgram(t *testing.T) {
	server := serve(t, newServer(t, newMemory(t)).Handler())
	for agent, want := range map[string]string{"": "sampan", "kubelet/v1.37": "kubelet"} {
		c := newClient(t, server.URL, func(cfg *remote.Config) { cfg.UserAgent = agent })
		cm := configMap("by-" + want)
		cm.Data = map[string]string{"a": "b"}
		made, err := c.Create(t.Context(), cm, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := made.GetManagedFields(); len(got) != 1 || got[0].Manager != want {
			t.Errorf("User-Agent %q: managed fields %v, want the manager %s", agent, got, want)
		}
	}
}
