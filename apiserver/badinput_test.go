package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"sampan/store"
	"sampan/store/memory"
)

// TestBodiesThatAreCutAnywhereAreRefused sends every beginning of a good Deployment. A YAML document or a protobuf
// message that ends early may still be one; then it is refused, or taken, for what it says.
func TestBodiesThatAreCutAnywhereAreRefused(t *testing.T) {
	h := newMemory(t).Handler()
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	d.Spec.Template.Labels = d.Spec.Selector.MatchLabels
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "c", Image: "i"}}
	js, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	yml, err := yaml.JSONToYAML(js)
	if err != nil {
		t.Fatal(err)
	}
	message, err := d.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	proto, err := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, Raw: message}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for media, body := range map[string][]byte{
		"application/json": js, "application/yaml": yml, "application/vnd.kubernetes.protobuf": append([]byte("k8s\x00"), proto...),
	} {
		for n := range len(body) + 1 {
			rec := ask(t, h, "POST", "/apis/apps/v1/namespaces/default/deployments?dryRun=All", string(body[:n]), "Content-Type", media)
			var status metav1.Status
			switch {
			case n == len(body):
				if rec.Code != 201 {
					t.Errorf("%s: the whole is refused: %s", media, rec.Body)
				}
			case rec.Code == 201 && media != "application/json":
			case rec.Code != 400 && (rec.Code != 422 || media == "application/json"):
				t.Errorf("%s, cut at %d of %d: %d %s", media, n, len(body), rec.Code, rec.Body)
			case json.Unmarshal(rec.Body.Bytes(), &status) != nil || status.Kind != "Status" || status.Message == "":
				t.Errorf("%s, cut at %d: %s", media, n, rec.Body)
			}
		}
	}
}

func TestWrongObjectsGetUpstreamsErrors(t *testing.T) {
	h := newMemory(t).Handler()
	const maps, pods = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
	deployment := func(selector string) string {
		return `{"metadata":{"name":"x"},"spec":{"selector":` + selector + `,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	}
	for name, test := range map[string]struct {
		path, body string
		code       int
		want       string
	}{
		"wrong group":            {maps, `{"kind":"ConfigMap","apiVersion":"apps/v1"}`, 400, "the API version in the data (apps/v1) does not match the expected API version (v1)"},
		"no version at all":      {maps, `{"kind":"ConfigMap","apiVersion":"a/b/c","metadata":{"name":"x"}}`, 400, "unexpected GroupVersion string: a/b/c"},
		"duplicate field":        {maps + "?fieldValidation=Strict", `{"metadata":{"name":"x","name":"x"}}`, 400, `strict decoding error: duplicate field "metadata.name"`},
		"duplicate key":          {maps + "?fieldValidation=Strict", `{"metadata":{"name":"x"},"data":{"a":"1","a":"2"}}`, 400, `strict decoding error: duplicate field "data.a"`},
		"unknown nested field":   {pods + "?fieldValidation=Strict", `{"metadata":{"name":"x"},"spec":{"containers":[{"nmae":"c"}]}}`, 400, `unknown field "spec.containers[0].nmae"`},
		"invalid name":           {maps, `{"metadata":{"name":"X_y"}}`, 422, `ConfigMap "X_y" is invalid: metadata.name: Invalid value: "X_y": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters`},
		"invalid generateName":   {maps, `{"metadata":{"generateName":"X_"}}`, 422, "metadata.generateName: Invalid value"},
		"name of a million":      {maps, `{"metadata":{"name":"` + strings.Repeat("x", 1_000_000) + `"}}`, 422, "must be no more than 253"},
		"invalid label":          {maps, `{"metadata":{"name":"x","labels":{"a b":"c"}}}`, 422, `metadata.labels: Invalid value: "a b": name part must consist of alphanumeric characters`},
		"invalid label value":    {maps, `{"metadata":{"name":"x","labels":{"a":"b c"}}}`, 422, `metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of`},
		"annotations too large":  {maps, `{"metadata":{"name":"x","annotations":{"a":"` + strings.Repeat("x", 300<<10) + `"}}}`, 422, "metadata.annotations: Too long: may not be more than 262144"},
		"invalid quantity":       {pods, `{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1x"}}}]}}`, 400, "quantities must match the regular expression"},
		"negative quantity":      {pods, `{"metadata":{"name":"x"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"-1"}}}]}}`, 422, `spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0`},
		"empty selector":         {"/apis/apps/v1/namespaces/default/deployments", deployment(`{}`), 422, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
		"selector of another":    {"/apis/apps/v1/namespaces/default/deployments", deployment(`{"matchLabels":{"c":"d"}}`), 422, "`selector` does not match template `labels`"},
		"selector without value": {"/apis/apps/v1/namespaces/default/deployments", deployment(`{"matchExpressions":[{"key":"a","operator":"In"}]}`), 422, "must be specified when `operator` is 'In' or 'NotIn'"},
		"unknown operator":       {"/apis/apps/v1/namespaces/default/deployments", deployment(`{"matchExpressions":[{"key":"a","operator":"Near"}]}`), 422, "not a valid selector operator"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := ask(t, h, "POST", test.path, test.body)
			var status metav1.Status
			if err := json.Unmarshal(rec.Body.Bytes(), &status); err != nil || rec.Code != test.code || int(status.Code) != rec.Code || !strings.Contains(status.Message, test.want) {
				t.Errorf("%d %.600s, want %d %s", rec.Code, rec.Body, test.code, test.want)
			}
		})
	}
}

// endless is a body of spaces without a known length.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

func TestBodiesWithoutALengthAreCutToo(t *testing.T) {
	h := newMemory(t).Handler()
	body := new(endless)
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/namespaces/default/configmaps", body)
	r.ContentLength = -1
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != http.StatusRequestEntityTooLarge || body.read > 16<<20 {
		t.Errorf("%d after %d bytes", rec.Code, body.read)
	}
}

// pipes is a listener of connections in memory, which know the time of a synctest bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// TestABodyThatNeverComesHoldsNothingForEver begins requests that are wanted and such that are refused unread, and
// neither ends them nor goes away.
func TestABodyThatNeverComesHoldsNothingForEver(t *testing.T) {
	for path, want := range map[string]int{"/api/v1/namespaces/default/configmaps": http.StatusBadRequest, "/nope": http.StatusNotFound} {
		synctest.Test(t, func(t *testing.T) {
			listener := make(pipes)
			server := &http.Server{Handler: newMemory(t).Handler()}
			go server.Serve(listener)
			client, served := net.Pipe()
			listener <- served
			began := time.Now()
			if _, err := io.WriteString(client, "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(began); res.StatusCode != want || waited > 2*time.Minute {
				t.Errorf("%s: %s after %s", path, res.Status, waited)
			}
			client.Close()
			close(listener)
			server.Close()
		})
	}
}

// TestAbandonedRequestsEnd goes away in the middle of a body, and in the middle of an answer.
func TestAbandonedRequestsEnd(t *testing.T) {
	s := newMemory(t)
	for i := range 40 {
		m := configMap(fmt.Sprint("m", i))
		m.Data["x"] = strings.Repeat("x", 500<<10)
		must(t, s.Client(masters()), m)
	}
	h, ended := s.Handler(), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		h.ServeHTTP(w, r)
	}))
	defer server.Close()
	for name, request := range map[string]string{
		"in the body":   "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
		"in the answer": "GET /api/v1/configmaps HTTP/1.1\r\nHost: x\r\n\r\n",
		"in a watch":    "GET /api/v1/configmaps?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(request, "POST") {
				if _, err := conn.Read(make([]byte, 100)); err != nil {
					t.Fatal(err)
				}
			}
			conn.Close()
			<-ended
		})
	}
}

