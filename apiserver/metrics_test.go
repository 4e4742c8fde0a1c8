package apiserver

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"sampan/apiserver/audit"
	"sampan/apiserver/auth"
)

// upstreamMetrics are metrics of kube-apiserver v1.37 and their labels, sorted.
func upstreamMetrics() map[string]string {
	const request = "component dry_run group resource scope subresource verb version"
	const short = "component group resource scope subresource verb version"
	return map[string]string{
		"apiserver_request_total":              "code " + request,
		"apiserver_request_duration_seconds":   request,
		"apiserver_response_sizes":             short,
		"apiserver_longrunning_requests":       short,
		"apiserver_request_terminations_total": "code " + short,
		"apiserver_current_inflight_requests":  "request_kind",
		"apiserver_watch_events_total":         "group resource version",
		"apiserver_watch_events_sizes":         "group resource version",
		"apiserver_storage_objects":            "resource",
		"apiserver_resource_objects":           "group resource",
		"apiserver_requested_deprecated_apis":  "group removed_release resource subresource version",
		"apiserver_tls_handshake_errors_total": "",
		"apiserver_audit_event_total":          "",
		"apiserver_audit_error_total":          "plugin",
		"apiserver_audit_level_total":          "level",
		"authentication_attempts":              "result",
		"authorization_attempts_total":         "result",
		"etcd_request_duration_seconds":        "group operation resource",
		"serviceaccount_legacy_tokens_total":   "",
		"serviceaccount_stale_tokens_total":    "",
		"serviceaccount_valid_tokens_total":    "",
		"kubernetes_build_info":                "build_date compiler git_commit git_tree_state git_version go_version major minor platform",
		"kubernetes_healthcheck":               "name type",
		"kubernetes_healthchecks_total":        "name status type",
	}
}

func TestMetricsHaveUpstreamsNamesAndLabels(t *testing.T) {
	s := fuzzServer(t)
	s.cfg.Authorizer = func(a auth.Attributes) (bool, string) { return a.Resource != "nodes", "" }
	s.cfg.Audit = audit.New(nil, audit.Everything(), s.cfg.Log)
	s.inFlight.readOnly.max = 1
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
		{"GET", "/readyz", "", nil, 200},
	} {
		if code, body := ask(step.method, step.path, step.body, step.header...); code != step.code {
			t.Fatalf("%s %s: %d %s", step.method, step.path, code, body)
		}
	}
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
		`authentication_attempts{result="failure"} 1`,
		`authorization_attempts_total{result="no-opinion"} 1`,
		`etcd_request_duration_seconds_count{group="",operation="create",resource="configmaps"} 1`,
		`etcd_request_duration_seconds_count{group="",operation="update",resource="configmaps"} 1`,
		`etcd_request_duration_seconds_count{group="",operation="delete",resource="configmaps"} 1`,
		`etcd_request_duration_seconds_count{group="apps",operation="create",resource="deployments"} 1`,
		`apiserver_resource_objects{group="apps",resource="deployments"} 1`,
		`apiserver_response_sizes_count{component="apiserver",group="",resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"}`,
		`apiserver_watch_events_sizes_count{group="",resource="configmaps",version="v1"} 1`,
		`apiserver_audit_level_total{level="Metadata"} `,
		`kubernetes_healthcheck{name="etcd",type="readyz"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	// Names that upstream had before Prometheus had rules.
	old := []string{"authentication_attempts", "apiserver_storage_objects", "apiserver_resource_objects", "apiserver_audit_event_total"}
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
