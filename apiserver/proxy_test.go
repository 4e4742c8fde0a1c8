package apiserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/websocket"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"sampan/apiserver"
	"sampan/client"
)

// podNetwork leads addresses of pods to servers of this process, and refuses all others.
type podNetwork map[string]*httptest.Server

func (n podNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s := n[address]; s != nil {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	return nil, fmt.Errorf("dial tcp %s: connect: connection refused", address)
}

// serveAt has a pod answer at an address.
func (n podNetwork) serveAt(t *testing.T, address string, start func(http.Handler) *httptest.Server, handler http.HandlerFunc) {
	t.Helper()
	s := start(handler)
	t.Cleanup(s.Close)
	n[address] = s
}

// tell answers with what was asked, and where.
func tell(w http.ResponseWriter, r *http.Request, where string) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s: %s %s %s", where, r.Method, r.URL, body)
}

// runPod makes a pod that has an address.
func runPod(t *testing.T, c client.Client, p *corev1.Pod, node, ip string) *corev1.Pod {
	t.Helper()
	made := must(t, c, p)
	if err := c.Bind(t.Context(), podKey(p.Name), made.UID, node); err != nil {
		t.Fatal(err)
	}
	obj, err := c.Get(t.Context(), podKey(p.Name))
	if err != nil {
		t.Fatal(err)
	}
	bound := obj.DeepCopyObject().(*corev1.Pod)
	bound.Status.PodIP, bound.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	if _, err := c.Update(t.Context(), bound, "status", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	return bound
}

func endpoint(pod, ip string, ready bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{
		Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "default", Name: pod},
	}
}

