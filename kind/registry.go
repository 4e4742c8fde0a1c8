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

	served   []*Kind
	byServed map[schema.GroupVersionKind]*Kind
	byGVR    map[schema.GroupVersionResource]served
}

// served is a kind in one of its versions; nil is the stored one.
type served struct {
	kind    *Kind
	version *Version
}

// NewRegistry makes a registry of kinds, in the order given. It panics if two kinds share a name, since
// that is a mistake in the program.
func NewRegistry(kinds ...*Kind) *Registry {
	r := &Registry{
		kinds:  slices.Clone(kinds),
		byID:   make(map[ID]*Kind, len(kinds)),
		byGVK:  make(map[schema.GroupVersionKind]*Kind, len(kinds)),
		byType: make(map[reflect.Type]*Kind, len(kinds)),
		byGVR:  make(map[schema.GroupVersionResource]served, len(kinds)),

		byServed: make(map[schema.GroupVersionKind]*Kind, len(kinds)),
	}
	for _, k := range kinds {
		t := reflect.TypeOf(k.New())
		if r.byID[k.ID] != nil || r.byGVK[k.GVK] != nil || r.byType[t] != nil {
			panic(fmt.Sprintf("kind %s is registered twice", k.ID))
		}
		r.byID[k.ID], r.byGVK[k.GVK], r.byType[t] = k, k, k
		r.serve(k, nil)
		for i := range k.Versions {
			r.serve(k, &k.Versions[i])
		}
	}
	return r
}

func (r *Registry) serve(k *Kind, v *Version) {
	shown := k
	if v != nil {
		shown = k.In(v)
	}
	gvr := shown.GroupResource().WithVersion(shown.GVK.Version)
	if r.byGVR[gvr].kind != nil {
		panic(fmt.Sprintf("%s is served twice", gvr))
	}
	r.byGVR[gvr] = served{k, v}
	r.byServed[shown.GVK] = k
	r.served = append(r.served, shown)
}

// Served returns every kind in every version in which it is served (see [Kind.In]), in the order of registration;
// the version that is stored comes first. The slice is the caller's.
func (r *Registry) Served() []*Kind { return slices.Clone(r.served) }

// ByGVR returns the kind that is served as a resource, and the version (nil: the stored one); or nil.
func (r *Registry) ByGVR(gvr schema.GroupVersionResource) (*Kind, *Version) {
	s := r.byGVR[gvr]
	return s.kind, s.version
}

// All returns the kinds in the order of registration. The slice is the caller's.
func (r *Registry) All() []*Kind { return slices.Clone(r.kinds) }

// ByID returns the kind, or nil.
func (r *Registry) ByID(id ID) *Kind { return r.byID[id] }

// ByGVK returns the kind that is stored as a version, or nil.
func (r *Registry) ByGVK(gvk schema.GroupVersionKind) *Kind { return r.byGVK[gvk] }

// ServedAs returns the kind that has the name in any of the versions in which it is served, or nil: references to
// objects name the version that their writer knew.
func (r *Registry) ServedAs(gvk schema.GroupVersionKind) *Kind { return r.byServed[gvk] }

// Of returns the kind of a Go object, or nil.
func (r *Registry) Of(obj Object) *Kind { return r.byType[reflect.TypeOf(obj)] }
