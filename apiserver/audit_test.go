package apiserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"sampan/apiserver"
	"sampan/apiserver/audit"
	"sampan/apiserver/auth"
)

// journal is an audit log that a test reads.
type journal struct {
	*audit.Log
	data bytes.Buffer
}

func (*journal) Close() error                  { return nil }
func (j *journal) Write(p []byte) (int, error) { return j.data.Write(p) }

// auditBy returns a log with a policy, whose rules are given in YAML.
func auditBy(t *testing.T, rules string) *journal {
	t.Helper()
	p, err := audit.ParsePolicy([]byte("apiVersion: audit.k8s.io/v1\nkind: Policy\n" + rules))
	if err != nil {
		t.Fatal(err)
	}
	j := new(journal)
	j.Log = audit.New(j, p, silent())
	return j
}

// events returns what was recorded. Nobody must be served any more.
func (j *journal) events(t *testing.T) []auditv1.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Run(ctx); err != nil {
		t.Fatal(err)
	}
	var out []auditv1.Event
	for line := range bytes.Lines(j.data.Bytes()) {
		var e auditv1.Event
		if err := json.Unmarshal(line, &e); err != nil || e.Kind != "Event" || e.APIVersion != "audit.k8s.io/v1" || e.AuditID == "" {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, e)
	}
	j.data.Reset()
	return out
}

// ask sends a request to a handler, as a user's agent would, and returns the answer.
func ask(t *testing.T, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestAuditLogHoldsWhatItsLevelSays(t *testing.T) {
	const maps, one = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/configmaps/m"
	j := auditBy(t, `
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, nonResourceURLs: [/version]}
- {level: Metadata, resources: [{resources: [secrets, serviceaccounts/token]}]}
- {level: Request, verbs: [patch], omitManagedFields: false}
- {level: RequestResponse}
`)
	h := newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = j.Log }).Handler()
	const js = "Content-Type"
	for _, test := range []struct {
		name, method, path, body string
		header                   []string
		request, response        []string // what they hold; nil: they are not there
		ref                      auditv1.ObjectReference
		status                   metav1.Status
	}{
		{
			name: "a creation", method: "POST", path: maps, body: `{"metadata":{"name":"m"},"data":{"a":"1"},"unknown":1}`,
			request: []string{`"kind":"ConfigMap"`, `"data":{"a":"1"}`}, response: []string{`"kind":"ConfigMap"`, `"uid":`},
			ref: auditv1.ObjectReference{Name: "m"}, status: metav1.Status{Code: 201},
		},
		{
			name: "a secret", method: "POST", path: "/api/v1/namespaces/default/secrets", body: `{"metadata":{"generateName":"s-"},"stringData":{"a":"hush"}}`,
			ref: auditv1.ObjectReference{Name: "s-", Resource: "secrets"}, status: metav1.Status{Code: 201},
		},
		{
			name: "a merge patch", method: "PATCH", path: one, body: `{"data":{"b":"2"}}`, header: []string{js, "application/merge-patch+json"},
			request: []string{`{"data":{"b":"2"}}`}, ref: auditv1.ObjectReference{Name: "m"}, status: metav1.Status{Code: 200},
		},
		{
			name: "an apply in YAML", method: "PATCH", path: one + "?fieldManager=me", body: "apiVersion: v1\nkind: ConfigMap\ndata: {c: '3'}", header: []string{js, "application/apply-patch+yaml"},
			request: []string{`{"apiVersion":"v1","data":{"c":"3"},"kind":"ConfigMap"}`}, ref: auditv1.ObjectReference{Name: "m"}, status: metav1.Status{Code: 200},
		},
		{
			name: "a get in protobuf", method: "GET", path: one, header: []string{"Accept", "application/vnd.kubernetes.protobuf"},
			response: []string{`"kind":"ConfigMap"`, `"b":"2"`}, ref: auditv1.ObjectReference{Name: "m"}, status: metav1.Status{Code: 200},
		},
		{
			name: "a table", method: "GET", path: maps + "?includeObject=Object", header: []string{"Accept", "application/json;as=Table;g=meta.k8s.io;v=v1"},
			response: []string{`"kind":"Table"`, `"b":"2"`}, status: metav1.Status{Code: 200},
		},
		{
			name: "an update that is refused", method: "PUT", path: one, body: `{"metadata":{"name":"m","uid":"other","resourceVersion":"1"}}`,
			request: []string{`"uid":"other"`}, response: []string{`"kind":"Status"`}, ref: auditv1.ObjectReference{Name: "m", UID: "other", ResourceVersion: "1"},
			status: metav1.Status{Code: 409, Status: "Failure", Reason: "Conflict"},
		},
		{
			name: "a list", method: "GET", path: maps, response: []string{`"kind":"ConfigMapList"`, `"b":"2"`}, status: metav1.Status{Code: 200},
		},
		{
			name: "a deletion", method: "DELETE", path: one, body: `{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0}`,
			request: []string{`"kind":"DeleteOptions"`, `"gracePeriodSeconds":0`}, response: []string{`"kind":"Status"`, `"status":"Success"`},
			ref: auditv1.ObjectReference{Name: "m"}, status: metav1.Status{Code: 200, Status: "Success"},
		},
		{
			name: "what is no JSON", method: "POST", path: maps, body: `{"metadata":`, response: []string{`"reason":"BadRequest"`},
			status: metav1.Status{Code: 400, Status: "Failure", Reason: "BadRequest"},
		},
		{
			name: "a token", method: "POST", path: "/api/v1/namespaces/default/serviceaccounts/none/token", body: `{}`,
			ref: auditv1.ObjectReference{Resource: "serviceaccounts", Subresource: "token", Name: "none"}, status: metav1.Status{Code: 404, Status: "Failure", Reason: "NotFound"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			rec := ask(t, h, test.method, test.path, test.body, test.header...)
			if ask(t, h, "GET", "/version", "").Code != http.StatusOK {
				t.Fatal("no version")
			}
			events := j.events(t)
			if len(events) != 1 {
				t.Fatalf("%d events: %+v", len(events), events)
			}
			e := events[0]
			if e.Stage != auditv1.StageResponseComplete || string(e.AuditID) != rec.Header().Get("Audit-ID") || e.RequestURI != test.path {
				t.Errorf("%+v", e)
			}
			s := e.ResponseStatus
			if s == nil || s.Code != test.status.Code || s.Status != test.status.Status || s.Reason != test.status.Reason || int(s.Code) != rec.Code {
				t.Errorf("the status is %+v, want %+v", s, test.status)
			}
			if test.ref.Resource == "" {
				test.ref.Resource = "configmaps"
			}
			test.ref.Namespace, test.ref.APIVersion = "default", "v1"
			if have := *e.ObjectRef; have.Name != test.ref.Name && !strings.HasPrefix(have.Name, "s-") || have.Resource != test.ref.Resource ||
				have.UID != test.ref.UID || have.ResourceVersion != test.ref.ResourceVersion || have.Subresource != test.ref.Subresource {
				t.Errorf("it is about %+v, want %+v", have, test.ref)
			}
			if a := e.Annotations; a["authorization.k8s.io/decision"] != "allow" {
				t.Errorf("annotations %v", a)
			}
			for what, side := range map[string]struct {
				have []byte
				want []string
			}{"request": {rawOf(e.RequestObject), test.request}, "response": {rawOf(e.ResponseObject), test.response}} {
				if (side.have != nil) != (side.want != nil) || bytes.Contains(side.have, []byte("managedFields")) || bytes.Contains(side.have, []byte("hush")) {
					t.Errorf("the %s is %s", what, side.have)
				}
				for _, w := range side.want {
					if !bytes.Contains(side.have, []byte(w)) {
						t.Errorf("the %s is %s, want %s", what, side.have, w)
					}
				}
			}
		})
	}
}

