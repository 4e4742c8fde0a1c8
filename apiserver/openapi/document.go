package openapi

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/apiserver/mergeschema"
)

// produced are the media types of answers.
var produced = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}

// Info is what a document says of the API as a whole.
type Info struct {
	Title   string
	Version string
}

// Types that every resource is used with.
var (
	deleteOptionsType = reflect.TypeFor[metav1.DeleteOptions]()
	statusType        = reflect.TypeFor[metav1.Status]()
	patchType         = reflect.TypeFor[metav1.Patch]()
	textType          = reflect.TypeFor[string]()
)

// V3 returns the version 3 document of the resources of one group version, as JSON.
func V3(info Info, resources []Resource) ([]byte, error) {
	s, err := newSchemas(true, resources)
	if err != nil {
		return nil, err
	}
	return json.Marshal(object{
		"openapi":    "3.0.0",
		"info":       object{"title": info.Title, "version": info.Version},
		"paths":      s.paths(resources, false),
		"components": object{"schemas": s.named},
	})
}

// V2 returns the version 2 document of all resources, as JSON.
func V2(info Info, resources []Resource) ([]byte, error) {
	s, err := newSchemas(false, resources)
	if err != nil {
		return nil, err
	}
	return json.Marshal(object{
		"swagger":     "2.0",
		"info":        object{"title": info.Title, "version": info.Version},
		"paths":       s.paths(resources, true),
		"definitions": s.named,
	})
}

// V2Proto converts a version 2 document to its protobuf form.
func V2Proto(document []byte) ([]byte, error) {
	doc, err := openapi_v2.ParseDocument(document)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(doc)
}

// V3Proto converts a version 3 document to its protobuf form.
func V3Proto(document []byte) ([]byte, error) {
	doc, err := openapi_v3.ParseDocument(document)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(doc)
}

// newSchemas returns an empty collection that knows which types are kinds.
func newSchemas(v3 bool, resources []Resource) (*schemas, error) {
	merge, err := mergeschema.Load()
	if err != nil {
		return nil, err
	}
	s := &schemas{v3: v3, named: map[string]object{}, kinds: map[string][]schema.GroupVersionKind{}, merge: merge}
	add := func(t reflect.Type, gvk schema.GroupVersionKind) {
		name := modelName(t)
		if !slices.Contains(s.kinds[name], gvk) {
			s.kinds[name] = append(s.kinds[name], gvk)
		}
	}
	add(statusType, schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	add(deleteOptionsType, schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"})
	for _, t := range []reflect.Type{
		reflect.TypeFor[metav1.APIVersions](), reflect.TypeFor[metav1.APIGroupList](), reflect.TypeFor[metav1.APIGroup](), reflect.TypeFor[metav1.APIResourceList](),
	} {
		add(t, schema.GroupVersionKind{Version: "v1", Kind: t.Name()})
	}
	for _, r := range resources {
		add(r.Type, r.GVK)
		if r.List != nil {
			add(r.List, r.GVK.GroupVersion().WithKind(r.GVK.Kind+"List"))
		}
		add(deleteOptionsType, r.GVK.GroupVersion().WithKind("DeleteOptions"))
		for _, sub := range r.Subresources {
			if sub.Type != nil && sub.Type != r.Type {
				add(sub.Type, sub.GVK)
			}
		}
	}
	return s, nil
}

// paths returns what can be done with the resources, by path, and how it is found out; whole is a document of all.
func (s *schemas) paths(resources []Resource, whole bool) object {
	paths := object{}
	for path, op := range discovery(resources, whole) {
		paths[path] = object{op.method: s.operation(path, op)}
	}
	for _, r := range resources {
		for path, ops := range operations(r) {
			item := object{"parameters": s.pathParameters(path)}
			for _, op := range ops {
				item[op.method] = s.operation(path, op)
			}
			paths[path] = item
		}
	}
	return paths
}

// pathParameters returns the parameters that a path has in braces.
func (s *schemas) pathParameters(path string) []any {
	out := []any{}
	for _, name := range []string{"namespace", "name", "path"} {
		if strings.Contains(path, "{"+name+"}") {
			out = append(out, s.typed("string", object{"name": name, "in": "path", "required": true}))
		}
	}
	return out
}

// typed adds the type of its values to a parameter of a path or a query.
func (s *schemas) typed(typ string, parameter object) object {
	if s.v3 {
		parameter["schema"] = object{"type": typ}
	} else {
		parameter["type"] = typ
	}
	return parameter
}

// successes returns the codes of an action's success with what they mean.
func successes(action string) map[string]string {
	out := map[string]string{"200": "OK"}
	switch action {
	case "post":
		out["201"], out["202"] = "Created", "Accepted"
	case "put", "patch":
		out["201"] = "Created"
	case "delete":
		out["202"] = "Accepted"
	}
	return out
}

func (s *schemas) operation(path string, op operation) object {
	out := object{"operationId": op.id, "tags": []string{tagOf(path)}}
	if op.action != "" {
		out["x-kubernetes-action"], out["x-kubernetes-group-version-kind"] = op.action, kindObject(op.gvk)
	}
	media := produced
	if op.answer == textType {
		media = []string{"*/*"}
	}
	var parameters []any
	if op.body != nil && s.v3 {
		out["requestBody"] = object{"content": object{"*/*": object{"schema": s.of(op.body)}}}
	} else if op.body != nil {
		parameters = append(parameters, object{"name": "body", "in": "body", "required": op.body != deleteOptionsType, "schema": s.of(op.body)})
	}
	for _, p := range op.query {
		parameter := s.typed(p.typ, object{"name": p.name, "in": "query", "description": p.text})
		if !s.v3 {
			parameter["uniqueItems"] = true
		}
		parameters = append(parameters, parameter)
	}
	if len(parameters) > 0 {
		out["parameters"] = parameters
	}
	answer := object{"schema": s.of(op.answer)}
	if s.v3 {
		content := object{}
		for _, m := range media {
			content[m] = answer
		}
		answer = object{"content": content}
	}
	responses := object{"401": object{"description": "Unauthorized"}}
	for code, text := range successes(op.action) {
		response := maps.Clone(answer)
		response["description"] = text
		responses[code] = response
	}
	out["responses"] = responses
	if !s.v3 {
		out["consumes"], out["produces"] = []string{"*/*"}, media
	}
	return out
}
