// Package mergeschema is what server-side apply must know of the API's types: which lists are sets, which are maps
// and by what keys, and which values change only as a whole. It is generated from the schema that client-go carries
// for k8s.io/api, as a compressed gob of 24 kB, because parsing the YAML that client-go has takes 160 ms and this 3.
//
// [Load] decodes it anew on every call and keeps nothing; the caller keeps what it made, once it is needed. An error
// means that the build is broken.
package mergeschema

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the schema
	"encoding/gob"
	"fmt"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

//go:generate go run ./generate/main.go

//go:embed schema.gob.gz
var compressed []byte

// Load returns the types with the names (as OpenAPI has them) and all that they are made of. No names means all.
func Load(names ...string) (*schema.Schema, error) {
	zip, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("read the merge schema: %w", err)
	}
	gob.Register(map[any]any{}) // the default of structs
	var types []schema.TypeDef
	if err := gob.NewDecoder(zip).Decode(&types); err != nil {
		return nil, fmt.Errorf("decode the merge schema: %w", err)
	}
	types = append(types, scaleTypes()...)
	if len(names) > 0 {
		types = reachable(types, names)
	}
	return &schema.Schema{Types: types}, nil
}

// scaleTypes returns the types of autoscaling/v1 Scale. client-go lacks them, because it has no apply for subresources.
func scaleTypes() []schema.TypeDef {
	const scale, meta = "io.k8s.api.autoscaling.v1.Scale", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
	text, number := schema.String, schema.Numeric
	scalar := func(name string, s *schema.Scalar, def any) schema.StructField {
		return schema.StructField{Name: name, Type: schema.TypeRef{Inlined: schema.Atom{Scalar: s}}, Default: def}
	}
	named := func(name, typ string) schema.StructField {
		return schema.StructField{Name: name, Type: schema.TypeRef{NamedType: &typ}, Default: map[any]any{}}
	}
	structure := func(name string, fields ...schema.StructField) schema.TypeDef {
		return schema.TypeDef{Name: name, Atom: schema.Atom{Map: &schema.Map{Fields: fields}}}
	}
	return []schema.TypeDef{
		structure(scale, scalar("apiVersion", &text, nil), scalar("kind", &text, nil),
			named("metadata", meta), named("spec", scale+"Spec"), named("status", scale+"Status")),
		structure(scale+"Spec", scalar("replicas", &number, nil)),
		structure(scale+"Status", scalar("replicas", &number, 0), scalar("selector", &text, nil)),
	}
}

// reachable returns those of the types that the named ones are made of.
func reachable(types []schema.TypeDef, names []string) []schema.TypeDef {
	byName := make(map[string]schema.TypeDef, len(types))
	for _, t := range types {
		byName[t.Name] = t
	}
	var out []schema.TypeDef
	seen := make(map[string]bool)
	var visitAtom func(schema.Atom)
	visit := func(name string) {
		t, ok := byName[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		out = append(out, t)
		visitAtom(t.Atom)
	}
	visitRef := func(r schema.TypeRef) {
		if r.NamedType != nil {
			visit(*r.NamedType)
		}
		visitAtom(r.Inlined)
	}
	visitAtom = func(a schema.Atom) {
		if a.List != nil {
			visitRef(a.List.ElementType)
		}
		if a.Map != nil {
			visitRef(a.Map.ElementType)
			for _, f := range a.Map.Fields {
				visitRef(f.Type)
			}
		}
	}
	for _, name := range names {
		visit(name)
	}
	return out
}
