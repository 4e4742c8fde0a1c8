package apiserver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"sampan/kind"
)

// documents serves what describes the server and does not change while it runs: discovery, OpenAPI and
// version. Every document is made when it is first asked for, and kept, unless it says that it changes.
type documents struct {
	kinds   *kind.Registry
	version version.Info

	mu    sync.Mutex // guards made and hashes
	made  map[string]*document
	makes map[string]func() (document, error)

	hashes    map[string]string // of documents, by path
	discovery map[string]bool   // the paths of documents that come in every form that objects come in
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
	d := &documents{
		kinds: kinds, version: v, made: map[string]*document{}, makes: map[string]func() (document, error){}, discovery: map[string]bool{}, hashes: map[string]string{},
	}
	d.makes["/version"] = func() (document, error) { return jsonDocument(d.version) }
	d.makes["/"] = func() (document, error) { return jsonDocument(map[string][]string{"paths": d.paths()}) }
	d.addDiscovery()
	d.addOpenAPI()
	return d
}

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
	case d.discovery[path]:
		var ok bool
		if key, ok = discoveryKey(path, r.Header.Get("Accept")); !ok {
			writeStatus(w, r, errNotAcceptable(mediaJSON, mediaYAML, mediaProto))
			return true
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
	if done, err := d.checkHash(w, r, path); err != nil || done {
		if err != nil {
			writeStatus(w, r, err)
		}
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
	doc.etag = `"` + hashOf(doc.data) + `"`
	if !doc.changes {
		d.made[key] = &doc
	}
	return &doc, nil
}

// hashOf returns a hash of a document, in hexadecimal digits.
func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

func jsonDocument(v any) (document, error) {
	data, err := json.Marshal(v)
	return document{media: mediaJSON, data: data}, err
}