// fullDisk is a store that takes no write for a while.
type fullDisk struct {
	store.Store
	full atomic.Bool
}

func (f *fullDisk) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if f.full.Load() {
		return 0, fmt.Errorf("write the journal: %w", store.ErrNoSpace)
	}
	return f.Store.Apply(ctx, writes...)
}

func TestAFullDiskRefusesWritesAndNothingElse(t *testing.T) {
	st := &fullDisk{Store: memory.New()}
	t.Cleanup(func() { st.Close() })
	h := newServer(t, st).Handler()
	const maps = "/api/v1/namespaces/default/configmaps"
	create := func(name string) *httptest.ResponseRecorder {
		return ask(t, h, "POST", maps, `{"metadata":{"name":"`+name+`"}}`)
	}
	if rec := create("before"); rec.Code != 201 {
		t.Fatal(rec.Body)
	}
	st.full.Store(true)
	for _, rec := range []*httptest.ResponseRecorder{
		create("during"),
		ask(t, h, "PATCH", maps+"/before", `{"data":{"a":"b"}}`, "Content-Type", "application/merge-patch+json"),
		ask(t, h, "DELETE", maps+"/before", ""),
	} {
		if rec.Code != http.StatusInsufficientStorage || !strings.Contains(rec.Body.String(), "free some space on the server's data directory") {
			t.Errorf("a write to a full disk: %d %s", rec.Code, rec.Body)
		}
	}
	if rec := ask(t, h, "GET", maps+"/before", ""); rec.Code != 200 || strings.Contains(rec.Body.String(), `"a":"b"`) {
		t.Errorf("a read: %d %s", rec.Code, rec.Body)
	}
	if rec := ask(t, h, "GET", maps+"/during", ""); rec.Code != 404 {
		t.Errorf("what was refused is there: %s", rec.Body)
	}
	st.full.Store(false)
	if rec := create("during"); rec.Code != 201 {
		t.Errorf("with room again: %d %s", rec.Code, rec.Body)
	}
}
