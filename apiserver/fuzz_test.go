package apiserver

import (
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver/admit"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/store/memory"
	"sampan/view"
)

// fuzzServer returns a server with a namespace and a Deployment that has records.
func fuzzServer(t testing.TB) *Server {
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	s, err := New(Config{
		Store: st, Kinds: registry.New(), Admission: admit.Default(admit.Config{}), Now: time.Now,
		NewUID: func() types.UID { return "uid" }, Random: rand.NewPCG(1, 2), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.patchOrApply(t.Context(), fuzzRequest(s), types.ApplyYAMLPatchType, []byte(fuzzDeployment), metav1.PatchOptions{FieldManager: "alice"}); err != nil {
		t.Fatal(err)
	}
	return s
}

func fuzzRequest(s *Server) request {
	return request{
		kind: s.cfg.Kinds.ByID(kind.Deployments), key: view.Key{Kind: kind.Deployments, Namespace: "default", Name: "web"},
		user: systemUser(), warn: func(string) {},
	}
}

const fuzzDeployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","finalizers":["a/b"]},"spec":{"replicas":2,
"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[
{"name":"web","image":"nginx","ports":[{"containerPort":80}],"env":[{"name":"A","value":"1"}],"resources":{"limits":{"cpu":"100m"}}}]}}}}`

// FuzzAppliedConfiguration applies what nobody should to an object that has records. The answer is the user's error,
// never the server's, and no panic.
func FuzzAppliedConfiguration(f *testing.F) {
	f.Add([]byte(fuzzDeployment))
	f.Add([]byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: null}\nspec: {template: {spec: {containers: [{}]}}}"))
	f.Add([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"template":{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}}}`))
	f.Add([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":7,"managedFields":[null]},"spec":{"replicas":1e99}}`))
	f.Add([]byte(`{"apiVersion":[],"kind":{},"metadata":null}`))
	s := fuzzServer(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, sub := range []string{"", "status", "scale"} {
			r := fuzzRequest(s)
			r.subresource = sub
			_, _, err := s.patchOrApply(t.Context(), r, types.ApplyYAMLPatchType, data,
				metav1.PatchOptions{FieldManager: "bob", DryRun: []string{metav1.DryRunAll}})
			var status apierrors.APIStatus
			if err != nil && (!errors.As(err, &status) || status.Status().Code >= 500) {
				t.Errorf("%s: %v", sub, err)
			}
		}
	})
}

// FuzzListQuery lists with selectors and tokens that clients make up.
func FuzzListQuery(f *testing.F) {
	f.Add("a=b,c!=d,e in (f,g),!h", "metadata.name=x,status.phase!=Running", "")
	f.Add("a in (", "a==b=c", continueToken{Version: "meta.k8s.io/v1", Revision: 3, Start: "default/a"}.String())
	f.Add("", "", continueToken{Version: "meta.k8s.io/v1", Revision: -1, Start: "/"}.String())
	s := fuzzServer(f)
	r := request{kind: s.cfg.Kinds.ByID(kind.Pods), key: view.Key{Kind: kind.Pods}, user: systemUser()}
	f.Fuzz(func(t *testing.T, labels, fields, token string) {
		sel, err := newSelection(r.kind, nil, labels, fields)
		if err == nil {
			_, err = s.list(t.Context(), r, listOptions{sel: sel, continu: token, limit: 2})
		}
		var status apierrors.APIStatus
		if err != nil && (!errors.As(err, &status) || status.Status().Code >= 500 && status.Status().Code != 504) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzAcceptHeader asks for forms that do not exist.
func FuzzAcceptHeader(f *testing.F) {
	f.Add("application/json;as=Table;g=meta.k8s.io;v=v1, */*;q=0.1")
	f.Add(";;=,q=,\x00")
	s := fuzzServer(f)
	h := s.Handler()
	f.Fuzz(func(t *testing.T, accept string) {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/version", nil)
		r.URL.Path = "/apis"
		r.Header["Accept"] = []string{accept}
		h.ServeHTTP(rec, r)
		if rec.Code >= 500 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	})
}

func TestEveryServedKindCanBeApplied(t *testing.T) {
	kinds := registry.New()
	types, err := newTypeConverter(kinds)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds.Served() {
		obj := k.New()
		setGVK(obj, k.GVK)
		if _, err := types.ObjectToTyped(obj); err != nil {
			t.Errorf("%s: %v", k.GVK, err)
		}
	}
	if _, err := types.ObjectToTyped(scaleOf(kinds.ByID(kind.Deployments), &appsv1.Deployment{})); err != nil {
		t.Error(err)
	}
}

func TestManagersAreNamedAfterTheirProgram(t *testing.T) {
	for agent, want := range map[string]string{
		"kubectl/v1.37.2 (linux/amd64) kubernetes/abc": "kubectl",
		"":             "unknown",
		"/":            "unknown",
		"my\x00\ntool": "mytool",
		"no-slash":     "no-slash",
	} {
		if got := managerOf(agent); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
	long := managerOf(string(make([]byte, 10)) + "é" + string(repeated('é', 200)))
	if len(long) > 128 || !isManagerName(long) {
		t.Errorf("a long name became %q", long)
	}
}

func repeated(r rune, n int) []rune {
	out := make([]rune, n)
	for i := range out {
		out[i] = r
	}
	return out
}

func isManagerName(name string) bool {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "y", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: name, Operation: "Update"}}}}
	return len(kind.ValidateMeta(registry.New().ByID(kind.Pods), pod)) == 0
}
