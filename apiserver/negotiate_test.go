package apiserver_test

import (
	"strings"
	"testing"
)

func TestObjectsComeInTheFormThatIsAsked(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("x"))
	url := plain(t, s) + "/api/v1/namespaces/default/configmaps"
	for name, test := range map[string]struct{ path, accept, want string }{
		"yaml":           {"/x", "application/yaml", "kind: ConfigMap\n"},
		"table":          {"", "application/json;as=Table;v=v1;g=meta.k8s.io", `"kind":"Table","apiVersion":"meta.k8s.io/v1"`},
		"old table":      {"", "application/json;as=Table;v=v1beta1;g=meta.k8s.io", `"apiVersion":"meta.k8s.io/v1beta1"`},
		"row object":     {"?includeObject=Object", "application/json;as=Table;v=v1;g=meta.k8s.io", `"data":{"k":"v"}`},
		"row metadata":   {"", "application/json;as=Table;v=v1;g=meta.k8s.io", `"kind":"PartialObjectMetadata"`},
		"metadata":       {"/x", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", `"kind":"PartialObjectMetadata"`},
		"metadata list":  {"", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", `"kind":"PartialObjectMetadataList"`},
		"second choice":  {"/x", "application/cbor, application/json", `"kind":"ConfigMap"`},
		"proto metadata": {"", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "PartialObjectMetadataList"},
	} {
		code, _, body := send(t, "GET", url+test.path, "", "Accept", test.accept)
		if code != 200 || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

func TestFormsThatAreNotServedAreRefused(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("x"))
	url := plain(t, s) + "/api/v1/namespaces/default/configmaps"
	const all, streams = "application/json, application/yaml, application/vnd.kubernetes.protobuf", "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
	for name, test := range map[string]struct{ path, accept, served string }{
		"html":                  {"/x", "text/html", all},
		"yaml stream":           {"?watch=1", "application/yaml", streams},
		"yaml table stream":     {"?watch=1", "application/yaml;as=Table;g=meta.k8s.io;v=v1", streams},
		"protobuf table":        {"", "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", all},
		"version":               {"/x", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1alpha1", all},
		"group":                 {"/x", "application/json;as=PartialObjectMetadata;g=k8s.io;v=v1", all},
		"kind":                  {"/x", "application/json;as=PartialObject;g=meta.k8s.io;v=v1", all},
		"another kind":          {"/x", "application/json;as=Service;g=;v=v1", all},
		"no kind":               {"/x", "application/json;g=meta.k8s.io;v=v1", all},
		"no kind, stream":       {"?watch=1", "application/json;g=meta.k8s.io;v=v1", streams},
		"list of one":           {"/x", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", all},
		"metadata of many":      {"", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", all},
		"nothing":               {"/x", "application/json;q=0", all},
		"nothing that is known": {"/x", "text/*, application/cbor", all},
	} {
		code, _, body := send(t, "GET", url+test.path, "", "Accept", test.accept)
		oneLine := strings.Join(strings.Fields(body), " ") // YAML folds it
		if code != 406 || !strings.Contains(oneLine, "only the following media types are accepted: "+test.served) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

func TestAnswersAreIndentedForPeople(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("x"))
	url := plain(t, s) + "/api/v1/namespaces/default/configmaps/x"
	for name, test := range map[string]struct {
		path, header, value string
		indented            bool
	}{
		"browser":         {"", "User-Agent", "Mozilla/5.0 (X11)", true},
		"wget":            {"", "User-Agent", "Wget/1.24", true},
		"program":         {"", "User-Agent", "kubectl/v1.37", false},
		"accepted":        {"", "Accept", "application/json;pretty=1", true},
		"accepted, plain": {"", "Accept", "application/json;pretty=0", false},
		"no answer":       {"?pretty=maybe", "User-Agent", "curl/8", false},
	} {
		code, _, body := send(t, "GET", url+test.path, "", test.header, test.value)
		if code != 200 || strings.HasPrefix(body, "{\n  ") != test.indented {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}
