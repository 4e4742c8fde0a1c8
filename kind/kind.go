// Package kind says what a kind of API object is: its names, its defaults, its validation, how it is
// printed and which subresources it has. A [Kind] is a value of pure functions; the API server asks
// it, and nothing else needs to know one kind from another.
//
// Each API group has a child package (kind/core, kind/apps, …) with a small file per kind that exports
// a function returning the Kind; kind/registry is the one list of them. Adding a kind is one new file
// and one line in that list.
//
// Everything below this package is pure: no clock, no I/O, no package-level state. Objects handed to a
// function that is not documented to change them are read-only, because they are shared by pointer with
// the store's cache.
package kind

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Object is an API object: a pointer to a struct of k8s.io/api (external version).
// An Object that came out of a view, a cache or an API call is immutable; DeepCopyObject before changing it.
type Object interface {
	runtime.Object
	metav1.Object
}

// Kind is one kind of object, as the API server needs to know it.
type Kind struct {
	ID  ID                      // "pods", "deployments.apps"
	GVK schema.GroupVersionKind // the version that is stored, and served first
	// Singular is the lower-case singular resource name; kubectl prints and accepts it.
	Singular   string
	ShortNames []string
	Categories []string
	Namespaced bool

	New     func() Object
	NewList func() runtime.Object

	// Default fills what the writer left out, in place, on a private copy. It must be idempotent.
	Default func(obj Object)

	// PrepareCreate drops what a writer may not set on creation (status, usually) and sets the first
	// generation, in place on a private copy.
	PrepareCreate func(obj Object)
	// PrepareUpdate makes obj a legal successor of old before validation, in place: keeps status, raises
	// the generation when the spec changed. old is read-only.
	PrepareUpdate func(obj, old Object)

	// ValidateName checks metadata.name; prefix means that it is a generateName. Nil means DNS-1123 subdomain.
	ValidateName func(name string, prefix bool) []string
	// Validate checks a whole defaulted object on creation; metadata is checked by the caller
	// (see [ValidateMeta]).
	Validate func(obj Object) field.ErrorList
	// ValidateUpdate checks the change; it includes what of Validate applies to updates.
	ValidateUpdate func(obj, old Object) field.ErrorList
	// Warnings returns what the writer should know and may ignore (the API's Warning headers). May be nil.
	Warnings func(obj Object) []string
	// UpdateWarnings are the warnings for a change, where they are not those for a new object. May be nil.
	UpdateWarnings func(obj, old Object) []string

	// CreateOnUpdate lets a PUT to a name that does not exist create it (Lease, Endpoints, …).
	CreateOnUpdate bool
	// RevisionRequired refuses an update that does not say which resourceVersion it was made from. Without it such
	// an update replaces whatever is there.
	RevisionRequired bool

	Status *Status // nil: the kind has no status subresource
	Scale  *Scale  // nil: the kind has no scale subresource
	Parts  []Part  // the other subresources through which a part of the object is changed

	// Versions are the further versions in which the same objects are served.
	Versions []Version

	// NoDependents says that nothing hangs on objects of the kind, so that a deletion's wish about dependents means
	// nothing.
	NoDependents bool

	// OrphanByDefault says that a deletion which does not say what becomes of the dependents leaves them, as kinds of the
	// first days do.
	OrphanByDefault bool

	// ReturnDeleted says that a deletion is answered with the object's last state, as pods and what keeps storage are; with
	// other kinds the answer is a Status.
	ReturnDeleted bool

	// GracePeriod returns how long a deletion waits, in seconds, given what the caller asked for (nil: nothing).
	// 0 means at once. A nil func means that the kind has no graceful deletion. now is not needed: the API
	// server computes the time stamp.
	GracePeriod func(obj Object, requested *int64) int64

	// Finalizers returns the finalizers that a new object gets from the API server itself ("kubernetes.io/pvc-protection").
	// May be nil.
	Finalizers func(obj Object) []string

	// Columns and Row print the kind as kubectl's tables do; Row returns one cell per column.
	// Cells are strings, integers (int64) or booleans.
	Columns []metav1.TableColumnDefinition
	Row     func(obj Object, now time.Time) []any

	// Fields returns the selectable fields beside metadata.name and metadata.namespace. May be nil.
	Fields func(obj Object) fields.Set
}

// GroupResource returns the kind's API group and plural resource name.
func (k *Kind) GroupResource() schema.GroupResource { return k.ID.GroupResource() }

// WarningsForUpdate returns what the writer of a change should know.
func (k *Kind) WarningsForUpdate(obj, old Object) []string {
	switch {
	case k.UpdateWarnings != nil:
		return k.UpdateWarnings(obj, old)
	case k.Warnings != nil:
		return k.Warnings(obj)
	}
	return nil
}

// Status is the rules of a status subresource.
type Status struct {
	// PrepareUpdate makes obj old with obj's status (and what else the status writer may change), in place.
	PrepareUpdate func(obj, old Object)
	// Validate may be nil.
	Validate func(obj, old Object) field.ErrorList
	// Warnings are for the writer, as [Kind.Warnings] are. May be nil.
	Warnings func(obj, old Object) []string
}

// Part is a subresource through which a part of an object is read and changed, beside its status:
// pods/resize, certificatesigningrequests/approval.
type Part struct {
	Name string
	Status
}

// Part returns the rules of a subresource: of "status", or of one of Parts. nil means that there is none.
func (k *Kind) Part(name string) *Status {
	if name == "status" {
		return k.Status
	}
	for i := range k.Parts {
		if k.Parts[i].Name == name {
			return &k.Parts[i].Status
		}
	}
	return nil
}

// Scale is how the scale subresource sees a kind (autoscaling/v1 Scale).
type Scale struct {
	Get func(obj Object) (specReplicas, statusReplicas int32, selector string)
	Set func(obj Object, replicas int32) // in place, on a private copy
}
