package apiserver_test

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"sampan/apiserver"
)

// TestLongListsAreWholeInEveryForm lists more than fits one chunk, and more than is kept encoded.
func TestLongListsAreWholeInEveryForm(t *testing.T) {
	for name, max := range map[string]int{"kept": 0, "not kept": 1 << 10} {
		t.Run(name, func(t *testing.T) {
			s := newMemory(t, func(c *apiserver.Config) { c.EncodedBytesMax = max })
			const n = 500
			for i := range n {
				cm := configMap(fmt.Sprintf("c%d", i))
				cm.Data["payload"] = strings.Repeat("x", 1000)
				if _, err := s.Client(masters()).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			cfg := listen(t, s)
			for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
				own := rest.CopyConfig(cfg)
				own.ContentType = media
				list, err := clientset(t, own).CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
				if err != nil || len(list.Items) != n || list.ResourceVersion == "" {
					t.Errorf("%s: %v, %d items", media, err, len(list.Items))
				}
				for i := range list.Items {
					if len(list.Items[i].Data["payload"]) != 1000 {
						t.Fatalf("%s: item %d is %+v", media, i, list.Items[i])
					}
				}
			}
			c, url := httpClient(t, cfg), cfg.Host+"/api/v1/configmaps"
			for as, kind := range map[string]string{
				"application/json;as=Table;g=meta.k8s.io;v=v1":                     `"kind":"Table"`,
				"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1": `"kind":"PartialObjectMetadataList"`,
				"application/yaml": "kind: ConfigMapList",
			} {
				r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Accept", as)
				res, err := c.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				data, err := io.ReadAll(res.Body)
				res.Body.Close()
				if text := string(data); err != nil || !strings.Contains(text, kind) || strings.Count(text, "c499") == 0 {
					t.Errorf("%s: %v, %.200s", as, err, text)
				}
			}
		})
	}
}

