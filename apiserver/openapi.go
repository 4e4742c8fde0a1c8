package apiserver

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/apiserver/openapi"
	"sampan/kind"
)

// openAPIProto is how the Accept header of clients begins that want a document in protobuf, before its version.
const openAPIProto = "application/com.github.proto-openapi.spec."

// protoSuffix tells the protobuf form of a document from JSON, which has the same path.
const protoSuffix = "#proto"

// openAPIKey returns the key of the form of an OpenAPI document that is accepted; ok is false if none is.
func openAPIKey(path, accept string) (key string, ok bool) {
	// Its "@v1.0" is no media type to a parser, so it is looked for.
	if strings.Contains(accept, openAPIProto) {
		return path + protoSuffix, true
	}
	a, err := negotiate(accept, false)
	return path, err == nil && a.media == mediaJSON
}

// protoDocument makes the protobuf form of a document.
func protoDocument(version string, convert func([]byte) ([]byte, error), make func() (document, error)) (document, error) {
	doc, err := make()
	if err != nil {
		return document{}, err
	}
	data, err := convert(doc.data)
	// Not the "@v1.0" of the Accept header: clients parse the answer's type as RFC 2045 has it.
	return document{media: openAPIProto + version + ".v1.0+protobuf", data: data}, err
}

// addOpenAPI adds the documents of both versions of OpenAPI.
func (d *documents) addOpenAPI() {
	info := openapi.Info{Title: "Kubernetes", Version: d.version.GitVersion}
	v2 := func() (document, error) {
		data, err := openapi.V2(info, described(d.kinds, nil))
		return document{media: mediaJSON, data: data}, err
	}
	d.makes["/openapi/v2"] = v2
	d.makes["/openapi/v2"+protoSuffix] = func() (document, error) { return protoDocument("v2", openapi.V2Proto, v2) }
	for _, gv := range groupVersions(d.kinds) {
		path := openAPIPath(gv)
		v3 := func() (document, error) {
			data, err := openapi.V3(info, described(d.kinds, &gv))
			return document{media: mediaJSON, data: data}, err
		}
		d.makes[path] = v3
		d.makes[path+protoSuffix] = func() (document, error) { return protoDocument("v3", openapi.V3Proto, v3) }
	}
	d.makes["/openapi/v3"] = func() (document, error) {
		index := map[string]map[string]string{}
		for _, gv := range groupVersions(d.kinds) {
			hash, err := d.hash(openAPIPath(gv))
			if err != nil {
				return document{}, err
			}
			index[strings.TrimPrefix(versionPath(gv), "/")] = map[string]string{"serverRelativeURL": openAPIPath(gv) + "?hash=" + hash}
		}
		return jsonDocument(map[string]any{"paths": index})
	}
}

// openAPIPath returns the path of the document of a group version in version 3.
func openAPIPath(gv schema.GroupVersion) string { return "/openapi/v3" + versionPath(gv) }

// hash returns the hash of what the document at a path says, whichever form it is sent in. d.mu is held.
func (d *documents) hash(path string) (string, error) {
	if hash, ok := d.hashes[path]; ok {
		return hash, nil
	}
	doc, err := d.makes[path]() // not kept: most clients want few of them
	if err != nil {
		return "", err
	}
	d.hashes[path] = hashOf(doc.data)
	return d.hashes[path], nil
}

// checkHash answers a request that names the hash of the document that it wants: what has that hash may be kept for ever,
// and where the hash is another by now, the client is sent to the document of now. It returns true if that is the answer.
func (d *documents) checkHash(w http.ResponseWriter, r *http.Request, path string) (done bool, err error) {
	asked := r.URL.Query().Get("hash")
	if asked == "" || !strings.HasPrefix(path, "/openapi/v3/") {
		return false, nil
	}
	d.mu.Lock()
	hash, err := d.hash(path)
	d.mu.Unlock()
	switch {
	case err != nil:
		return false, err
	case asked != hash:
		http.Redirect(w, r, path+"?hash="+hash, http.StatusMovedPermanently)
		return true, nil
	}
	w.Header().Set("Cache-Control", "public, immutable, max-age=31536000")
	return false, nil
}

// described returns the resources of a group version, or of all (nil), as package openapi wants them.
func described(kinds *kind.Registry, gv *schema.GroupVersion) []openapi.Resource {
	var out []openapi.Resource
	for _, k := range kinds.Served() {
		if gv != nil && k.GVK.GroupVersion() != *gv {
			continue
		}
		r := openapi.Resource{
			GVK: k.GVK, Name: k.GroupResource().Resource, Namespaced: k.Namespaced,
			Type: reflect.TypeOf(k.New()).Elem(), List: reflect.TypeOf(k.NewList()).Elem(),
			ReturnDeleted: k.ReturnDeleted, NoDeleteCollection: !deletesCollections(k),
		}
		for _, sub := range subresourcesOf(k) {
			r.Subresources = append(r.Subresources, openapi.Subresource{
				Name: sub.name, GVK: sub.gvk, Type: sentType(r.Type, sub), Verbs: sub.verbs, Options: streamOptions[string(k.ID)+"/"+sub.name],
				WithPath: sub.name == proxySubresource,
			})
		}
		out = append(out, r)
	}
	for _, u := range unstoredKinds(kinds) {
		if gv == nil || u.gvk.GroupVersion() == *gv {
			out = append(out, openapi.Resource{
				GVK: u.gvk, Name: u.resource, Namespaced: u.namespaced, Type: reflect.TypeOf(u.new()).Elem(),
			})
		}
	}
	return out
}

// streamOptions are the types of what the queries of streams say.
var streamOptions = map[string]reflect.Type{
	"nodes/proxy":      reflect.TypeFor[corev1.NodeProxyOptions](),
	"pods/attach":      reflect.TypeFor[corev1.PodAttachOptions](),
	"pods/exec":        reflect.TypeFor[corev1.PodExecOptions](),
	"pods/log":         reflect.TypeFor[corev1.PodLogOptions](),
	"pods/portforward": reflect.TypeFor[corev1.PodPortForwardOptions](),
	"pods/proxy":       reflect.TypeFor[corev1.PodProxyOptions](),
	"services/proxy":   reflect.TypeFor[corev1.ServiceProxyOptions](),
}

// sentType returns the Go type that a subresource is used with; nil for streams.
func sentType(parent reflect.Type, sub subresource) reflect.Type {
	switch sub.name {
	case "status", "finalize":
		return parent
	case "scale":
		return reflect.TypeFor[autoscalingv1.Scale]()
	case "token":
		return reflect.TypeFor[authenticationv1.TokenRequest]()
	case "binding":
		return reflect.TypeFor[corev1.Binding]()
	case "eviction":
		return reflect.TypeFor[policyv1.Eviction]()
	case proxySubresource:
		return nil
	}
	if slices.Contains(sub.verbs, "update") {
		return parent // a part of the object
	}
	return nil
}