func TestAuditLogKnowsTheStagesOfAWatch(t *testing.T) {
	j := auditBy(t, "rules: [{level: RequestResponse}]")
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = j.Log })
	served := httptest.NewServer(s.Handler())
	res, err := http.Get(served.URL + "/api/v1/namespaces/default/configmaps?watch=1")
	if err != nil {
		t.Fatal(err)
	}
	must(t, s.Client(masters()), configMap("m"))
	if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	served.Close() // waits for its handlers
	var stages []string
	for _, e := range j.events(t) {
		stages = append(stages, string(e.Stage))
		if e.Verb != "watch" || e.ResponseObject != nil || e.Stage != auditv1.StageRequestReceived && e.ResponseStatus.Code != 200 {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(stages, " "); got != "RequestReceived ResponseStarted ResponseComplete" {
		t.Error(got)
	}
}

func TestAuditLogTellsWhoWasRefused(t *testing.T) {
	j := auditBy(t, "rules: [{level: Metadata}]")
	h := newMemory(t, func(cfg *apiserver.Config) {
		cfg.Audit = j.Log
		cfg.Authorizer = func(a auth.Attributes) (bool, string) { return false, "not today" }
	}).Handler()
	for _, test := range []struct {
		header []string
		want   string // stage, code, user, impersonated
	}{
		{[]string{"Authorization", "Bearer nonsense"}, `ResponseStarted 401 "" Unauthorized`},
		{[]string{"Impersonate-User", "eve"}, `RequestReceived 0 "system:anonymous" ; ResponseComplete 403 "system:anonymous" nodes is forbidden: User "system:anonymous" cannot impersonate-on:user-info:list`},
		{nil, `RequestReceived 0 "system:anonymous" ; ResponseComplete 403 "system:anonymous" nodes is forbidden`},
	} {
		ask(t, h, "GET", "/api/v1/nodes", "", test.header...)
		var got []string
		for _, e := range j.events(t) {
			status := metav1.Status{}
			if e.ResponseStatus != nil {
				status = *e.ResponseStatus
			}
			got = append(got, fmt.Sprintf("%s %d %q %s", e.Stage, status.Code, e.User.Username, status.Message))
			if d := e.Annotations["authorization.k8s.io/decision"]; test.header == nil && e.Stage == auditv1.StageResponseComplete &&
				(d != "forbid" || e.Annotations["authorization.k8s.io/reason"] != "not today") {
				t.Errorf("%v", e.Annotations)
			}
		}
		if text := strings.Join(got, "; "); !strings.HasPrefix(text, test.want) {
			t.Errorf("%v: %s, want %s", test.header, text, test.want)
		}
	}
}

func TestAuditLogTellsAsWhomARequestActs(t *testing.T) {
	j := auditBy(t, `rules: [{level: Metadata, users: ["system:anonymous"]}]`)
	h := newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = j.Log }).Handler()
	ask(t, h, "GET", "/api/v1/nodes", "", "Impersonate-User", "eve", "X-Forwarded-For", "192.0.2.7", "User-Agent", strings.Repeat("x", 2000))
	events := j.events(t)
	if len(events) != 2 || events[1].ImpersonatedUser == nil || events[1].ImpersonatedUser.Username != "eve" || events[1].User.Username != "system:anonymous" {
		t.Fatalf("%+v", events)
	}
	if e := events[1]; len(e.SourceIPs) != 2 || e.SourceIPs[0] != "192.0.2.7" || !strings.HasSuffix(e.UserAgent, "xx...TRUNCATED") {
		t.Errorf("%v %d", e.SourceIPs, len(e.UserAgent))
	}
}

