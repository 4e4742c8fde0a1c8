package apiserver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const aggregatedAs = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

func TestDiscoveryComesInTheFormThatIsAsked(t *testing.T) {
	url := plain(t, newMemory(t))
	const jsonType, yamlType, protoType = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
	for path, kind := range map[string]string{
		"/api": "APIVersions", "/apis": "APIGroupList", "/apis/apps": "APIGroup", "/api/v1": "APIResourceList", "/apis/apps/v1": "APIResourceList",
	} {
		for accept, want := range map[string]string{
			"":                                   jsonType,
			"*/*":                                jsonType,
			yamlType:                             yamlType,
			protoType + ", " + jsonType:          protoType,
			"text/html, " + yamlType:             yamlType,
			jsonType + ";q=0.5, " + protoType:    protoType,
			jsonType + ";as=Table, " + protoType: protoType, // nothing of discovery is a table
			jsonType + ";g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList, " + yamlType: yamlType,
		} {
			code, header, body := send(t, "GET", url+path, "", "Accept", accept)
			if got := header.Get("Content-Type"); code != 200 || got != want || !strings.Contains(body, kind) {
				t.Errorf("%s, %q: %d %s", path, accept, code, got)
			}
		}
		for _, accept := range []string{"text/html", "application/cbor", jsonType + ";as=Table;g=meta.k8s.io;v=v1"} {
			code, _, body := send(t, "GET", url+path, "", "Accept", accept)
			if code != 406 || !strings.Contains(body, "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf") {
				t.Errorf("%s, %q: %d %s", path, accept, code, body)
			}
		}
	}
}

func TestAggregatedDiscoveryIsTheSameInEveryEncoding(t *testing.T) {
	url := plain(t, newMemory(t))
	read := func(media string, decode func(data []byte, into *apidiscoveryv2.APIGroupDiscoveryList) error) string {
		code, header, body := send(t, "GET", url+"/apis", "", "Accept", media+aggregatedAs)
		if code != 200 || header.Get("Content-Type") != media+aggregatedAs || header.Get("Etag") == "" {
			t.Fatalf("%s: %d %s", media, code, header.Get("Content-Type"))
		}
		var list apidiscoveryv2.APIGroupDiscoveryList
		if err := decode([]byte(body), &list); err != nil {
			t.Fatalf("%s: %v", media, err)
		}
		list.TypeMeta = metav1.TypeMeta{}
		data, err := json.Marshal(&list)
		if err != nil || len(list.Items) < 10 {
			t.Fatalf("%s: %v, %d groups", media, err, len(list.Items))
		}
		return string(data)
	}
	want := read("application/json", func(data []byte, into *apidiscoveryv2.APIGroupDiscoveryList) error { return json.Unmarshal(data, into) })
	if got := read("application/yaml", func(data []byte, into *apidiscoveryv2.APIGroupDiscoveryList) error { return yaml.Unmarshal(data, into) }); got != want {
		t.Errorf("YAML says %s", got)
	}
	if got := read("application/vnd.kubernetes.protobuf", func(data []byte, into *apidiscoveryv2.APIGroupDiscoveryList) error {
		var u runtime.Unknown
		if err := u.Unmarshal(data[4:]); err != nil {
			return err
		}
		return into.Unmarshal(u.Raw)
	}); got != want {
		t.Errorf("protobuf says %s", got)
	}
	code, header, body := send(t, "GET", url+"/apis/apps", "", "Accept", "application/json"+aggregatedAs+", application/json")
	if code != 200 || header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"kind":"APIGroup"`) {
		t.Errorf("of one group: %d %s", code, body)
	}
}

// TestOpenAPIDocumentsMayBeKeptByTheirHash: the index names each document's hash, a document that is asked for by it may be
// kept for ever, and one that has changed since is found at its new hash.
func TestOpenAPIDocumentsMayBeKeptByTheirHash(t *testing.T) {
	url := plain(t, newMemory(t))
	_, _, body := send(t, "GET", url+"/openapi/v3", "")
	var index struct {
		Paths map[string]struct {
			ServerRelativeURL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(body), &index); err != nil {
		t.Fatal(err)
	}
	apps, core := index.Paths["apis/apps/v1"].ServerRelativeURL, index.Paths["api/v1"].ServerRelativeURL
	if hash := strings.TrimPrefix(apps, "/openapi/v3/apis/apps/v1?hash="); len(hash) != 64 || strings.HasSuffix(core, hash) {
		t.Fatalf("hashes of documents: %s, %s", apps, core)
	}
	for _, accept := range []string{"application/json", "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"} {
		code, header, _ := send(t, "GET", url+apps, "", "Accept", accept)
		if cache := header.Get("Cache-Control"); code != 200 || !strings.HasPrefix(cache, "public, immutable") || header.Get("Vary") != "Accept" || header.Get("Etag") == "" {
			t.Errorf("by its hash, %s: %d %v", accept, code, header)
		}
	}
	code, header, _ := send(t, "GET", url+"/openapi/v3/apis/apps/v1", "")
	if cache := header.Get("Cache-Control"); code != 200 || cache != "no-cache, private" {
		t.Errorf("without a hash: %d %s", code, cache)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(url + "/openapi/v3/apis/apps/v1?hash=old")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMovedPermanently || res.Header.Get("Location") != apps {
		t.Errorf("by an old hash: %d %v", res.StatusCode, res.Header)
	}
}
