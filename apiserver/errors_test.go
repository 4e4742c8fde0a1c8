package apiserver_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver"
)

// plain serves without TLS, for requests that are written by hand.
func plain(t *testing.T, s *apiserver.Server) string {
	t.Helper()
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	return h.URL
}

// send sends a request and returns the code and body.
func send(t *testing.T, method, url, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
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

func TestBadRequestsGetTheErrorsThatUsersKnow(t *testing.T) {
	url := plain(t, newMemory(t))
	maps := "/api/v1/namespaces/default/configmaps"
	for name, test := range map[string]struct {
		method, path, body string
		header             []string
		code               int
		want               string
	}{
		"unknown path":        {"GET", "/nope", "", nil, 404, "the server could not find the requested resource"},
		"unknown resource":    {"GET", "/api/v1/foos", "", nil, 404, "the server could not find the requested resource"},
		"unknown version":     {"GET", "/apis/apps/v2/deployments", "", nil, 404, "the server could not find the requested resource"},
		"missing object":      {"GET", maps + "/x", "", nil, 404, `configmaps "x" not found`},
		"malformed JSON":      {"POST", maps, `{"metadata":`, nil, 400, "the object provided is unrecognized (must be of type ConfigMap)"},
		"malformed YAML":      {"POST", maps, "a: [", []string{"Content-Type", "application/yaml"}, 400, "must be of type ConfigMap"},
		"malformed protobuf":  {"POST", maps, "k8s", []string{"Content-Type", "application/vnd.kubernetes.protobuf"}, 400, "does not appear to be a protobuf message"},
		"wrong type":          {"POST", maps, `{"data":{"a":1}}`, nil, 400, `ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string`},
		"other kind":          {"POST", maps, `{"kind":"Secret","apiVersion":"v1"}`, nil, 400, `Secret in version "v1" cannot be handled as a ConfigMap`},
		"other version":       {"POST", maps, `{"kind":"ConfigMap","apiVersion":"v2"}`, nil, 400, "the API version in the data (v2) does not match the expected API version (v1)"},
		"unknown field":       {"POST", maps + "?fieldValidation=Strict", `{"metadata":{"name":"x"},"foo":1}`, nil, 400, `ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"foo\"`},
		"bad fieldValidation": {"POST", maps + "?fieldValidation=Maybe", `{}`, nil, 422, `CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Maybe"`},
		"bad dryRun":          {"PUT", maps + "/x?dryRun=all", `{`, nil, 422, `UpdateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["all"]: supported values: "All"`},
		"bad patch options":   {"PATCH", maps + "/x?fieldValidation=Maybe", `{}`, []string{"Content-Type", "application/merge-patch+json"}, 422, `PatchOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Maybe"`},
		"long manager":        {"POST", maps + "?fieldManager=" + strings.Repeat("m", 129), `{}`, nil, 422, "fieldManager: Too long: may not be more than 128"},
		"no name":             {"POST", maps, `{}`, nil, 422, "metadata.name: Required value: name or generateName is required"},
		"other namespace":     {"POST", maps, `{"metadata":{"name":"x","namespace":"y"}}`, nil, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		"missing namespace":   {"POST", "/api/v1/namespaces/none/configmaps", `{"metadata":{"name":"x"}}`, nil, 404, `namespaces \"none\" not found`},
		"other name":          {"PUT", maps + "/x", `{"metadata":{"name":"y"}}`, nil, 400, "does not match the name on the URL"},
		"too big":             {"POST", maps, strings.Repeat(" ", 3<<20+1), nil, 413, "limit is 3145728"},
		"unknown media type":  {"POST", maps, "x", []string{"Content-Type", "text/html"}, 415, "accepted media types include"},
		"unknown accept":      {"GET", maps, "", []string{"Accept", "text/html"}, 406, "only the following media types are accepted"},
		"apply":               {"PATCH", maps + "/x", "{}", []string{"Content-Type", "application/apply-patch+cbor"}, 415, "application/strategic-merge-patch+json"},
		"bad selector":        {"GET", maps + "?labelSelector=a%3D%3D%3D", "", nil, 400, "unable to parse requirement"},
		"bad limit":           {"GET", maps + "?limit=x", "", nil, 400, `parsing "x"`},
		"bad revision":        {"GET", maps + "?resourceVersion=x", "", nil, 400, "resourceVersion"},
		"no such field":       {"GET", maps + "?fieldSelector=spec.x%3Dy", "", nil, 400, `"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"`},
		"no field of pods":    {"GET", "/api/v1/pods?fieldSelector=spec.x%3Dy", "", nil, 400, "field label not supported: spec.x"},
		"bad revision to get": {"GET", maps + "/x?resourceVersion=x", "", nil, 400, "resourceVersion"},
		"future get":          {"GET", maps + "/x?resourceVersion=99999999", "", nil, 504, "Too large resource version: 99999999, current: "},
		"openapi as CBOR":     {"GET", "/openapi/v3/api/v1", "", []string{"Accept", "application/cbor"}, 406, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"},
		"openapi as HTML":     {"GET", "/openapi/v2", "", []string{"Accept", "text/html"}, 406, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"},
		"future revision":     {"GET", maps + "?resourceVersion=99999999", "", nil, 504, "Too large resource version: 99999999, current: "},
		"no name to update":   {"PUT", maps + "/x", `{"data":{}}`, nil, 400, "the name of the object (x based on URL) was undeterminable: name must be provided"},
		"no name to scale":    {"PUT", "/apis/apps/v1/namespaces/default/deployments/x/scale", `{"spec":{"replicas":1}}`, nil, 404, `deployments.apps "x" not found`},
		"no name to apply":    {"PATCH", maps + "/new?fieldManager=m", `{"apiVersion":"v1","kind":"ConfigMap"}`, []string{"Content-Type", "application/apply-patch+yaml"}, 400, "the name of the object (new based on URL) was undeterminable: name must be provided"},
		"wrong method":        {"PUT", maps, "{}", nil, 405, "the server does not allow this method on the requested resource"},
		"unknown method":      {"FETCH", maps, "{}", nil, 405, "the server does not allow this method on the requested resource"},
		"create nowhere":      {"POST", "/api/v1/configmaps", "{}", nil, 405, "the server does not allow this method on the requested resource"},
		"delete everywhere":   {"DELETE", "/api/v1/configmaps", "", nil, 405, "the server does not allow this method on the requested resource"},
		"delete namespaces":   {"DELETE", "/api/v1/namespaces", "", nil, 405, "the server does not allow this method on the requested resource"},
		"options that clash":  {"DELETE", maps + "?resourceVersionMatch=Exact", "", nil, 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, body := send(t, test.method, url+test.path, test.body, test.header...)
			var status metav1.Status
			if err := json.Unmarshal([]byte(body), &status); err != nil || status.Kind != "Status" || int(status.Code) != code {
				t.Errorf("no Status: %s", body)
			}
			if code != test.code || !strings.Contains(body, test.want) && !strings.Contains(status.Message, test.want) {
				t.Errorf("got %d %s, want %d %s", code, status.Message, test.code, test.want)
			}
		})
	}
}

func TestUnknownFieldsAreWarnedOf(t *testing.T) {
	url := plain(t, newMemory(t))
	code, header, _ := send(t, "POST", url+"/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"x"},"foo":1}`)
	if got := header.Get("Warning"); code != 201 || got != `299 - "unknown field \"foo\""` {
		t.Errorf("code %d, warning %q", code, got)
	}
}

// TestWhatIsRefusedIsNotWarnedOf: a service is told of odd addresses once they are stored.
func TestWhatIsRefusedIsNotWarnedOf(t *testing.T) {
	url := plain(t, newMemory(t)) + "/api/v1/namespaces/default/services"
	service := func(externalIPs string) string {
		return `{"metadata":{"name":"x"},"spec":{"ports":[{"port":1}],"externalIPs":` + externalIPs + `}}`
	}
	send(t, "POST", url, service(`[]`))
	for _, c := range []struct {
		ips            string
		code, warnings int
	}{{`["fd00:0::1"]`, 200, 2}, {`["fd00:0::1","x"]`, 422, 0}} {
		if code, header, body := send(t, "PUT", url+"/x", service(c.ips)); code != c.code || len(header.Values("Warning")) != c.warnings {
			t.Errorf("%s: %d, warnings %q: %s", c.ips, code, header.Values("Warning"), body)
		}
	}
}

// TestYAMLWarnsOfEachKeyThatStandsTwice: the decoder says it in one error of many lines, which no header can carry.
func TestYAMLWarnsOfEachKeyThatStandsTwice(t *testing.T) {
	url := plain(t, newMemory(t)) + "/api/v1/namespaces/default/configmaps"
	const twice = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  name: x\ndata:\n  a: \"1\"\n  a: \"2\"\n"
	want := []string{`299 - "line 5: key \"name\" already set in map"`, `299 - "line 8: key \"a\" already set in map"`}
	for name, c := range map[string][]string{
		"create": {"POST", "", "application/yaml"}, "update": {"PUT", "/x", "application/yaml"}, "apply": {"PATCH", "/x?fieldManager=m", "application/apply-patch+yaml"},
	} {
		if name != "create" { // the object is there
			send(t, "POST", url, twice, "Content-Type", "application/yaml")
		}
		code, header, body := send(t, c[0], url+c[1], twice, "Content-Type", c[2])
		if got := header.Values("Warning"); code >= 300 || !slices.Equal(got, want) {
			t.Errorf("%s: code %d %s, warnings %q", name, code, body, got)
		}
		send(t, "DELETE", url+"/x", "")
	}
}

// TestOwnersThatStandTwiceAreDropped with a warning, as upstream does.
func TestOwnersThatStandTwiceAreDropped(t *testing.T) {
	url := plain(t, newMemory(t)) + "/api/v1/namespaces/default/configmaps"
	const owner, other = `{"apiVersion":"v1","kind":"ConfigMap","name":"o","uid":"1"}`, `{"apiVersion":"v1","kind":"ConfigMap","name":"o","uid":"2"}`
	for name, c := range map[string][]string{
		"create": {"POST", "", "application/json"}, "update": {"PUT", "/x", "application/json"}, "patch": {"PATCH", "/x", "application/merge-patch+json"},
	} {
		if name != "create" { // the object is there
			send(t, "POST", url, `{"metadata":{"name":"x"}}`)
		}
		code, header, body := send(t, c[0], url+c[1], `{"metadata":{"name":"x","ownerReferences":[`+owner+","+owner+","+other+`]}}`, "Content-Type", c[2])
		if got := header.Values("Warning"); code >= 300 || len(got) != 1 || !strings.Contains(got[0], "duplicate UID(s) observed: 1") {
			t.Errorf("%s: code %d %s, warnings %q", name, code, body, got)
		}
		if n := strings.Count(body, `"name":"o"`); n != 2 {
			t.Errorf("%s: %d owners in %s", name, n, body)
		}
		send(t, "DELETE", url+"/x", "")
	}
}

// TestPatchesCannotMakeAnotherObject of the one that they are sent to.
func TestPatchesCannotMakeAnotherObject(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("x"))
	url := plain(t, s) + "/api/v1/namespaces/default/configmaps/x"
	for name, c := range map[string]struct {
		media, patch string
		code         int
		want         string
	}{
		"name":              {"merge-patch", `{"metadata":{"name":"y"}}`, 400, "the name of the object (y) does not match the name on the URL (x)"},
		"no name":           {"merge-patch", `{"metadata":{"name":null}}`, 400, "the name of the object (x based on URL) was undeterminable"},
		"name, strategic":   {"strategic-merge-patch", `{"metadata":{"name":"y"}}`, 400, "the name of the object (y) does not match the name on the URL (x)"},
		"namespace":         {"json-patch", `[{"op":"replace","path":"/metadata/namespace","value":"y"}]`, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		"kind":              {"merge-patch", `{"kind":"Secret"}`, 422, "cannot be changed"},
		"version":           {"json-patch", `[{"op":"replace","path":"/apiVersion","value":"v2"}]`, 422, "cannot be changed"},
		"without namespace": {"merge-patch", `{"metadata":{"namespace":null}}`, 200, ""},
		"kind, strategic":   {"strategic-merge-patch", `{"kind":"Secret"}`, 200, ""}, // upstream decodes it by its type
	} {
		code, _, body := send(t, "PATCH", url, c.patch, "Content-Type", "application/"+c.media+"+json")
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d %s", name, code, body, c.code, c.want)
		}
	}
}

func TestWatchesBeginWithTheStateAndSayWhereItEnds(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("x"))
	must(t, s.Client(masters()), configMap("y"))
	url := plain(t, s)
	const table, end = "application/json;as=Table;g=meta.k8s.io;v=v1", `"k8s.io/initial-events-end":"true"`
	for name, test := range map[string]struct {
		query, accept string
		code, events  int
		last          string
	}{
		"asked for":              {"?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", "", 200, 3, end},
		"without bookmarks":      {"?sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "", 200, 2, `"name":"y"`},
		"in the old way":         {"?resourceVersion=0&allowWatchBookmarks=true", "", 200, 3, end},
		"in the oldest way":      {"?allowWatchBookmarks=true", "", 200, 3, end},
		"rows without objects":   {"?allowWatchBookmarks=true&includeObject=None", table, 200, 3, end},
		"no state":               {"?sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", "", 200, 0, ""},
		"of one":                 {"?fieldSelector=metadata.name%3Dy", "", 200, 1, `"name":"y"`},
		"of one, twice":          {"/y?fieldSelector=metadata.name%3Dy", "", 200, 1, `"name":"y"`},
		"of one and another":     {"/y?fieldSelector=metadata.name%3Dx", "", 400, 1, "fieldSelector metadata.name doesn't match requested name"},
		"of one and not another": {"/y?fieldSelector=metadata.name!%3Dx", "", 400, 1, "fieldSelector metadata.name doesn't match requested name"},
	} {
		// The time of a negative timeout is over when the state has been sent.
		path := "/api/v1/watch/namespaces/default/configmaps"
		code, _, body := send(t, "GET", url+path+test.query+"&timeoutSeconds=-1", "", "Accept", test.accept)
		var events []string
		if body != "" {
			events = strings.Split(strings.TrimSpace(body), "\n")
		}
		if code != test.code || len(events) != test.events || test.last != "" && !strings.Contains(events[len(events)-1], test.last) {
			t.Errorf("%s: %d, %d events: %s", name, code, len(events), body)
		}
	}
}

func TestRequestsSayHowLongTheyMayTake(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("x"))
	url := plain(t, s)
	const maps = "/api/v1/namespaces/default/configmaps"
	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/version?timeout=invalid": {400, `invalid timeout specified in the request URL - time: invalid duration`},
		maps + "/x?timeout=5":      {400, "invalid timeout specified in the request URL"},
		maps + "/x?timeout=0s":     {200, ""},
		maps + "/x?timeout=3h":     {200, ""},
		maps + "/x?timeout=10s":    {200, ""},
		maps + "?timeout=5&watch=1&timeoutSeconds=1&resourceVersion=1": {200, ""}, // streams have an option of their own
		maps + "/x?export=true":  {400, "the export parameter, deprecated since v1.14, is no longer supported"},
		maps + "/x?export=false": {200, ""},
	} {
		code, _, body := send(t, "GET", url+path, "")
		if code != want.code || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestForbiddenSaysWhoMayNotDoWhat(t *testing.T) {
	s := newMemory(t, func(cfg *apiserver.Config) { cfg.Authorizer = nil })
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Handler().ServeHTTP(w, r) }))
	h.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	h.StartTLS()
	t.Cleanup(h.Close)
	for path, want := range map[string]string{
		"/api/v1/nodes": `nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope`,
		"/apis/apps/v1/namespaces/d/deployments/x":     `deployments.apps "x" is forbidden: User "system:anonymous" cannot get resource "deployments" in API group "apps" in the namespace "d"`,
		"/api/v1/namespaces/d/pods/x/log":              `pods "x" is forbidden: User "system:anonymous" cannot get resource "pods/log" in API group "" in the namespace "d"`,
		"/metrics":                                     `forbidden: User "system:anonymous" cannot get path "/metrics"`,
		"/api/v1/namespaces/d/pods?watch=1&pretty=yes": `pods is forbidden: User "system:anonymous" cannot watch resource "pods" in API group "" in the namespace "d"`,
	} {
		res, err := h.Client().Get(h.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		var status metav1.Status
		json.NewDecoder(res.Body).Decode(&status)
		res.Body.Close()
		if res.StatusCode != 403 || status.Message != want {
			t.Errorf("%s: %d %s", path, res.StatusCode, status.Message)
		}
	}
	r, _ := http.NewRequest("GET", h.URL+"/api/v1/nodes", nil)
	r.Header.Set("Authorization", "Bearer nonsense")
	if res, err := h.Client().Do(r); err != nil || res.StatusCode != 401 {
		t.Errorf("unknown token: %v %v", err, res)
	}
	if res, err := h.Client().Get(h.URL + "/livez"); err != nil || res.StatusCode != 200 {
		t.Errorf("health: %v %v", err, res)
	}
}

func TestChangesSayWhichStateTheyAreMadeFrom(t *testing.T) {
	s := newMemory(t)
	made := must(t, s.Client(masters()), configMap("x"))
	url := plain(t, s)
	maps, leases := url+"/api/v1/namespaces/default/configmaps/x", url+"/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
	if code, _, body := send(t, "PUT", leases, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"}}`); code != 201 {
		t.Fatal(body)
	}
	const stale = "the object has been modified; please apply your changes to the latest version and try again"
	for name, test := range map[string]struct {
		url, gvk, revision string
		code               int
		want               string
	}{
		"the state":        {maps, `"apiVersion":"v1","kind":"ConfigMap"`, made.ResourceVersion, 200, ""},
		"any":              {maps, `"apiVersion":"v1","kind":"ConfigMap"`, "", 200, ""},
		"zero is any":      {maps, `"apiVersion":"v1","kind":"ConfigMap"`, "0", 200, ""},
		"another":          {maps, `"apiVersion":"v1","kind":"ConfigMap"`, "1000000", 409, stale},
		"no number":        {maps, `"apiVersion":"v1","kind":"ConfigMap"`, "new", 400, `strconv.ParseUint: parsing \"new\": invalid syntax`},
		"too large":        {maps, `"apiVersion":"v1","kind":"ConfigMap"`, "18446744073709551616", 400, "value out of range"},
		"negative":         {maps, `"apiVersion":"v1","kind":"ConfigMap"`, "-1", 400, "invalid syntax"},
		"must be said":     {leases, `"apiVersion":"coordination.k8s.io/v1","kind":"Lease"`, "", 422, "metadata.resourceVersion: Invalid value: 0: must be specified for an update"},
		"zero is not said": {leases, `"apiVersion":"coordination.k8s.io/v1","kind":"Lease"`, "0", 422, "must be specified for an update"},
	} {
		object := `{` + test.gvk + `,"metadata":{"name":"` + test.url[strings.LastIndex(test.url, "/")+1:] + `","resourceVersion":"` + test.revision + `"}}`
		code, _, body := send(t, "PUT", test.url+"?dryRun=All", object)
		if code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("PUT, %s: %d %s", name, code, body)
		}
		if test.revision == "" {
			continue // a patch without a revision is of the object as it is
		}
		code, _, body = send(t, "PATCH", test.url+"?dryRun=All", `{"metadata":{"resourceVersion":"`+test.revision+`"}}`, "Content-Type", "application/merge-patch+json")
		if code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("PATCH, %s: %d %s", name, code, body)
		}
	}
}

