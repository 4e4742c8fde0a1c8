package apiserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/registry"
)

// TestEveryKindIsServedInEveryVersion takes the least object of each kind through the verbs, in both encodings and in
// every version, as a client does that knows only what discovery says.
func TestEveryKindIsServedInEveryVersion(t *testing.T) {
	cfg := listen(t, newMemory(t))
	kinds := registry.New()
	for _, shown := range kinds.Served() {
		stored, version := kinds.ByGVR(shown.GroupResource().WithVersion(shown.GVK.Version))
		for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
			t.Run(shown.GVK.GroupVersion().String()+"/"+shown.GVK.Kind+"/"+media[strings.LastIndexByte(media, '.')+1:], func(t *testing.T) {
				c := rest.CopyConfig(cfg)
				c.ContentType, c.AcceptContentTypes = media, media
				gv := shown.GVK.GroupVersion()
				c.GroupVersion, c.APIPath, c.NegotiatedSerializer = &gv, "/apis", scheme.Codecs.WithoutConversion()
				client, err := rest.RESTClientFor(c)
				if err != nil {
					t.Fatal(err)
				}

				obj := leastOf(stored)
				obj.SetName(fmt.Sprintf("least-%d", len(media))) // some deletions wait for controllers that are not here
				if version != nil {
					obj = version.Shown(obj)
				}
				obj.GetObjectKind().SetGroupVersionKind(shown.GVK)
				path := "/apis/" + shown.GVK.Group + "/" + shown.GVK.Version
				if shown.GVK.Group == "" {
					path = "/api/" + shown.GVK.Version
				}
				if shown.Namespaced {
					path += "/namespaces/default"
				}
				path += "/" + shown.GroupResource().Resource
				one := path + "/" + obj.GetName()

				encoded, err := client.Post().AbsPath(path).Body(obj).Do(t.Context()).Get()
				if err != nil {
					t.Fatalf("create: %v", err)
				}
				if created := encoded.(kind.Object); created.GetUID() == "" || created.GetName() != obj.GetName() {
					t.Errorf("created: %+v", created)
				}
				patched, err := client.Patch(types.MergePatchType).AbsPath(one).Body([]byte(`{"metadata":{"labels":{"seen":"yes"}}}`)).Do(t.Context()).Get()
				if err != nil || patched.(kind.Object).GetLabels()["seen"] != "yes" {
					t.Errorf("patch: %+v %v", patched, err)
				}
				if _, err := client.Put().AbsPath(one).Body(patched).Do(t.Context()).Get(); err != nil {
					t.Errorf("update: %v", err)
				}
				applied := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"annotations":{"applied":"yes"}}}`, shown.GVK.GroupVersion().String(), shown.GVK.Kind, obj.GetName())
				if err := client.Patch(types.ApplyYAMLPatchType).AbsPath(one).Param("fieldManager", "test").Body([]byte(applied)).Do(t.Context()).Error(); err != nil {
					t.Errorf("apply: %v", err)
				}
				if shown.Status != nil {
					if _, err := client.Get().AbsPath(one + "/status").Do(t.Context()).Get(); err != nil {
						t.Errorf("get the status: %v", err)
					}
				}
				list, err := client.Get().AbsPath(path).Param("labelSelector", "seen=yes").Do(t.Context()).Get()
				if err != nil || fmt.Sprintf("%T", list) != fmt.Sprintf("%T", shown.NewList()) {
					t.Errorf("list: %T %v", list, err)
				}
				table, err := client.Get().AbsPath(one).SetHeader("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1").Do(t.Context()).Raw()
				var rows unstructured.Unstructured
				if err == nil {
					err = json.Unmarshal(table, &rows.Object)
				}
				if err != nil || rows.GetKind() != "Table" {
					t.Errorf("table: %s %v", table, err)
				}
				if err := client.Delete().AbsPath(one).Param("propagationPolicy", "Background").Param("gracePeriodSeconds", "0").Do(t.Context()).Error(); err != nil {
					t.Errorf("delete: %v", err)
				}
			})
		}
	}
}

// leastOf returns the least object that can be created; it needs a name.
func leastOf(k *kind.Kind) kind.Object {
	obj := kindtest.Minimal(k)
	obj.SetUID("")
	obj.SetResourceVersion("")
	if k.Namespaced {
		obj.SetNamespace("default")
	}
	if e, ok := obj.(*corev1.Event); ok {
		e.InvolvedObject.Namespace = "default"
		e.Type, e.EventTime = corev1.EventTypeNormal, metav1.NowMicro()
		e.ReportingController, e.ReportingInstance, e.Action, e.Reason = "example.com/c", "c-1", "Look", "Looked"
	}
	return obj
}

// TestDeletionsAnswerAsTheDocumentSays: typed clients are made from the OpenAPI document, and decode the answer to a
// deletion as what the document names. The kinds that are answered with themselves are upstream's.
func TestDeletionsAnswerAsTheDocumentSays(t *testing.T) {
	s := newMemory(t)
	cfg, kinds := listen(t, s), registry.New()
	data, err := clientset(t, cfg).Discovery().RESTClient().Get().AbsPath("/openapi/v2").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]struct {
			Delete struct {
				Responses map[string]struct {
					Schema map[string]string
				}
			}
		}
	}
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	var themselves []string
	for _, k := range kinds.All() {
		resource := k.GroupResource().Resource
		path := "/apis/" + k.GVK.GroupVersion().String() + "/"
		if k.GVK.Group == "" {
			path = "/api/v1/"
		}
		template := path + resource + "/{name}"
		if k.Namespaced {
			template = path + "namespaces/{namespace}/" + resource + "/{name}"
		}
		for _, code := range []string{"200", "202"} {
			said := document.Paths[template].Delete.Responses[code].Schema["$ref"]
			said = said[strings.LastIndexByte(said, '.')+1:]
			if want := map[bool]string{true: k.GVK.Kind, false: "Status"}[k.ReturnDeleted]; said != want {
				t.Errorf("the document says that %s of a deletion of %s is a %q", code, resource, said)
			}
		}
		if k.ReturnDeleted {
			themselves = append(themselves, resource)
		}

		obj := leastOf(k)
		obj.SetName("least")
		if k.ID == kind.Namespaces || k.Finalizers != nil && len(k.Finalizers(obj)) > 0 {
			continue // it stays until a controller has seen to it
		}
		if _, err := s.Client(masters()).Create(t.Context(), obj, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		at := strings.NewReplacer("{namespace}", "default", "{name}", "least").Replace(template)
		raw, err := clientset(t, cfg).RESTClient().Delete().AbsPath(at).Param("propagationPolicy", "Background").Param("gracePeriodSeconds", "0").Do(t.Context()).Raw()
		var answer metav1.TypeMeta
		if err == nil {
			err = json.Unmarshal(raw, &answer)
		}
		if err != nil || answer.Kind != map[bool]string{true: k.GVK.Kind, false: "Status"}[k.ReturnDeleted] {
			t.Errorf("the deletion of %s is answered with %+v %v", resource, answer, err)
		}
	}
	slices.Sort(themselves)
	want := []string{
		"csidrivers", "csinodes", "persistentvolumeclaims", "persistentvolumes", "pods", "podtemplates", "resourcequotas",
		"serviceaccounts", "services", "storageclasses", "volumeattachments",
	}
	if !slices.Equal(themselves, want) {
		t.Errorf("deleted objects are answered with themselves for %v, want %v", themselves, want)
	}
}

// TestWhatTheDocumentSaysIsServed: what the OpenAPI document says can be read is there, and the document says of each
// collection what discovery says.
func TestWhatTheDocumentSaysIsServed(t *testing.T) {
	client := clientset(t, listen(t, newMemory(t))).Discovery()
	data, err := client.RESTClient().Get().AbsPath("/openapi/v2").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	read := 0
	for path, methods := range document.Paths {
		if methods["get"] == nil || strings.Contains(path, "{") {
			continue
		}
		read++
		if err := client.RESTClient().Get().AbsPath(path).Do(t.Context()).Error(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if read < len(registry.New().Served()) {
		t.Errorf("the document has %d paths that are read", read)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		base := "/apis/" + list.GroupVersion + "/"
		if list.GroupVersion == "v1" {
			base = "/api/v1/"
		}
		for _, r := range list.APIResources {
			path := base + r.Name
			if r.Namespaced {
				path = base + "namespaces/{namespace}/" + r.Name
			}
			if strings.Contains(r.Name, "/") {
				continue // a part of an object
			}
			for method, verb := range map[string]string{"get": "list", "post": "create", "delete": "deletecollection"} {
				if said := document.Paths[path][method] != nil; said != slices.Contains(r.Verbs, verb) {
					t.Errorf("%s %s is in the document: %t, discovery has %v", method, path, said, r.Verbs)
				}
			}
		}
	}
}
