package apiserver_test

import (
	"net/http"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"sampan/apiserver"
)

func TestEveryUseOfADeprecatedKindIsWarnedOf(t *testing.T) {
	j := auditBy(t, "omitStages: [RequestReceived]\nrules: [{level: Metadata}]")
	h := newMemory(t, func(cfg *apiserver.Config) { cfg.Audit = j.Log }).Handler()
	const all, one = "/api/v1/namespaces/default/endpoints", "/api/v1/namespaces/default/endpoints/e"
	const warning = `299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"`
	for _, test := range []struct {
		method, path, body string
		code               int
		warned             bool
	}{
		{"POST", all, `{"metadata":{"name":"e"}}`, http.StatusCreated, true},
		{"GET", one, "", http.StatusOK, true},
		{"GET", all, "", http.StatusOK, true},
		{"GET", all + "?watch=1&timeoutSeconds=1", "", http.StatusOK, true},
		{"PUT", one, `{"metadata":{"name":"e","labels":{"a":"b"}}}`, http.StatusOK, true},
		{"DELETE", one, "", http.StatusOK, true},
		{"GET", one, "", http.StatusNotFound, true},
		{"GET", "/apis/discovery.k8s.io/v1/endpointslices", "", http.StatusOK, false},
	} {
		rec := ask(t, h, test.method, test.path, test.body)
		if rec.Code != test.code {
			t.Fatalf("%s %s: %d %s", test.method, test.path, rec.Code, rec.Body)
		}
		if got := rec.Header().Values("Warning"); test.warned != (len(got) == 1 && got[0] == warning) {
			t.Errorf("%s %s: the warnings are %q", test.method, test.path, got)
		}
		for _, e := range j.events(t) {
			if e.Stage == auditv1.StageResponseComplete && (e.Annotations["k8s.io/deprecated"] == "true") != test.warned {
				t.Errorf("%s %s: the audit log has the annotations %v", test.method, test.path, e.Annotations)
			}
		}
	}
}