func TestRequestsAreHandedOnToPodsServicesAndNodes(t *testing.T) {
	pods := podNetwork{}
	for _, address := range []string{"10.1.0.5:8080", "10.1.0.5:9090", "10.1.0.5:80", "10.0.0.1:9100", "[fd00::5]:80", "[fd00::5]:81"} {
		pods.serveAt(t, address, httptest.NewServer, func(w http.ResponseWriter, r *http.Request) { tell(w, r, address) })
	}
	pods.serveAt(t, "10.1.0.5:8443", httptest.NewTLSServer, func(w http.ResponseWriter, r *http.Request) { tell(w, r, "tls") })
	n := nodes{make(chan string, 100)}
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Dial, cfg.Nodes = pods.dial, n })
	c := s.Client(masters())
	node := must(t, c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}).DeepCopy()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n1"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}
	if _, err := c.Update(t.Context(), node, "status", metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	web := pod("web")
	web.Spec.Containers = []corev1.Container{{Name: "a", Image: "i"}, {Name: "b", Image: "i", Ports: []corev1.ContainerPort{{ContainerPort: 8080}, {ContainerPort: 9090}}}}
	runPod(t, c, web, "n1", "10.1.0.5")
	runPod(t, c, pod("bare"), "n1", "10.1.0.5")
	runPod(t, c, pod("six"), "n1", "fd00::5")
	runPod(t, c, pod("local"), "n1", "127.0.0.1")
	runPod(t, c, pod("down"), "n1", "10.1.0.6")
	must(t, c, pod("pending"))
	ports := []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "admin", Port: 81}, {Name: "https", Port: 443}}
	for _, name := range []string{"s", "empty", "forged"} {
		must(t, c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.ServiceSpec{Ports: ports}})
	}
	forged := endpoint("down", "10.1.0.5", true) // the address of another pod
	nobodys := endpoint("", "10.1.0.5", true)
	nobodys.TargetRef = nil
	for name, endpoints := range map[string][]discoveryv1.Endpoint{
		"s":      {endpoint("down", "10.1.0.6", false), endpoint("web", "10.1.0.5", true)},
		"empty":  {endpoint("web", "10.1.0.5", false)},
		"forged": {forged, nobodys},
	} {
		must(t, c, &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
			Ports: []discoveryv1.EndpointPort{{Name: new("http"), Port: new(int32(8080))}, {Name: new("admin"), Port: new(int32(9090))}, {Name: new("https"), Port: new(int32(8443))}},
		})
	}
	url := plain(t, s) + "/api/v1/"
	const in = "namespaces/default/"
	for _, test := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", in + "pods/web/proxy/a/b?x=1&y=%2F", 200, "10.1.0.5:8080: GET /a/b?x=1&y=%2F body"},
		{"POST", in + "pods/web/proxy/a/", 200, "10.1.0.5:8080: POST /a/ body"},
		{"DELETE", in + "pods/web:9090/proxy/", 200, "10.1.0.5:9090: DELETE / body"},
		{"PUT", in + "pods/bare/proxy/x", 200, "10.1.0.5:80: PUT /x body"},
		{"GET", in + "pods/six/proxy/x", 200, "[fd00::5]:80: GET /x body"},
		{"GET", in + "pods/six:81/proxy/x", 200, "[fd00::5]:81: GET /x body"},
		{"PATCH", in + "pods/https:web:8443/proxy/x", 200, "tls: PATCH /x body"},
		{"GET", in + "services/s:80/proxy/x", 200, "10.1.0.5:8080: GET /x body"},
		{"GET", in + "services/s:admin/proxy/x", 200, "10.1.0.5:9090: GET /x body"},
		{"GET", in + "services/http:s:81/proxy/x", 200, "10.1.0.5:9090: GET /x body"},
		{"GET", in + "services/https:s:https/proxy/x", 200, "tls: GET /x body"},
		{"GET", "nodes/n1:9100/proxy/metrics", 200, "10.0.0.1:9100: GET /metrics body"},
		{"GET", "nodes/n1/proxy/pods?x=1", 200, "from n1"},
		{"GET", "nodes/https:n1:10250/proxy/healthz", 200, "from n1"},
		{"PUT", in + "pods/web/proxy", 200, "10.1.0.5:8080: PUT / body"},

		{"GET", in + "pods/a:b:c/proxy/", 400, `invalid pod request "a:b:c"`},
		{"GET", in + "services/ftp:s:80/proxy/", 400, `invalid service request "ftp:s:80"`},
		{"GET", "nodes/:n1/proxy/", 400, `invalid node request ":n1"`},
		{"GET", in + "pods/none/proxy/", 404, `pods "none" not found`},
		{"GET", in + "services/none:80/proxy/", 404, `services "none" not found`},
		{"GET", "nodes/none/proxy/", 404, `nodes "none" not found`},
		{"GET", in + "pods/local:80/proxy/", 400, "address not allowed"},
		{"GET", in + "pods/pending/proxy/", 400, "address not allowed"},
		{"GET", in + "pods/down:80/proxy/", 503, "error trying to reach service: dial tcp 10.1.0.6:80: connect: connection refused"},
		{"GET", in + "services/s:82/proxy/", 503, `no service port 82 found for service "s"`},
		{"GET", in + "services/s:nope/proxy/", 503, `no endpoints available for service "s"`},
		{"GET", in + "services/empty:80/proxy/", 503, `no endpoints available for service "empty"`},
		{"GET", in + "services/forged/proxy/", 503, `no endpoints available for service "forged"`},
		{"GET", in + "configmaps/c/proxy/", 404, "the server could not find the requested resource"},
	} {
		code, _, body := send(t, test.method, url+test.path, "body")
		if code >= 400 {
			var status metav1.Status
			json.Unmarshal([]byte(body), &status)
			body = status.Message
		}
		if code != test.code || body != test.want {
			t.Errorf("%s %s: %d %s, want %d %s", test.method, test.path, code, body, test.code, test.want)
		}
	}
	for _, want := range []string{"GET /pods?x=1", "GET /healthz"} {
		if got := <-n.asked; got != want {
			t.Errorf("the node was asked for %s, want %s", got, want)
		}
	}
}

