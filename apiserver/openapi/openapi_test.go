package openapi_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"sampan/apiserver/openapi"
)

func resources() []openapi.Resource {
	return []openapi.Resource{{
		GVK: appsv1.SchemeGroupVersion.WithKind("Deployment"), Name: "deployments", Namespaced: true,
		Type: reflect.TypeFor[appsv1.Deployment](), List: reflect.TypeFor[appsv1.DeploymentList](),
	}, {
		GVK: corev1.SchemeGroupVersion.WithKind("Node"), Name: "nodes",
		Type: reflect.TypeFor[corev1.Node](), List: reflect.TypeFor[corev1.NodeList](),
	}}
}

// at walks a document.
func at(t *testing.T, doc any, path ...string) any {
	t.Helper()
	for _, p := range path {
		m, ok := doc.(map[string]any)
		if !ok || m[p] == nil {
			t.Fatalf("no %s in the document", strings.Join(path, " / "))
		}
		doc = m[p]
	}
	return doc
}

// refs returns every reference of a document.
func refs(doc any, out map[string]bool) {
	switch v := doc.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && k == "$ref" {
				out[s] = true
			}
			refs(e, out)
		}
	case []any:
		for _, e := range v {
			refs(e, out)
		}
	}
}

func TestDocumentsSayWhatKubectlReads(t *testing.T) {
	for name, test := range map[string]struct {
		make    func(openapi.Info, []openapi.Resource) ([]byte, error)
		schemas []string
		prefix  string
	}{
		"v2": {openapi.V2, []string{"definitions"}, "#/definitions/"},
		"v3": {openapi.V3, []string{"components", "schemas"}, "#/components/schemas/"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := test.make(openapi.Info{Title: "t", Version: "v"}, resources())
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := json.Unmarshal(data, &doc); err != nil {
				t.Fatal(err)
			}
			schemas := at(t, doc, test.schemas...).(map[string]any)
			all := map[string]bool{}
			refs(doc, all)
			for ref := range all {
				if schemas[strings.TrimPrefix(ref, test.prefix)] == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			containers := at(t, schemas, "io.k8s.api.core.v1.PodSpec", "properties", "containers")
			if at(t, containers, "x-kubernetes-patch-merge-key") != "name" || at(t, containers, "x-kubernetes-patch-strategy") != "merge" {
				t.Errorf("containers are not merged by name: %v", containers)
			}
			if at(t, containers, "description") == "" {
				t.Errorf("containers have no description")
			}
			kinds := at(t, schemas, "io.k8s.api.apps.v1.Deployment", "x-kubernetes-group-version-kind")
			if len(kinds.([]any)) != 1 {
				t.Errorf("kinds of Deployment: %v", kinds)
			}
			patch := at(t, doc, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch")
			parameters, _ := json.Marshal(at(t, patch, "parameters"))
			for _, p := range []string{`"fieldValidation"`, `"dryRun"`} {
				if !strings.Contains(string(parameters), p) {
					t.Errorf("patch does not take %s", p)
				}
			}
			at(t, doc, "paths", "/api/v1/nodes/{name}", "get")
		})
	}
}

func TestVersion2HasAProtobufForm(t *testing.T) {
	data, err := openapi.V2(openapi.Info{Title: "t", Version: "v"}, resources())
	if err != nil {
		t.Fatal(err)
	}
	if out, err := openapi.V2Proto(data); err != nil || len(out) < 1000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestListsSayHowApplyMergesThem(t *testing.T) {
	data, err := openapi.V3(openapi.Info{}, resources())
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	property := func(typ, name string) map[string]any {
		return at(t, doc, "components", "schemas", typ, "properties", name).(map[string]any)
	}
	if p := property("io.k8s.api.core.v1.Container", "ports"); p["x-kubernetes-list-type"] != "map" ||
		!reflect.DeepEqual(p["x-kubernetes-list-map-keys"], []any{"containerPort", "protocol"}) {
		t.Errorf("ports of a container: %v", p)
	}
	if p := property("io.k8s.api.core.v1.Container", "command"); p["x-kubernetes-list-type"] != "atomic" {
		t.Errorf("command of a container: %v", p)
	}
	if p := property("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers"); p["x-kubernetes-list-type"] != "set" {
		t.Errorf("finalizers: %v", p)
	}
	if s := at(t, doc, "components", "schemas", "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector").(map[string]any); s["x-kubernetes-map-type"] != "atomic" {
		t.Errorf("a label selector is %v", s["x-kubernetes-map-type"])
	}
}

// TestOperationsHaveUpstreamsNames: clients are made from the document, and so their methods from the ids of operations
// and their classes from the tags.
func TestOperationsHaveUpstreamsNames(t *testing.T) {
	pods := openapi.Resource{
		GVK: corev1.SchemeGroupVersion.WithKind("Pod"), Name: "pods", Namespaced: true, ReturnDeleted: true,
		Type: reflect.TypeFor[corev1.Pod](), List: reflect.TypeFor[corev1.PodList](),
		Subresources: []openapi.Subresource{
			{Name: "exec", GVK: corev1.SchemeGroupVersion.WithKind("PodExecOptions"), Verbs: []string{"create", "get"}, Options: reflect.TypeFor[corev1.PodExecOptions]()},
			{Name: "eviction", GVK: policyv1.SchemeGroupVersion.WithKind("Eviction"), Type: reflect.TypeFor[policyv1.Eviction](), Verbs: []string{"create"}},
			{Name: "log", GVK: corev1.SchemeGroupVersion.WithKind("Pod"), Verbs: []string{"get"}, Options: reflect.TypeFor[corev1.PodLogOptions]()},
			{Name: "proxy", GVK: corev1.SchemeGroupVersion.WithKind("PodProxyOptions"), WithPath: true, Options: reflect.TypeFor[corev1.PodProxyOptions]()},
			{Name: "status", GVK: corev1.SchemeGroupVersion.WithKind("Pod"), Type: reflect.TypeFor[corev1.Pod](), Verbs: []string{"get", "patch", "update"}},
		},
	}
	roles := openapi.Resource{
		GVK: rbacv1.SchemeGroupVersion.WithKind("ClusterRole"), Name: "clusterroles",
		Type: reflect.TypeFor[rbacv1.ClusterRole](), List: reflect.TypeFor[rbacv1.ClusterRoleList](),
	}
	data, err := openapi.V2(openapi.Info{}, []openapi.Resource{pods, roles})
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	const pod, role = "/api/v1/namespaces/{namespace}/pods", "/apis/rbac.authorization.k8s.io/v1/clusterroles"
	for _, test := range []struct{ path, method, id, tag, answer string }{
		{"/api/v1/pods", "get", "listCoreV1PodForAllNamespaces", "core_v1", "io.k8s.api.core.v1.PodList"},
		{pod, "get", "listCoreV1NamespacedPod", "core_v1", "io.k8s.api.core.v1.PodList"},
		{pod, "delete", "deleteCoreV1CollectionNamespacedPod", "core_v1", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"},
		{pod + "/{name}", "get", "readCoreV1NamespacedPod", "core_v1", "io.k8s.api.core.v1.Pod"},
		{pod + "/{name}", "delete", "deleteCoreV1NamespacedPod", "core_v1", "io.k8s.api.core.v1.Pod"},
		{pod + "/{name}/exec", "get", "connectCoreV1GetNamespacedPodExec", "core_v1", ""},
		{pod + "/{name}/exec", "post", "connectCoreV1PostNamespacedPodExec", "core_v1", ""},
		{pod + "/{name}/eviction", "post", "createCoreV1NamespacedPodEviction", "core_v1", "io.k8s.api.policy.v1.Eviction"},
		{pod + "/{name}/log", "get", "readCoreV1NamespacedPodLog", "core_v1", ""},
		{pod + "/{name}/proxy", "get", "connectCoreV1GetNamespacedPodProxy", "core_v1", ""},
		{pod + "/{name}/proxy", "options", "connectCoreV1OptionsNamespacedPodProxy", "core_v1", ""},
		{pod + "/{name}/proxy/{path}", "put", "connectCoreV1PutNamespacedPodProxyWithPath", "core_v1", ""},
		{pod + "/{name}/status", "get", "readCoreV1NamespacedPodStatus", "core_v1", "io.k8s.api.core.v1.Pod"},
		{pod + "/{name}/status", "put", "replaceCoreV1NamespacedPodStatus", "core_v1", "io.k8s.api.core.v1.Pod"},
		{role, "post", "createRbacAuthorizationV1ClusterRole", "rbacAuthorization_v1", "io.k8s.api.rbac.v1.ClusterRole"},
		{role + "/{name}", "delete", "deleteRbacAuthorizationV1ClusterRole", "rbacAuthorization_v1", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"},
		{"/api/", "get", "getCoreAPIVersions", "core", "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions"},
		{"/api/v1/", "get", "getCoreV1APIResources", "core_v1", "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList"},
		{"/apis/", "get", "getAPIVersions", "apis", "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList"},
		{"/apis/rbac.authorization.k8s.io/", "get", "getRbacAuthorizationAPIGroup", "rbacAuthorization", "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup"},
		{"/apis/rbac.authorization.k8s.io/v1/", "get", "getRbacAuthorizationV1APIResources", "rbacAuthorization_v1", "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList"},
		{"/version/", "get", "getCodeVersion", "version", "io.k8s.apimachinery.pkg.version.Info"},
	} {
		op := at(t, doc, "paths", test.path, test.method)
		if id, tags := at(t, op, "operationId"), at(t, op, "tags"); id != test.id || !reflect.DeepEqual(tags, []any{test.tag}) {
			t.Errorf("%s %s is %v of %v, want %s of %s", test.method, test.path, id, tags, test.id, test.tag)
		}
		want := map[string]any{"$ref": "#/definitions/" + test.answer}
		if test.answer == "" {
			want = map[string]any{"type": "string"}
		}
		if got := at(t, op, "responses", "200", "schema"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is answered with %v, want %v", test.id, got, want)
		}
	}
	types := map[string]string{}
	for _, p := range at(t, doc, "paths", pod+"/{name}/exec", "get", "parameters").([]any) {
		types[p.(map[string]any)["name"].(string)] = p.(map[string]any)["type"].(string)
	}
	want := map[string]string{"command": "string", "container": "string", "stderr": "boolean", "stdin": "boolean", "stdout": "boolean", "tty": "boolean"}
	if !maps.Equal(types, want) {
		t.Errorf("exec takes %v, want %v", types, want)
	}
}
