package apiserver_test

import (
	"net/http"
	"strings"
	"testing"
)

const (
	leasesPath  = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
	configsPath = "/api/v1/namespaces/default/configmaps"
	classesPath = "/apis/node.k8s.io/v1/runtimeclasses"
	mergePatch  = "application/merge-patch+json"
	applyPatch  = "application/apply-patch+yaml"
)

// TestChangesAreOfTheObjectThatTheyName walks through what a change may say of the object that it is meant for: its
// resourceVersion, which some kinds demand, and its UID.
func TestChangesAreOfTheObjectThatTheyName(t *testing.T) {
	const (
		demanded  = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
		modified  = "the object has been modified"
		immutable = `metadata.uid: Invalid value: \"other\": field is immutable`
		elsewhere = "Precondition failed: UID in precondition: other, UID in object meta: "
	)
	for _, test := range []struct {
		name         string
		method, path string
		media, body  string
		code         int
		want         string
	}{
		{"an update without a revision", "PUT", configsPath + "/c", "", `{"metadata":{"name":"c"}}`, 200, ""},
		{"… of a Lease", "PUT", leasesPath + "/l", "", `{"metadata":{"name":"l"}}`, 422, `leases.coordination.k8s.io \"l\" is invalid: ` + demanded},
		{"… of a RuntimeClass", "PUT", classesPath + "/r", "", `{"metadata":{"name":"r"},"handler":"h"}`, 422, demanded},
		{"a patch of a Lease", "PATCH", leasesPath + "/l", mergePatch, `{"metadata":{"labels":{"a":"b"}}}`, 200, ""},
		{"a patch that takes a Lease's revision away", "PATCH", leasesPath + "/l", mergePatch, `{"metadata":{"resourceVersion":null}}`, 422, demanded},
		{"an apply to a Lease", "PATCH", leasesPath + "/l?fieldManager=m", applyPatch, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"}}`, 200, ""},

		{"an update of an old revision", "PUT", configsPath + "/c", "", `{"metadata":{"name":"c","resourceVersion":"1"}}`, 409, modified},
		{"a patch of an old revision", "PATCH", configsPath + "/c", mergePatch, `{"metadata":{"resourceVersion":"1"}}`, 409, modified},

		{"an update of another UID", "PUT", configsPath + "/c", "", `{"metadata":{"name":"c","uid":"other"}}`, 409, elsewhere},
		{"a patch of the UID", "PATCH", configsPath + "/c", mergePatch, `{"metadata":{"uid":"other"}}`, 422, immutable},
		{"an apply of another UID", "PATCH", configsPath + "/c?fieldManager=m", applyPatch, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","uid":"other"}}`, 422, immutable},
		{"a patch that takes the UID away", "PATCH", configsPath + "/c", mergePatch, `{"metadata":{"uid":null}}`, 200, `"uid":"uid-`},

		{"an update that creates", "PUT", classesPath + "/new", "", `{"metadata":{"name":"new"},"handler":"h"}`, 201, ""},
		{"… what had a revision once", "PUT", leasesPath + "/again", "", `{"metadata":{"name":"again","resourceVersion":"5"}}`, 201, ""},
		{"… what had a UID once", "PUT", leasesPath + "/gone", "", `{"metadata":{"name":"gone","uid":"other","resourceVersion":"5"}}`, 409, elsewhere},
		{"an apply that creates what had a revision once", "PATCH", configsPath + "/again?fieldManager=m", applyPatch,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"again","resourceVersion":"5"}}`, 201, ""},
		{"an update of what is not there", "PUT", configsPath + "/gone", "", `{"metadata":{"name":"gone","uid":"other"}}`, 404, "not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newMemory(t).Handler()
			for path, body := range map[string]string{
				configsPath: `{"metadata":{"name":"c"}}`, leasesPath: `{"metadata":{"name":"l"}}`, classesPath: `{"metadata":{"name":"r"},"handler":"h"}`,
			} {
				if rec := ask(t, h, "POST", path, body); rec.Code != http.StatusCreated {
					t.Fatalf("%d %s", rec.Code, rec.Body)
				}
			}
			media := test.media
			if media == "" {
				media = "application/json"
			}
			rec := ask(t, h, test.method, test.path, test.body, "Content-Type", media)
			if rec.Code != test.code || !strings.Contains(rec.Body.String(), test.want) {
				t.Errorf("want %d and %q, got %d %s", test.code, test.want, rec.Code, rec.Body)
			}
		})
	}
}
