package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sampan/apiserver/audit"
	"sampan/apiserver/auth"
	"sampan/internal/pki"
	"sampan/store"
)

// clientCertificate returns the certificate of somebody with an address.
func clientCertificate(t *testing.T, ca *pki.CA) *x509.Certificate {
	t.Helper()
	pair, err := ca.Issue(pki.Request{CommonName: "bob@example.org", Client: true}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pair.CertPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestPeakOfRequestsIsThatOfTheLastSecond(t *testing.T) {
	at := func(milliseconds int64) time.Time { return time.UnixMilli(milliseconds) }
	var g gate
	for _, step := range []struct{ at, note, want int64 }{
		{5_000, 1, 1}, {5_100, 7, 7}, {5_900, 2, 7}, {6_000, 3, 3}, {6_999, 1, 3}, {6_999, 9, 9}, {4_000, 20, 9},
	} {
		g.peak.note(at(step.at), step.note)
		if got := g.most(at(6_999)); got != step.want {
			t.Errorf("after %d at %d ms the most is %d, want %d", step.note, step.at, got, step.want)
		}
	}
	if got := g.most(at(8_000)); got != 0 {
		t.Errorf("when nobody has asked for a second the most is %d", got)
	}
	g.now.Add(4)
	if got := g.most(at(8_000)); got != 4 {
		t.Errorf("with 4 inside the most is %d", got)
	}
}

// upstreamMetrics are metrics of kube-apiserver v1.37 and their labels, sorted.
func upstreamMetrics() map[string]string {
	const request = "component dry_run group resource scope subresource verb version"
	const short = "component group resource scope subresource verb version"
	return map[string]string{
		"apiserver_request_total":                                   "code " + request,
		"apiserver_request_duration_seconds":                        request,
		"apiserver_request_sli_duration_seconds":                    short,
		"apiserver_request_aborts_total":                            "group resource scope subresource verb version",
		"apiserver_watch_list_duration_seconds":                     "group resource scope version",
		"apiserver_admission_controller_admission_duration_seconds": "name operation rejected type",
		"apiserver_admission_step_admission_duration_seconds":       "operation rejected type",
		"apiserver_client_certificate_expiration_seconds":           "",
		"apiserver_storage_events_received_total":                   "group resource",
		"apiserver_storage_size_bytes":                              "storage_cluster_id",
		"authenticated_user_requests":                               "username",
		"authentication_duration_seconds":                           "result",
		"authorization_duration_seconds":                            "result",
		"serviceaccount_legacy_tokens_total":                        "",
		"serviceaccount_stale_tokens_total":                         "",
		"serviceaccount_valid_tokens_total":                         "",
		"etcd_requests_total":                                       "group operation resource",
		"etcd_request_errors_total":                                 "group operation resource",
		"apiserver_response_sizes":                                  short,
		"apiserver_longrunning_requests":                            short,
		"apiserver_request_terminations_total":                      "code " + short,
		"apiserver_current_inflight_requests":                       "request_kind",
		"apiserver_watch_events_total":                              "group resource version",
		"apiserver_watch_events_sizes":                              "group resource version",
		"apiserver_storage_objects":                                 "resource",
		"apiserver_resource_objects":                                "group resource",
		"apiserver_requested_deprecated_apis":                       "group removed_release resource subresource version",
		"apiserver_tls_handshake_errors_total":                      "",
		"apiserver_audit_event_total":                               "",
		"apiserver_audit_error_total":                               "plugin",
		"apiserver_audit_level_total":                               "level",
		"authentication_attempts":                                   "result",
		"authorization_attempts_total":                              "result",
		"etcd_request_duration_seconds":                             "group operation resource",
		"kubernetes_build_info":                                     "build_date compiler git_commit git_tree_state git_version go_version major minor platform",
		"kubernetes_healthcheck":                                    "name type",
		"kubernetes_healthchecks_total":                             "name status type",
	}
}

// fullStore is a store that fails on demand.
type fullStore struct {
	store.Store
	full bool
}

func (s *fullStore) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if s.full {
		return 0, store.ErrNoSpace
	}
	return s.Store.Apply(ctx, writes...)
}

func TestMetricsHaveUpstreamsNamesAndLabels(t *testing.T) {
	s := fuzzServer(t)
	st := &fullStore{Store: s.cfg.Store}
	s.cfg.Store = st
	s.cfg.Authorizer = func(a auth.Attributes) (bool, string) {
		if a.User.Name != auth.AnonymousUser {
			panic(http.ErrAbortHandler) // as a list is broken off when it cannot be written to its end
		}
		return a.Resource != "nodes", ""
	}
	s.cfg.Audit = audit.New(nil, audit.Everything(), s.cfg.Log)
	h := s.Handler()
	ask := func(method, path, body string, header ...string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code, rec.Body.String()
	}
	const maps = "/api/v1/namespaces/default/configmaps"
	for _, step := range []struct {
		method, path, body string
		header             []string
		code               int
	}{
		{"POST", maps, `{"metadata":{"name":"m"}}`, nil, 201},
		{"PUT", maps + "/m", `{"metadata":{"name":"m"},"data":{"a":"b"}}`, nil, 200},
		{"GET", maps, "", nil, 200},
		{"GET", maps + "?watch=1&timeoutSeconds=1&resourceVersion=0", "", nil, 200},
		{"DELETE", maps + "/m", "", nil, 200},
		{"GET", "/api/v1/nodes", "", nil, 403},
		{"GET", "/api/v1/nodes", "", []string{"Authorization", "Bearer nonsense"}, 401},
		{"GET", "/api/v1/endpoints", "", nil, 200},
		{"GET", maps + "?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan", "", nil, 200},
		{"HEAD", maps + "/m", "", nil, 404},
		{"POST", maps + "?dryRun=All", `{"metadata":{"name":"m"}}`, nil, 201},
		{"POST", maps + "?dryRun=Some", `{"metadata":{"name":"m"}}`, nil, 422},
		{"POST", "/api/v1/namespaces/none/configmaps", `{"metadata":{"name":"m"}}`, nil, 404},
		{"GET", "/api/v1/namespaces/default/pods/none/log", "", nil, 404},
		{"GET", "/readyz", "", nil, 200},
	} {
		if code, body := ask(step.method, step.path, step.body, step.header...); code != step.code {
			t.Fatalf("%s %s: %d %s", step.method, step.path, code, body)
		}
	}
	st.full = true
	if code, body := ask("POST", maps, `{"metadata":{"name":"m"}}`); code != http.StatusInsufficientStorage {
		t.Fatalf("with a full disk: %d %s", code, body)
	}
	ca, err := pki.NewCA("ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	authorities.AddCert(ca.Certificate)
	s.Trust(authorities, s.cfg.Tokens)
	known := httptest.NewRequestWithContext(t.Context(), "GET", maps, nil)
	known.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{clientCertificate(t, ca)}}
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("a request that is broken off ends in %v", p)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), known)
	}()
	s.inFlight.readOnly.max = 1
	s.inFlight.readOnly.now.Add(1) // somebody else is in
	if code, _ := ask("GET", maps, ""); code != http.StatusTooManyRequests {
		t.Fatalf("over the limit: %d", code)
	}

	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	missing := upstreamMetrics()
	for _, f := range families {
		name := f.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		want, known := missing[name]
		if !known {
			t.Errorf("%s is none of upstream's", name)
		}
		delete(missing, name)
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		if got := strings.Join(labels, " "); got != want {
			t.Errorf("%s has the labels %s, want %s", name, got, want)
		}
	}
	for name := range missing {
		t.Errorf("%s is missing", name)
	}

	_, text := ask("GET", "/metrics", "")
	for _, want := range []string{
		`authentication_attempts{result="error"} 1`,
		`authentication_duration_seconds_count{result="error"} 1`,
		`authenticated_user_requests{username="email_id"} 1`,
		`apiserver_client_certificate_expiration_seconds_count 1`,
		`apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="configmaps",scope="resource",subresource="",verb="GET",version="v1"} 1`,
		`apiserver_request_total{code="404",component="apiserver",dry_run="",group="",resource="pods",scope="resource",subresource="log",verb="CONNECT",version="v1"} 1`,
		`apiserver_request_total{code="201",component="apiserver",dry_run="All",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1`,
		`apiserver_request_total{code="422",component="apiserver",dry_run="invalid",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 1`,
		`apiserver_request_sli_duration_seconds_count{component="apiserver",group="",resource="configmaps",scope="resource",subresource="",verb="POST",version="v1"} 3`,
		`apiserver_request_aborts_total{group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1`,
		`apiserver_watch_list_duration_seconds_count{group="",resource="configmaps",scope="namespace",version="v1"} 1`,
		`apiserver_admission_controller_admission_duration_seconds_count{name="NamespaceLifecycle",operation="CREATE",rejected="true",type="admit"} 1`,
		`apiserver_admission_controller_admission_duration_seconds_count{name="PodSecurity",operation="UPDATE",rejected="false",type="validate"} 1`,
		`apiserver_admission_controller_admission_duration_seconds_count{name="ResourceQuota",operation="UPDATE",rejected="false",type="validate"} 1`,
		`apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="true",type="admit"} 1`,
		`apiserver_admission_step_admission_duration_seconds_count{operation="UPDATE",rejected="false",type="validate"} 1`,
		`apiserver_storage_events_received_total{group="",resource="configmaps"} 3`,
		`etcd_requests_total{group="",operation="create",resource="configmaps"} 2`,
		`etcd_request_errors_total{group="",operation="create",resource="configmaps"} 1`,
		`authorization_attempts_total{result="no-opinion"} 1`,
		`etcd_request_duration_seconds_count{group="",operation="create",resource="configmaps"} 2`,
		`etcd_request_duration_seconds_count{group="",operation="update",resource="configmaps"} 1`,
		`etcd_request_duration_seconds_count{group="",operation="delete",resource="configmaps"} 1`,
		`etcd_request_duration_seconds_count{group="apps",operation="create",resource="deployments"} 1`,
		`apiserver_resource_objects{group="apps",resource="deployments"} 1`,
		`apiserver_response_sizes_count{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"}`,
		`apiserver_watch_events_sizes_count{group="",resource="configmaps",version="v1"} 2`,
		`apiserver_audit_level_total{level="Metadata"} `,
		`kubernetes_healthcheck{name="etcd",type="readyz"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	// Names that upstream had before Prometheus had rules.
	old := []string{"authentication_attempts", "authenticated_user_requests", "apiserver_storage_objects", "apiserver_resource_objects", "apiserver_audit_event_total"}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("Prometheus cannot read it: %v", err)
	}
	for _, p := range problems {
		if !slices.Contains(old, p.Metric) && !strings.HasPrefix(p.Metric, "go_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}