func TestAuditLogHoldsAPanic(t *testing.T) {
	j := auditBy(t, "omitStages: [RequestReceived]\nrules: [{level: Metadata}]")
	h := newMemory(t, func(cfg *apiserver.Config) {
		cfg.Audit, cfg.Log = j.Log, silent()
		cfg.Authorizer = func(auth.Attributes) (bool, string) { panic("at the disco") }
	}).Handler()
	if code := ask(t, h, "GET", "/api/v1/nodes", "").Code; code != 500 {
		t.Error(code)
	}
	events := j.events(t)
	if len(events) != 1 || events[0].Stage != auditv1.StagePanic || events[0].ResponseStatus.Message != "APIServer panic'd: at the disco" || events[0].ResponseStatus.Code != 500 {
		t.Errorf("%+v", events)
	}
}

func TestListsThatAreTooLongForTheAuditLogAreLeftOut(t *testing.T) {
	j := auditBy(t, "omitStages: [RequestReceived]\nrules: [{level: RequestResponse}]")
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = j.Log })
	for i := range 24 {
		m := configMap(fmt.Sprint("m", i))
		m.Data["x"] = strings.Repeat("x", 500<<10)
		must(t, s.Client(masters()), m)
	}
	if n := ask(t, s.Handler(), "GET", "/api/v1/configmaps", "").Body.Len(); n < audit.ObjectsMax {
		t.Fatalf("%d bytes", n)
	}
	if e := j.events(t); len(e) != 1 || e[0].ResponseObject != nil || e[0].Annotations["audit.k8s.io/truncated"] != "true" {
		t.Errorf("%+v", e)
	}
}

func TestAuditLogHoldsWhatPodSecurityFound(t *testing.T) {
	j := auditBy(t, "rules: [{level: Metadata}]")
	h := newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = j.Log }).Handler()
	ask(t, h, "POST", "/api/v1/namespaces", `{"metadata":{"name":"watched","labels":{"pod-security.kubernetes.io/audit":"baseline"}}}`)
	p := pod("p")
	p.Namespace, p.Spec.HostNetwork = "watched", true
	p.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Pod"})
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if rec := ask(t, h, "POST", "/api/v1/namespaces/watched/pods", string(body)); rec.Code != 201 {
		t.Fatal(rec.Body)
	}
	events := j.events(t)
	got := events[len(events)-1].Annotations["pod-security.kubernetes.io/audit-violations"]
	if want := `would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)`; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestWithoutAuditNothingIsPaid counts the allocations of a request that is not written down, with a log and without.
func TestWithoutAuditNothingIsPaid(t *testing.T) {
	count := func(j *journal) float64 {
		s := newMemory(t, func(cfg *apiserver.Config) {
			if j != nil {
				cfg.Audit = j.Log
			}
		})
		must(t, s.Client(masters()), configMap("m"))
		h, r := s.Handler(), httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/namespaces/default/configmaps/m", nil)
		least := math.Inf(1) // goroutines of other tests may allocate meanwhile
		for range 5 {
			least = min(least, testing.AllocsPerRun(100, func() { h.ServeHTTP(&discarder{header: http.Header{}}, r) }))
		}
		return least
	}
	none, ignored := count(nil), count(auditBy(t, "rules: [{level: None}]"))
	if ignored > none {
		t.Errorf("%v allocations with a log that wants nothing, %v without one", ignored, none)
	}
}

func rawOf(u *runtime.Unknown) []byte {
	if u == nil {
		return nil
	}
	return u.Raw
}