func TestSubresourcesTakeTheirOwnKindOnly(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), pod("p"))
	p := plain(t, s) + "/api/v1/namespaces/default/pods/p"
	for name, test := range map[string]struct {
		method, path, body string
		code               int
		want               string
	}{
		"eviction":                   {"POST", "/eviction?dryRun=All", `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}`, 201, `"status":"Success"`},
		"eviction by old clients":    {"POST", "/eviction?dryRun=All", `{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"p","namespace":"default"}}`, 201, `"status":"Success"`},
		"eviction of older versions": {"POST", "/eviction?dryRun=All", `{"apiVersion":"policy/v1alpha1","kind":"Eviction","metadata":{"name":"p"}}`, 400, "the API version in the data (policy/v1alpha1) does not match the expected API version (policy/v1)"},
		"eviction of another":        {"POST", "/eviction?dryRun=All", `{"metadata":{"name":"q"}}`, 400, "name in URL does not match name in Eviction object"},
		"eviction of nobody":         {"POST", "/eviction?dryRun=All", `{}`, 400, "name in URL does not match name in Eviction object"},
		"eviction elsewhere":         {"POST", "/eviction?dryRun=All", `{"metadata":{"name":"p","namespace":"other"}}`, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		"binding of nobody":          {"POST", "/binding?dryRun=All", `{"target":{"name":"n"}}`, 400, "name in URL does not match name in Binding object"},
		"binding elsewhere":          {"POST", "/binding?dryRun=All", `{"metadata":{"name":"p","namespace":"other"},"target":{"name":"n"}}`, 400, "the namespace of the provided object does not match the namespace sent on the request"},
		"verb":                       {"GET", "/eviction", "", 405, "MethodNotAllowed"},
		"no such subresource":        {"GET", "/nope", "", 404, "NotFound"},
		"version of an unsaid group": {"PUT", "/status", `{"kind":"Pod","spec":{"containers":7}}`, 400, `Pod in version \"v1\" cannot be handled as a Pod`},
	} {
		code, _, body := send(t, test.method, p+test.path, test.body)
		if code != test.code || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

func TestEndpointsWarnWhoeverUsesThem(t *testing.T) {
	url := plain(t, newMemory(t)) + "/api/v1/namespaces/default/endpoints"
	const warning = `299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"`
	for _, test := range [][3]string{
		{"POST", "", `{"metadata":{"name":"e"}}`}, {"GET", "", ""}, {"GET", "/e", ""}, {"GET", "?watch=1&timeoutSeconds=-1", ""}, {"DELETE", "/e", ""},
	} {
		code, header, body := send(t, test[0], url+test[1], test[2])
		if got := header.Values("Warning"); code > 201 || len(got) != 1 || got[0] != warning {
			t.Errorf("%s %s: %d %q %s", test[0], test[1], code, got, body)
		}
	}
}
