package apiserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"sampan/apiserver"
	"sampan/store"
	"sampan/store/memory"
)

// fetch sends a request and returns the answer's status, header and body.
func fetch(t *testing.T, c *http.Client, method, url string, body io.Reader) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(data)
}

func httpClient(t *testing.T, cfg *rest.Config) *http.Client {
	t.Helper()
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRequestsOverTheLimitAreToldToComeBack(t *testing.T) {
	cfg := listen(t, newMemory(t, func(c *apiserver.Config) { c.MaxMutating = 1 }))
	c, url := httpClient(t, cfg), cfg.Host+"/api/v1/namespaces/default/configmaps"
	// A body that does not end keeps its request in flight.
	body, end := io.Pipe()
	slow := make(chan int, 1)
	go func() {
		r, _ := http.NewRequest("POST", url, body)
		res, err := c.Do(r)
		if err != nil {
			slow <- 0
			return
		}
		res.Body.Close()
		slow <- res.StatusCode
	}()
	if _, err := io.WriteString(end, `{"metadata":`); err != nil {
		t.Fatal(err)
	}
	for { // until the server has begun with it
		_, _, metrics := fetch(t, c, "GET", cfg.Host+"/metrics", nil)
		if strings.Contains(metrics, `apiserver_current_inflight_requests{request_kind="mutating"} 1`) {
			break
		}
	}
	code, header, text := fetch(t, c, "POST", url, strings.NewReader(`{"metadata":{"name":"b"}}`))
	if code != 429 || header.Get("Retry-After") != "1" || !strings.Contains(text, "Too many requests, please try again later.") {
		t.Errorf("over the limit: %d, Retry-After %q, %s", code, header.Get("Retry-After"), text)
	}
	if code, _, text := fetch(t, c, "GET", url, nil); code != 200 {
		t.Errorf("reads have a limit of their own, got %d %s", code, text)
	}
	if _, err := io.WriteString(end, `{"name":"a"}}`); err != nil {
		t.Fatal(err)
	}
	end.Close()
	if code := <-slow; code != 201 {
		t.Errorf("the slow request ended with %d", code)
	}
	if code, _, text := fetch(t, c, "POST", url, strings.NewReader(`{"metadata":{"name":"b"}}`)); code != 201 {
		t.Errorf("when there is room again: %d %s", code, text)
	}
	if _, _, metrics := fetch(t, c, "GET", cfg.Host+"/metrics", nil); !strings.Contains(metrics, `apiserver_request_terminations_total{code="429",component="apiserver",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1`) {
		t.Error("the refusal is not counted")
	}
}

func TestWatchesAreNotCountedAgainstTheLimit(t *testing.T) {
	cfg := listen(t, newMemory(t, func(c *apiserver.Config) { c.MaxReadOnly = 1 }))
	api := clientset(t, cfg).CoreV1().ConfigMaps("default")
	for range 3 {
		w, err := api.Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
	}
	c := httpClient(t, cfg)
	_, _, metrics := fetch(t, c, "GET", cfg.Host+"/metrics", nil)
	if want := `apiserver_longrunning_requests{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="WATCH",version="v1"} 3`; !strings.Contains(metrics, want) {
		t.Errorf("open watches are not shown as %s", want)
	}
	if _, err := api.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("list beside watches: %v", err)
	}
}

