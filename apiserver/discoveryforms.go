package apiserver

import (
	"encoding/json"
	"fmt"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// addDiscovery adds the documents that say which groups, versions and resources there are, in both forms of discovery.
func (d *documents) addDiscovery() {
	v1 := func(kind string) schema.GroupVersionKind { return schema.GroupVersionKind{Version: "v1", Kind: kind} }
	d.addObject("/api", v1("APIVersions"), func() runtime.Object {
		return &metav1.APIVersions{Versions: []string{"v1"}, ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{}}
	})
	d.addObject("/apis", v1("APIGroupList"), func() runtime.Object { return groups(d.kinds) })
	for _, g := range groups(d.kinds).Groups {
		d.addObject("/apis/"+g.Name, v1("APIGroup"), func() runtime.Object { return g.DeepCopy() })
	}
	for _, gv := range groupVersions(d.kinds) {
		d.addObject(versionPath(gv), v1("APIResourceList"), func() runtime.Object { return resources(d.kinds, gv) })
	}
	for _, path := range []string{"/api", "/apis"} {
		for _, v := range aggregatedVersions {
			gvk := schema.GroupVersionKind{Group: apidiscoveryv2.GroupName, Version: v, Kind: aggregatedKind}
			d.addObject(path+aggregatedSuffix(v), gvk, func() runtime.Object { return aggregated(d.kinds, path == "/api") })
		}
	}
	// There are no custom resources. kubectl asks for them before it says that it does not know a kind.
	d.addObject("/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
		schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinitionList"},
		func() runtime.Object {
			return &metav1.PartialObjectMetadataList{Items: []metav1.PartialObjectMetadata{}}
		})
}

// aggregatedKind is the kind of the one document of the newer form of discovery, and aggregatedVersions its versions,
// which have the same fields.
const aggregatedKind = "APIGroupDiscoveryList"

var aggregatedVersions = []string{"v2", "v2beta1"}

// aggregatedSuffix tells the newer form of a document from the older, which has the same path.
func aggregatedSuffix(version string) string { return "#" + version }

// formSuffix tells the encodings of a document, which have the same path; JSON has none.
func formSuffix(media string) string {
	if media == mediaJSON {
		return ""
	}
	return "#" + media
}

// addObject adds a document that is an object, in every encoding.
func (d *documents) addObject(key string, gvk schema.GroupVersionKind, make func() runtime.Object) {
	d.discovery[key] = true
	for _, media := range []string{mediaJSON, mediaYAML, mediaProto} {
		d.makes[key+formSuffix(media)] = func() (document, error) { return objectDocument(media, gvk, make()) }
	}
}

func objectDocument(media string, gvk schema.GroupVersionKind, obj runtime.Object) (document, error) {
	setGVK(obj, gvk)
	doc := document{media: media}
	if gvk.Kind == aggregatedKind {
		doc.media = fmt.Sprintf("%s;g=%s;v=%s;as=%s", media, gvk.Group, gvk.Version, gvk.Kind)
	}
	if media == mediaProto {
		m, ok := obj.(protoMessage)
		if !ok {
			return document{}, fmt.Errorf("%T has no protobuf form", obj)
		}
		var err error
		doc.data, err = marshalEnvelope(gvk, m)
		return doc, err
	}
	data, err := json.Marshal(obj)
	if err == nil && media == mediaYAML {
		data, err = yaml.JSONToYAML(data)
	}
	doc.data = data
	return doc, err
}

// discoveryKey returns the key of the form of a discovery document that an Accept header asks for first; ok is false if
// it asks for none that there is. Only the roots have the newer form.
func discoveryKey(path, accept string) (key string, ok bool) {
	if accept == "" {
		return path, true
	}
	for _, m := range parseAccept(accept) {
		media := m.encoding()
		if media == "" {
			continue
		}
		if !m.converts() {
			return path + formSuffix(media), true
		}
		if path != "/api" && path != "/apis" || m.params["g"] != apidiscoveryv2.GroupName || m.params["as"] != aggregatedKind {
			continue
		}
		for _, v := range aggregatedVersions {
			if m.params["v"] == v {
				return path + aggregatedSuffix(v) + formSuffix(media), true
			}
		}
	}
	return "", false
}