func TestPeopleGetIndentedAnswers(t *testing.T) {
	s := newMemory(t)
	for _, name := range []string{"a", "b"} {
		if _, err := s.Client(masters()).Create(t.Context(), configMap(name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const maps = "/api/v1/namespaces/default/configmaps"
	for path, want := range map[string]string{
		maps:                    "{\n  \"kind\": \"ConfigMapList\"",
		maps + "/a":             "\n  \"metadata\": {\n    \"name\": \"a\"",
		maps + "/missing":       "{\n  \"kind\": \"Status\"",
		"/api/v1":               "{\n  \"kind\": \"APIResourceList\"",
		maps + "?pretty=false":  "{\"kind\":\"ConfigMapList\"",
		maps + "?pretty=no":     "{\"kind\":\"ConfigMapList\"",
		maps + "?pretty":        "{\n  \"kind\": \"ConfigMapList\"",
		"/version?pretty=false": "{\"major\"",
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		r.Header.Set("User-Agent", "curl/8.5.0")
		s.Handler().ServeHTTP(rec, r)
		if text := rec.Body.String(); !strings.Contains(text, want) || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s: %s, want %s", path, text, want)
		}
	}
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", maps+"?pretty=true", nil))
	var list corev1.ConfigMapList
	if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || len(list.Items) != 2 || !strings.Contains(rec.Body.String(), "\n    {\n      \"kind\": \"ConfigMap\"") && !strings.Contains(rec.Body.String(), "\n    {\n      \"") {
		t.Errorf("%v: %s", err, rec.Body)
	}
}

func TestLongListsAreCompressedForClientsElsewhere(t *testing.T) {
	s := newMemory(t)
	for i := range 300 {
		cm := configMap(fmt.Sprintf("c%d", i))
		cm.Data["payload"] = strings.Repeat("x", 1000)
		if _, err := s.Client(masters()).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/configmaps", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	r.RemoteAddr = "192.0.2.1:1000"
	s.Handler().ServeHTTP(rec, r)
	if rec.Header().Get("Content-Encoding") != "gzip" || rec.Body.Len() > 100<<10 {
		t.Fatalf("%v, %d bytes", rec.Header(), rec.Body.Len())
	}
	zip, err := gzip.NewReader(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(zip)
	if err != nil || !strings.HasSuffix(string(data), "]}\n") {
		t.Errorf("%v, %d bytes", err, len(data))
	}
	var list corev1.ConfigMapList
	if err := json.Unmarshal(data, &list); err != nil || len(list.Items) != 300 {
		t.Errorf("%v, %d items", err, len(list.Items))
	}
}

func TestPagesOfARevisionThatIsNotThereYetAreNotServed(t *testing.T) {
	s := newMemory(t)
	token := base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":1000000,"start":"default/a"}`))
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/configmaps?limit=1&continue="+token, nil))
	var status metav1.Status
	if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || rec.Code != http.StatusGatewayTimeout || !strings.Contains(status.Message, "Too large resource version: 1000000") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	// Informers know by the cause that it is their cache that is ahead.
	if err := (&apierrors.StatusError{ErrStatus: status}); !apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) || status.Details.RetryAfterSeconds != 1 {
		t.Errorf("details %+v", status.Details)
	}
}

func TestListsOfARevisionAreOfThatRevision(t *testing.T) {
	s := newMemory(t)
	first, err := s.Client(masters()).Create(t.Context(), configMap("a"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client(masters()).Create(t.Context(), configMap("b"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		"":                                   2, // not older than
		"&limit=5":                           1, // a page, so that all its pages are of one revision
		"&resourceVersionMatch=Exact":        1,
		"&resourceVersionMatch=NotOlderThan": 2,
		"&resourceVersionMatch=NotOlderThan&limit=5": 2,
	} {
		rec := ask(t, s.Handler(), "GET", "/api/v1/configmaps?resourceVersion="+first.GetResourceVersion()+query, "")
		var list corev1.ConfigMapList
		if err := json.Unmarshal(rec.Body.Bytes(), &list); err != nil || len(list.Items) != want {
			t.Errorf("%q: want %d items, got %d %s", query, want, rec.Code, rec.Body)
		}
	}
}

// discarder is a response that nobody keeps.
type discarder struct {
	header http.Header
	size   int
	each   func() // called at every write; may be nil
}

func (d *discarder) Header() http.Header { return d.header }
func (d *discarder) WriteHeader(int)     {}
func (d *discarder) Write(b []byte) (int, error) {
	if d.size += len(b); d.each != nil {
		d.each()
	}
	return len(b), nil
}

func TestListsOfEverythingDoNotCopyEverything(t *testing.T) {
	s := newMemory(t, func(c *apiserver.Config) { c.EncodedBytesMax = 1 << 20 })
	const n, size = 500, 100 << 10
	for i := range n {
		cm := configMap(fmt.Sprintf("c%d", i))
		cm.Data["payload"] = strings.Repeat("x", size)
		if _, err := s.Client(masters()).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/configmaps?limit=1000000", nil)
	r.Header.Set("Accept", "application/vnd.kubernetes.protobuf")
	h := s.Handler()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := &discarder{header: http.Header{}}
	h.ServeHTTP(d, r)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; d.size < n*size || allocated > n*size/5 {
		t.Errorf("%d bytes were written, %d allocated", d.size, allocated)
	}
}

func TestTablesWithUnknownContentAreRefused(t *testing.T) {
	s := newMemory(t)
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/configmaps?includeObject=Most", nil)
	r.Header.Set("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, r)
	if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "Unable to convert to Table as requested: includeObject: Invalid value: \\\"Most\\\": must be 'Metadata', 'Object', 'None', or empty") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestListAndWatchOptionsThatMeanNothingAreRefused(t *testing.T) {
	s := newMemory(t)
	h := s.Handler()
	for query, test := range map[string]struct {
		code int
		want string
	}{
		"resourceVersionMatch=Exact":                                    {422, "resourceVersionMatch is forbidden unless resourceVersion is provided"},
		"resourceVersionMatch=Exact&resourceVersion=0":                  {422, `resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"`},
		"resourceVersionMatch=Newest&resourceVersion=1":                 {422, `Unsupported value: \"Newest\"`},
		"resourceVersionMatch=Exact&resourceVersion=1&continue=x":       {422, "resourceVersionMatch is forbidden when continue is provided"},
		"resourceVersion=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ":     {400, "specifying resource version is not allowed when using continue"},
		"resourceVersion=-1":                                            {400, "resourceVersion: Invalid value"},
		"limit=x":                                                       {400, `strconv.ParseInt: parsing \"x\": invalid syntax`},
		"limit=-1":                                                      {200, `"ConfigMapList"`},
		"labelSelector=a%20in%20(":                                      {400, "unable to parse requirement"},
		"labelSelector=" + strings.Repeat("x", 64) + "%3Da":             {400, "unable to parse requirement"},
		"fieldSelector=a":                                               {400, "invalid selector"},
		"fieldSelector=spec.nope%3Dx":                                   {400, `\"spec.nope\" is not a known field selector`},
		"sendInitialEvents=false":                                       {422, "sendInitialEvents is forbidden for list"},
		"timeoutSeconds=x":                                              {400, `strconv.ParseInt: parsing \"x\": invalid syntax`},
		"timeoutSeconds=-1":                                             {200, `"ConfigMapList"`},
		"watch=1&resourceVersionMatch=Exact":                            {422, "forbidden for watch unless sendInitialEvents is provided"},
		"watch=1&sendInitialEvents=true":                                {422, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
		"watch=1&timeoutSeconds=-1":                                     {200, ""},
		"watch=1&timeoutSeconds=-9223372036854775808":                   {200, ""},
		"timeoutSeconds=9223372036854775807":                            {200, `"ConfigMapList"`},
		"timeoutSeconds=1&resourceVersion=1000000":                      {504, "Too large resource version"},
		"limit=9223372036854775808":                                     {400, "value out of range"},
		"watch=1&resourceVersion=x":                                     {400, "resourceVersion: Invalid value"},
		"resourceVersionMatch=NotOlderThan&resourceVersion=0&limit=500": {200, `"ConfigMapList"`},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/configmaps?"+query, nil))
		if rec.Code != test.code || !strings.Contains(rec.Body.String(), test.want) {
			t.Errorf("%s: %d %s, want %d %s", query, rec.Code, rec.Body, test.code, test.want)
		}
	}
}

func TestFieldsThatSelect(t *testing.T) {
	s := newMemory(t)
	url := plain(t, s)
	send(t, "POST", url+"/api/v1/nodes", `{"metadata":{"name":"a"}}`)
	send(t, "POST", url+"/apis/storage.k8s.io/v1/storageclasses", `{"metadata":{"name":"a"},"provisioner":"p"}`)
	send(t, "POST", url+"/api/v1/namespaces/default/pods", `{"metadata":{"name":"a"},"spec":{"nodeName":"a","containers":[{"name":"c","image":"i"}]}}`)
	for path, want := range map[string]struct {
		code, n int
	}{
		"/api/v1/pods?fieldSelector=spec.host%3Da":                                               {200, 1},
		"/api/v1/pods?fieldSelector=spec.host%3Db":                                               {200, 0},
		"/api/v1/pods?fieldSelector=status.podIPs%3Da":                                           {200, 0},
		"/api/v1/nodes?fieldSelector=metadata.namespace%3D":                                      {400, 0}, // it has fields of its own
		"/apis/storage.k8s.io/v1/storageclasses?fieldSelector=metadata.namespace%3D":             {200, 1},
		"/apis/storage.k8s.io/v1/storageclasses?fieldSelector=metadata.namespace%3Ddefault":      {200, 0},
		"/apis/storage.k8s.io/v1/storageclasses?fieldSelector=metadata.namespace%21%3Dkube-prox": {200, 1},
	} {
		code, _, body := send(t, "GET", url+path, "")
		if n := strings.Count(body, `"uid":`); code != want.code || n != want.n {
			t.Errorf("%s: %d with %d objects, want %+v: %s", path, code, n, want, body)
		}
	}
}
