package openapi

import (
	"encoding/json"
	"reflect"

	openapi_v2 "github.com/google/gnostic-models/openapiv2"
	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/apiserver/mergeschema"
)

// Info is what a document says of the API as a whole.
type Info struct {
	Title   string
	Version string
}

// commonTypes are the types that every resource is used with.
type commonTypes struct{ deleteOptions, status, patch reflect.Type }

func newCommonTypes() commonTypes {
	return commonTypes{
		deleteOptions: reflect.TypeFor[metav1.DeleteOptions](),
		status:        reflect.TypeFor[metav1.Status](),
		patch:         reflect.TypeFor[metav1.Patch](),
	}
}

// V3 returns the version 3 document of the resources of one group version, as JSON.
func V3(info Info, resources []Resource) ([]byte, error) {
	s, err := newSchemas(true, resources)
	if err != nil {
		return nil, err
	}
	paths := object{}
	for _, r := range resources {
		for path, ops := range operations(r, newCommonTypes()) {
			item := object{"parameters": pathParametersV3(path)}
			for _, op := range ops {
				item[op.method] = s.operationV3(op)
			}
			paths[path] = item
		}
	}
	return json.Marshal(object{
		"openapi":    "3.0.0",
		"info":       object{"title": info.Title, "version": info.Version},
		"paths":      paths,
		"components": object{"schemas": s.named},
	})
}

// V2 returns the version 2 document of all resources, as JSON.
func V2(info Info, resources []Resource) ([]byte, error) {
	s, err := newSchemas(false, resources)
	if err != nil {
		return nil, err
	}
	paths := object{}
	for _, r := range resources {
		for path, ops := range operations(r, newCommonTypes()) {
			item := object{"parameters": pathParametersV2(path)}
			for _, op := range ops {
				item[op.method] = s.operationV2(op)
			}
			paths[path] = item
		}
	}
	return json.Marshal(object{
		"swagger":     "2.0",
		"info":        object{"title": info.Title, "version": info.Version},
		"paths":       paths,
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
	common := newCommonTypes()
	add := func(t reflect.Type, gvk schema.GroupVersionKind) {
		name := modelName(t)
		for _, have := range s.kinds[name] {
			if have == gvk {
				return
			}
		}
		s.kinds[name] = append(s.kinds[name], gvk)
	}
	add(common.status, schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	add(common.deleteOptions, schema.GroupVersionKind{Version: "v1", Kind: "DeleteOptions"})
	for _, r := range resources {
		add(r.Type, r.GVK)
		if r.List != nil {
			add(r.List, r.GVK.GroupVersion().WithKind(r.GVK.Kind+"List"))
		}
		add(common.deleteOptions, r.GVK.GroupVersion().WithKind("DeleteOptions"))
		for _, sub := range r.Subresources {
			if sub.Type != nil && sub.Type != r.Type {
				add(sub.Type, sub.GVK)
			}
		}
	}
	return s, nil
}

func (s *schemas) operationV3(op operation) object {
	out := s.operation(op)
	if op.body != nil {
		out["requestBody"] = object{"content": object{"*/*": object{"schema": s.of(op.body)}}}
	}
	answer := object{"description": "OK"}
	if op.answer != nil {
		content := object{"schema": s.of(op.answer)}
		answer["content"] = object{"application/json": content, "application/yaml": content, "application/vnd.kubernetes.protobuf": content}
	}
	out["responses"] = object{"200": answer, "401": object{"description": "Unauthorized"}}
	var parameters []any
	for _, p := range op.query {
		parameters = append(parameters, object{"name": p.name, "in": "query", "description": p.text, "schema": object{"type": p.typ}})
	}
	if len(parameters) > 0 {
		out["parameters"] = parameters
	}
	return out
}

func (s *schemas) operationV2(op operation) object {
	out := s.operation(op)
	var parameters []any
	if op.body != nil {
		parameters = append(parameters, object{"name": "body", "in": "body", "required": true, "schema": s.of(op.body)})
	}
	for _, p := range op.query {
		parameters = append(parameters, object{"name": p.name, "in": "query", "description": p.text, "type": p.typ, "uniqueItems": true})
	}
	if len(parameters) > 0 {
		out["parameters"] = parameters
	}
	answer := object{"description": "OK"}
	if op.answer != nil {
		answer["schema"] = s.of(op.answer)
	}
	out["responses"] = object{"200": answer, "401": object{"description": "Unauthorized"}}
	out["consumes"], out["produces"] = []any{"*/*"}, []any{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	return out
}

func (s *schemas) operation(op operation) object {
	return object{
		"operationId":                     op.id,
		"x-kubernetes-action":             op.action,
		"x-kubernetes-group-version-kind": kindObject(op.gvk),
	}
}

func pathParametersV3(path string) []any {
	out := []any{}
	for _, name := range pathParameters(path) {
		out = append(out, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	return out
}

func pathParametersV2(path string) []any {
	out := []any{}
	for _, name := range pathParameters(path) {
		out = append(out, object{"name": name, "in": "path", "required": true, "type": "string"})
	}
	return out
}