func TestMetricsNameRequestsAsUpstreamDoes(t *testing.T) {
	s := newMemory(t)
	cfg := listen(t, s)
	api := clientset(t, cfg).CoreV1().ConfigMaps("default")
	if _, err := api.Create(t.Context(), configMap("a"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	c := httpClient(t, cfg)
	fetch(t, c, "GET", cfg.Host+"/made/up", nil)
	fetch(t, c, "GET", cfg.Host+"/api/v1/madeups", nil)
	_, header, text := fetch(t, c, "GET", cfg.Host+"/metrics", nil)
	if !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("content type %q", header.Get("Content-Type"))
	}
	for _, want := range []string{
		`apiserver_request_total{code="201",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1`,
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1`,
		`apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="",scope="",subresource="",verb="GET",version=""} 2`,
		`apiserver_request_duration_seconds_count{component="apiserver",dry_run="",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1`,
		`apiserver_storage_objects{resource="configmaps"} 1`,
		`apiserver_storage_objects{resource="deployments.apps"} 0`,
		`process_resident_memory_bytes `,
		`go_goroutines `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, "madeups") || strings.Contains(text, "made/up") {
		t.Error("what clients make up has become a label")
	}
}

// brokenStore is a store that can be made to fail.
type brokenStore struct {
	store.Store
	broken error
}

func (s *brokenStore) List(ctx context.Context, prefix string, opts store.ListOptions) (store.List, error) {
	if s.broken != nil {
		return store.List{}, s.broken
	}
	return s.Store.List(ctx, prefix, opts)
}

func TestHealthSaysWhichCheckFails(t *testing.T) {
	st := &brokenStore{Store: memory.New()}
	t.Cleanup(func() { st.Close() })
	cfg := listen(t, newServer(t, st))
	c := httpClient(t, cfg)
	get := func(path string, code int, want string) {
		t.Helper()
		if got, _, text := fetch(t, c, "GET", cfg.Host+path, nil); got != code || text != want {
			t.Errorf("%s: %d %q, want %d %q", path, got, text, code, want)
		}
	}
	for _, name := range []string{"livez", "readyz", "healthz"} {
		get("/"+name, 200, "ok")
		get("/"+name+"?verbose", 200, "[+]ping ok\n[+]etcd ok\n"+name+" check passed\n")
		get("/"+name+"/etcd", 200, "ok")
	}
	st.broken = errors.New("the disk is gone")
	get("/readyz", 500, "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n")
	get("/readyz?exclude=etcd", 200, "ok")
	get("/readyz?exclude=etcd&exclude=none&verbose", 200, "[+]ping ok\n[+]etcd excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"none\"\nreadyz check passed\n")
	get("/readyz/etcd", 500, "internal server error: etcd check failed: read the store: the disk is gone\n")
	get("/readyz/ping", 200, "ok")
	if code, _, _ := fetch(t, c, "GET", cfg.Host+"/readyz/nope", nil); code != 404 {
		t.Errorf("unknown check: %d", code)
	}
}

// TestBadBodiesAreRefusedWithoutHarm sends what no client should.
func TestBadBodiesAreRefusedWithoutHarm(t *testing.T) {
	cfg := listen(t, newMemory(t))
	c, url := httpClient(t, cfg), cfg.Host+"/api/v1/namespaces/default/configmaps"
	deep := strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000)
	for name, test := range map[string]struct {
		media, body string
		code        int
	}{
		"deep JSON":               {"application/json", `{"metadata":{"name":"x"},"data":` + deep + "}", 400},
		"deep JSON lists":         {"application/json", strings.Repeat("[", 100000), 400},
		"deep YAML":               {"application/yaml", strings.Repeat("{a: ", 20000), 400},
		"YAML bomb":               {"application/yaml", yamlBomb(), 400},
		"truncated JSON":          {"application/json", `{"metadata":{"name":"x"`, 400},
		"truncated protobuf":      {"application/vnd.kubernetes.protobuf", "k8s\x00\x0a\xff\xff", 400},
		"protobuf length too big": {"application/vnd.kubernetes.protobuf", "k8s\x00\x12\xff\xff\xff\xff\x0f", 400},
		"empty":                   {"application/json", "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "POST", url, bytes.NewReader([]byte(test.body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", test.media)
			res, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			data, _ := io.ReadAll(res.Body)
			if res.StatusCode != test.code || len(data) > 4096 {
				t.Errorf("got %d and %d bytes: %.300s", res.StatusCode, len(data), data)
			}
		})
	}
	for _, pt := range []string{"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"} {
		r, err := http.NewRequestWithContext(t.Context(), "PATCH", url+"/x?fieldManager=m", strings.NewReader(deep))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", pt)
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode < 400 || res.StatusCode >= 500 {
			t.Errorf("a deep %s: %d", pt, res.StatusCode)
		}
	}
}

// yamlBomb is a small document that aliases make a huge one of.
func yamlBomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll("aN: &aN [*aM,*aM,*aM,*aM,*aM,*aM,*aM,*aM,*aM]\n", "N", string(rune('0'+i))), "M", string(rune('0'+i-1))))
	}
	return b.String()
}
