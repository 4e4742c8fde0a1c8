package kind

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Registry is a fixed set of kinds, looked up by any of their names. It is immutable and safe for
// concurrent use.
type Registry struct {
	kinds  []*Kind
	byID   map[ID]*Kind
	byGVK  map[schema.GroupVersionKind]*Kind
	byType map[reflect.Type]*Kind
}

// NewRegistry makes a registry of kinds, in the order given. It panics if two kinds share a name, since
// that is a mistake in the program.
func NewRegistry(kinds ...*Kind) *Registry {
	r := &Registry{
		kinds:  slices.Clone(kinds),
		byID:   make(map[ID]*Kind, len(kinds)),
		byGVK:  make(map[schema.GroupVersionKind]*Kind, len(kinds)),
		byType: make(map[reflect.Type]*Kind, len(kinds)),
	}
	for _, k := range kinds {
		t := reflect.TypeOf(k.New())
		if r.byID[k.ID] != nil || r.byGVK[k.GVK] != nil || r.byType[t] != nil {
			panic(fmt.Sprintf("kind %s is registered twice", k.ID))
		}
		r.byID[k.ID], r.byGVK[k.GVK], r.byType[t] = k, k, k
	}
	return r
}

// All returns the kinds in the order of registration. The slice is the caller's.
func (r *Registry) All() []*Kind { return slices.Clone(r.kinds) }

// ByID returns the kind, or nil.
func (r *Registry) ByID(id ID) *Kind { return r.byID[id] }

// ByGVK returns the kind, or nil.
func (r *Registry) ByGVK(gvk schema.GroupVersionKind) *Kind { return r.byGVK[gvk] }

// Of returns the kind of a Go object, or nil.
func (r *Registry) Of(obj Object) *Kind { return r.byType[reflect.TypeOf(obj)] }
