// Package openapi describes the served API in the OpenAPI formats that clients read: version 2 in one document and
// version 3 in one per API group version. kubectl takes from them the texts of explain, how lists are merged in a
// strategic merge patch, and that the server validates fields itself.
//
// The documents are made from the Go types of k8s.io/api by reflection: names from their OpenAPIModelName methods,
// texts from their SwaggerDoc methods, merge keys from their struct tags, and from package mergeschema how apply
// merges. The package is pure; the caller keeps what it makes. It knows nothing of the server beyond the values that
// it is given.
package openapi

import (
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	merge "sigs.k8s.io/structured-merge-diff/v6/schema"
)

// object is a JSON object. encoding/json writes its members in the order of their names.
type object = map[string]any

// schemas collects the schemas of Go types, and of all types that they are made of.
type schemas struct {
	v3    bool
	named map[string]object // by model name
	kinds map[string][]schema.GroupVersionKind
	merge *merge.Schema // how server-side apply merges
}

// refPrefix is where documents keep their schemas.
func (s *schemas) refPrefix() string {
	if s.v3 {
		return "#/components/schemas/"
	}
	return "#/definitions/"
}

// modelName returns the OpenAPI name of a type that has one.
func modelName(t reflect.Type) string {
	if m, ok := reflect.Zero(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return m.OpenAPIModelName()
	}
	return ""
}

// docs returns the texts of a struct: by JSON name, and under "" that of the type.
func docs(t reflect.Type) map[string]string {
	if d, ok := reflect.Zero(t).Interface().(interface{ SwaggerDoc() map[string]string }); ok {
		return d.SwaggerDoc()
	}
	return nil
}

// of returns the schema of a type: a reference for types that have a name.
func (s *schemas) of(t reflect.Type) object {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if name := modelName(t); name != "" {
		if s.named[name] == nil {
			s.named[name] = object{} // ends the recursion of types that contain themselves
			s.named[name] = s.definition(t, name)
		}
		return object{"$ref": s.refPrefix() + name}
	}
	return s.inline(t)
}

// definition returns the schema of a named type.
func (s *schemas) definition(t reflect.Type, name string) object {
	out := s.inline(t)
	s.addMergeRules(out, name)
	if text := docs(t)[""]; text != "" {
		out["description"] = text
	}
	if kinds := s.kinds[name]; len(kinds) > 0 {
		var list []any
		for _, gvk := range kinds {
			list = append(list, kindObject(gvk))
		}
		out["x-kubernetes-group-version-kind"] = list
	}
	return out
}

// addMergeRules adds to the schema of a named type how server-side apply merges its values, for clients that do the
// same.
func (s *schemas) addMergeRules(out object, name string) {
	rules, ok := s.merge.FindNamedType(name)
	if !ok || rules.Map == nil {
		return
	}
	if rules.Map.ElementRelationship == merge.Atomic {
		out["x-kubernetes-map-type"] = "atomic"
	}
	properties, _ := out["properties"].(object)
	for _, f := range rules.Map.Fields {
		property, ok := properties[f.Name].(object)
		if !ok {
			continue
		}
		if list := f.Type.Inlined.List; list != nil {
			switch {
			case list.ElementRelationship == merge.Atomic:
				property["x-kubernetes-list-type"] = "atomic"
			case len(list.Keys) > 0:
				property["x-kubernetes-list-type"], property["x-kubernetes-list-map-keys"] = "map", list.Keys
			default:
				property["x-kubernetes-list-type"] = "set"
			}
		}
		if m := f.Type.Inlined.Map; m != nil && m.ElementRelationship == merge.Atomic ||
			f.Type.ElementRelationship != nil && *f.Type.ElementRelationship == merge.Atomic {
			property["x-kubernetes-map-type"] = "atomic"
		}
	}
}

// inline returns the schema of a type itself.
func (s *schemas) inline(t reflect.Type) object {
	zero := reflect.Zero(t).Interface()
	if typed, ok := zero.(interface{ OpenAPISchemaType() []string }); ok {
		if many, ok := zero.(interface{ OpenAPIV3OneOfTypes() []string }); ok && s.v3 {
			var oneOf []any
			for _, name := range many.OpenAPIV3OneOfTypes() {
				oneOf = append(oneOf, object{"type": name})
			}
			return object{"oneOf": oneOf}
		}
		out := object{}
		if types := typed.OpenAPISchemaType(); len(types) > 0 {
			out["type"] = types[0]
		}
		if f, ok := zero.(interface{ OpenAPISchemaFormat() string }); ok && f.OpenAPISchemaFormat() != "" {
			out["format"] = f.OpenAPISchemaFormat()
		}
		return out
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.structure(t)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "format": "byte"}
		}
		return object{"type": "array", "items": s.element(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.element(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int64, reflect.Uint64, reflect.Int, reflect.Uint:
		return object{"type": "integer", "format": "int64"}
	case reflect.Int32, reflect.Uint32, reflect.Int16, reflect.Uint16, reflect.Int8, reflect.Uint8:
		return object{"type": "integer", "format": "int32"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number", "format": "double"}
	}
	return object{} // an interface: anything
}

// element returns the schema of what a list or map holds. Version 3 gives the default of structs, as upstream does.
func (s *schemas) element(t reflect.Type) object {
	out := s.of(t)
	if _, isRef := out["$ref"]; isRef && s.v3 {
		return object{"allOf": []any{out}}
	}
	return out
}

func (s *schemas) structure(t reflect.Type) object {
	out := object{"type": "object"}
	properties, required := object{}, []any{}
	s.fields(t, properties, &required)
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// fields adds the fields of a struct, with those of the structs embedded in it.
func (s *schemas) fields(t reflect.Type, properties object, required *[]any) {
	texts := docs(t)
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
			continue
		case name == "" && f.Anonymous:
			s.fields(f.Type, properties, required)
			continue
		case name == "":
			name = f.Name
		}
		properties[name] = s.property(f, texts[name])
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") && !isOptional(t.PkgPath(), t.Name(), name) {
			*required = append(*required, name)
		}
	}
}

func (s *schemas) property(f reflect.StructField, text string) object {
	out := s.of(f.Type)
	if _, isRef := out["$ref"]; isRef && s.v3 {
		out = object{"allOf": []any{out}} // version 3 ignores what stands beside a reference
	}
	if text != "" {
		out["description"] = text
	}
	if strategy := f.Tag.Get("patchStrategy"); strategy != "" {
		out["x-kubernetes-patch-strategy"] = strategy
	}
	if key := f.Tag.Get("patchMergeKey"); key != "" {
		out["x-kubernetes-patch-merge-key"] = key
	}
	return out
}

func kindObject(gvk schema.GroupVersionKind) object {
	return object{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}
}
