package kind

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Version is a further version in which the objects of a kind are served: another Go type for the same object. What
// is written in it is converted, then defaulted, admitted, validated and stored like any other object of the kind; what is
// read in it is converted on the way out. Tables, names and rules are those of the kind.
type Version struct {
	// ID differs from the kind's when the version is in another API group.
	ID  ID
	GVK schema.GroupVersionKind

	New     func() Object
	NewList func() runtime.Object

	// Shown converts a stored object to this version, Stored is the reverse; what one version cannot say is carried
	// in annotations, as upstream does. Both leave their argument as it is; the result may share memory with it.
	Shown  func(stored Object) Object
	Stored func(shown Object) Object

	// Validate checks, on creation, what only writers of this version must heed. shown is in this version, with
	// defaults not yet set. May be nil.
	Validate func(shown Object) field.ErrorList
	// ValidateUpdate checks, on a change, what only writers of this version must heed. Both objects are stored ones, with
	// defaults set. May be nil.
	ValidateUpdate func(stored, old Object) field.ErrorList
	// Field returns the kind's name of a selectable field of this version, or "" if there is none. Nil means that the
	// names are the same.
	Field func(name string) string
}

// In returns the kind as discovery shows it in one of its versions: with the version's names and types, and
// otherwise k's. Its rules are still those for stored objects.
func (k *Kind) In(v *Version) *Kind {
	shown := *k
	shown.ID, shown.GVK, shown.New, shown.NewList, shown.Versions = v.ID, v.GVK, v.New, v.NewList, nil
	return &shown
}