// What a pod answers leads back through the API server, and says nothing for it.
func TestAnswersOfPodsLeadBackThroughTheProxy(t *testing.T) {
	pods := podNetwork{}
	pods.serveAt(t, "10.1.0.5:80", httptest.NewServer, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/page":
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `<a href="/x">x</a>`)
		default:
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, r.Header.Get("X-Forwarded-Uri"))
		}
	})
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Dial = pods.dial })
	runPod(t, s.Client(masters()), pod("web"), "n1", "10.1.0.5")
	base := "/api/v1/namespaces/default/pods/web/proxy"
	url := plain(t, s)
	h := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]struct {
		code           int
		location, body string
	}{
		"":        {301, base + "/", ""},
		"/moved":  {302, base + "/there", ""},
		"/page":   {200, "", `<a href="` + base + `/x">x</a>`},
		"/teapot": {418, "", base + "/teapot"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := h.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		location := strings.TrimPrefix(res.Header.Get("Location"), url)
		if res.StatusCode != want.code || location != want.location || want.location == "" && string(body) != want.body {
			t.Errorf("%s: %d, to %q: %s", path, res.StatusCode, location, body)
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: a pod says which pages may read answers of the API server", path)
		}
	}
}

func TestWebSocketsReachPods(t *testing.T) {
	pods := podNetwork{}
	pods.serveAt(t, "10.1.0.5:80", httptest.NewServer, websocket.Handler(func(c *websocket.Conn) { io.Copy(c, c) }).ServeHTTP)
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Dial = pods.dial })
	runPod(t, s.Client(masters()), pod("web"), "n1", "10.1.0.5")
	url := plain(t, s)
	conn, err := websocket.Dial("ws"+strings.TrimPrefix(url, "http")+"/api/v1/namespaces/default/pods/web/proxy/echo", "", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var got string
	if err := websocket.Message.Send(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := websocket.Message.Receive(conn, &got); err != nil || got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// What says who sends a request is for the API server; a pod that saw it could act in its sender's name.
func TestCredentialsDoNotReachPods(t *testing.T) {
	pods := podNetwork{}
	pods.serveAt(t, "10.1.0.5:80", httptest.NewServer, func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(r.Header) })
	g := newSecured(t, func(cfg *apiserver.Config) { cfg.Dial = pods.dial })
	runPod(t, g.server.Client(masters()), pod("web"), "n1", "10.1.0.5")
	g.account("robot")
	g.grant("robots", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "default", Name: "robot"}, rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}})
	withToken, certified := g.config(), g.certified(g.ca, "root", "system:masters")
	withToken.BearerToken = g.token("robot", authenticationv1.TokenRequestSpec{})
	for name, cfg := range map[string]*rest.Config{"token": withToken, "certificate": certified} {
		cfg.Impersonate = rest.ImpersonationConfig{UserName: "somebody", Groups: []string{"system:masters"}}
		h, err := rest.HTTPClientFor(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/api/v1/namespaces/default/pods/web/proxy/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Mine", "1")
		if name == "certificate" {
			r.Header.Set("Authorization", "Bearer of-something-else")
		}
		res, err := h.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var got http.Header
		err = json.NewDecoder(res.Body).Decode(&got)
		res.Body.Close()
		if err != nil || got.Get("X-Mine") != "1" {
			t.Errorf("%s: %s, %v, %v", name, res.Status, got, err)
		}
		for header := range got {
			if header == "Authorization" || strings.HasPrefix(header, "Impersonate") {
				t.Errorf("%s: the pod sees %s: %s", name, header, got.Get(header))
			}
		}
	}
}

// A WebSocket begins with a GET: without the right to create, nobody gets into pods by way of the node.
func TestWhoMayReadNodesThroughTheProxyCannotEnterPods(t *testing.T) {
	n := nodes{make(chan string, 100)}
	g := newSecured(t, func(cfg *apiserver.Config) { cfg.Nodes = n })
	must(t, g.server.Client(masters()), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	g.grant("reader", userSubject("reader"), rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"nodes/proxy"}})
	h, err := rest.HTTPClientFor(g.certified(g.ca, "reader"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"pods": http.StatusOK, "exec/default/p/c?command=id": http.StatusForbidden} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/api/v1/nodes/n1/proxy/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want == http.StatusForbidden {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
		}
		res, err := h.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}
