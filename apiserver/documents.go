package apiserver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"sampan/kind"
)

// documents serves what describes the server and does not change while it runs: discovery, OpenAPI and
// version. Every document is made when it is first asked for, and kept, unless it says that it changes.
type documents struct {
	kinds   *kind.Registry
	version version.Info

	mu    sync.Mutex // guards made
	made  map[string]*document
	makes map[string]func() (document, error)
}

// document is the bytes of an answer.
type document struct {
	media string
	data  []byte
	etag  string
	// changes is a document that is made each time that it is asked for.
	changes bool
}

// withDefaultVersion fills in what a version does not say.
func withDefaultVersion(v version.Info) version.Info {
	if v.GitVersion == "" {
		v.Major, v.Minor, v.GitVersion = "1", "37", "v1.37.0+sampan"
	}
	if v.GoVersion == "" {
		v.GoVersion, v.Compiler, v.Platform = runtime.Version(), runtime.Compiler, runtime.GOOS+"/"+runtime.GOARCH
	}
	return v
}

func newDocuments(kinds *kind.Registry, v version.Info) *documents {
	d := &documents{kinds: kinds, version: v, made: map[string]*document{}, makes: map[string]func() (document, error){}}
	d.makes["/version"] = func() (document, error) { return jsonDocument(d.version) }
	d.makes["/"] = func() (document, error) { return jsonDocument(map[string][]string{"paths": d.paths()}) }
	d.makes["/api"] = func() (document, error) {
		return objectDocument(schema.GroupVersionKind{Version: "v1", Kind: "APIVersions"}, &metav1.APIVersions{
			Versions: []string{"v1"}, ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
		})
	}
	d.makes["/apis"] = func() (document, error) {
		return objectDocument(schema.GroupVersionKind{Version: "v1", Kind: "APIGroupList"}, groups(kinds))
	}
	for _, g := range groups(kinds).Groups {
		d.makes["/apis/"+g.Name] = func() (document, error) {
			return objectDocument(schema.GroupVersionKind{Version: "v1", Kind: "APIGroup"}, g.DeepCopy())
		}
	}
	for _, gv := range groupVersions(kinds) {
		d.makes[versionPath(gv)] = func() (document, error) {
			return objectDocument(schema.GroupVersionKind{Version: "v1", Kind: "APIResourceList"}, resources(kinds, gv))
		}
	}
	for _, v := range []string{"v2", "v2beta1"} {
		for _, path := range []string{"/api", "/apis"} {
			d.makes[path+aggregatedSuffix(v)] = func() (document, error) {
				doc, err := objectDocument(schema.GroupVersionKind{Group: apidiscoveryv2.GroupName, Version: v, Kind: "APIGroupDiscoveryList"},
					aggregated(kinds, path == "/api"))
				doc.media = "application/json;g=apidiscovery.k8s.io;v=" + v + ";as=APIGroupDiscoveryList"
				return doc, err
			}
		}
	}
	// There are no custom resources. kubectl asks for them before it says that it does not know a kind.
	d.makes["/apis/apiextensions.k8s.io/v1/customresourcedefinitions"] = func() (document, error) {
		return objectDocument(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinitionList"},
			&metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{}})
	}
	d.addOpenAPI()
	return d
}

// aggregatedSuffix tells the aggregated form of a document from the old one, which has the same path.
func aggregatedSuffix(version string) string { return "#" + version }

// versionPath returns the path of a group version, without a slash at the end.
func versionPath(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.Group + "/" + gv.Version
}

func (d *documents) paths() []string {
	out := []string{"/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
	for _, gv := range groupVersions(d.kinds) {
		out = append(out, versionPath(gv))
	}
	return out
}

// serve answers a request for a document; it returns false if there is none at the path.
func (d *documents) serve(w http.ResponseWriter, r *http.Request) bool {
	path := r.URL.Path
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	key := path
	switch {
	case path == "/api", path == "/apis":
		if v := aggregatedVersion(r.Header.Get("Accept")); v != "" {
			key += aggregatedSuffix(v)
		}
	case path == "/openapi/v2", strings.HasPrefix(path, "/openapi/v3/"):
		var ok bool
		if key, ok = openAPIKey(path, r.Header.Get("Accept")); !ok && d.makes[path] != nil {
			writeStatus(w, r, errNotAcceptable(mediaJSON, openAPIProto+path[len("/openapi/"):][:len("v2")]+"@v1.0+protobuf"))
			return true
		}
	}
	doc, err := d.get(key)
	if err != nil {
		writeStatus(w, r, err)
		return true
	}
	if doc == nil {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
		return true
	}
	h := w.Header()
	h.Set("Etag", doc.etag)
	h.Add("Vary", "Accept")
	if r.Header.Get("If-None-Match") == doc.etag {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	data := doc.data
	if strings.HasPrefix(doc.media, mediaJSON) && wantsPretty(r) {
		data = indented(data)
	}
	writeBytes(w, r, http.StatusOK, doc.media, data)
	return true
}

// get returns a document, or nil if there is none under the key.
func (d *documents) get(key string) (*document, error) {
	make := d.makes[key]
	if make == nil {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if doc := d.made[key]; doc != nil {
		return doc, nil
	}
	doc, err := make()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(doc.data)
	doc.etag = `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
	if !doc.changes {
		d.made[key] = &doc
	}
	return &doc, nil
}

// aggregatedVersion returns the version of aggregated discovery that is asked for first, or "".
func aggregatedVersion(accept string) string {
	for _, m := range parseAccept(accept) {
		switch {
		case m.media != mediaJSON:
		case m.params["as"] == "":
			return "" // the old form is preferred
		case m.params["g"] == apidiscoveryv2.GroupName && m.params["as"] == "APIGroupDiscoveryList" &&
			(m.params["v"] == "v2" || m.params["v"] == "v2beta1"):
			return m.params["v"]
		}
	}
	return ""
}

func jsonDocument(v any) (document, error) {
	data, err := json.Marshal(v)
	return document{media: mediaJSON, data: data}, err
}

func objectDocument(gvk schema.GroupVersionKind, obj apiruntime.Object) (document, error) {
	setGVK(obj, gvk)
	return jsonDocument(obj)
}
