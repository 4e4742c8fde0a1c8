package kind

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Typed is how a kind is written down: the rules of [Kind] as functions of the kind's Go type. Every function
// but New and NewList may be nil, and then does nothing. [Typed.Kind] turns it into a Kind.
type Typed[T Object] struct {
	ID         ID
	Version    schema.GroupVersion
	Name       string // the CamelCase kind, "Deployment"
	Singular   string
	ShortNames []string
	Categories []string
	Cluster    bool // true: not namespaced

	New     func() T
	NewList func() runtime.Object

	Default func(obj T)

	// Counted returns the part of an object whose change raises metadata.generation, by pointer or value.
	// Nil means that the kind has no generation.
	Counted func(obj T) any
	// PrepareCreate and PrepareUpdate need not deal with the generation.
	PrepareCreate func(obj T)
	PrepareUpdate func(obj, old T)

	ValidateName   func(name string, prefix bool) []string
	Validate       func(obj T) field.ErrorList
	ValidateUpdate func(obj, old T) field.ErrorList
	Warnings       func(obj T) []string
	UpdateWarnings func(obj, old T) []string

	CreateOnUpdate   bool
	RevisionRequired bool

	// Status.PrepareUpdate is given; the generation stays as it was in any case.
	PrepareStatus  func(obj, old T) // nil: the kind has no status subresource
	ValidateStatus func(obj, old T) field.ErrorList
	StatusWarnings func(obj, old T) []string
	Scale          *TypedScale[T]
	Parts          []TypedPart[T]

	Versions []Version

	NoDependents    bool
	OrphanByDefault bool
	ReturnDeleted   bool

	GracePeriod func(obj T, requested *int64) int64
	Finalizers  func(obj T) []string

	Columns []metav1.TableColumnDefinition
	Row     func(obj T, now time.Time) []any
	Fields  func(obj T) fields.Set
}

// TypedScale is [Scale] for a Go type.
type TypedScale[T Object] struct {
	Get func(obj T) (specReplicas, statusReplicas int32, selector string)
	Set func(obj T, replicas int32)
}

// TypedPart is [Part] for a Go type. The generation rises when the counted part changes.
type TypedPart[T Object] struct {
	Name          string
	PrepareUpdate func(obj, old T)
	Validate      func(obj, old T) field.ErrorList // may be nil
	Warnings      func(obj, old T) []string        // may be nil
}

// Kind returns the kind that t describes. In the result Default, PrepareCreate, PrepareUpdate, Validate,
// ValidateUpdate, Columns and Row are never nil.
func (t Typed[T]) Kind() *Kind {
	k := &Kind{
		ID:         t.ID,
		GVK:        t.Version.WithKind(t.Name),
		Singular:   t.Singular,
		ShortNames: t.ShortNames,
		Categories: t.Categories,
		Namespaced: !t.Cluster,

		New:     func() Object { return t.New() },
		NewList: t.NewList,

		Default:       t.defaultObject,
		PrepareCreate: t.prepareCreate,
		PrepareUpdate: t.prepareUpdate,

		ValidateName:   t.ValidateName,
		Validate:       func(obj Object) field.ErrorList { return nil },
		ValidateUpdate: func(obj, old Object) field.ErrorList { return nil },

		CreateOnUpdate:   t.CreateOnUpdate,
		RevisionRequired: t.RevisionRequired,
		NoDependents:     t.NoDependents,
		OrphanByDefault:  t.OrphanByDefault,
		ReturnDeleted:    t.ReturnDeleted,

		Versions: t.Versions,

		Columns: t.Columns,
		Row:     func(obj Object, now time.Time) []any { return t.Row(obj.(T), now) },
	}
	if t.Row == nil {
		k.Columns = []metav1.TableColumnDefinition{NameColumn(), AgeColumn()}
		k.Row = func(obj Object, now time.Time) []any { return []any{obj.GetName(), Age(obj, now)} }
	}
	if t.Validate != nil {
		k.Validate = func(obj Object) field.ErrorList { return t.Validate(obj.(T)) }
	}
	if t.ValidateUpdate != nil {
		k.ValidateUpdate = func(obj, old Object) field.ErrorList { return t.ValidateUpdate(obj.(T), old.(T)) }
	}
	if t.Warnings != nil {
		k.Warnings = func(obj Object) []string { return t.Warnings(obj.(T)) }
	}
	if t.UpdateWarnings != nil {
		k.UpdateWarnings = func(obj, old Object) []string { return t.UpdateWarnings(obj.(T), old.(T)) }
	}
	if t.PrepareStatus != nil {
		k.Status = &Status{PrepareUpdate: t.prepareStatus}
		if t.ValidateStatus != nil {
			k.Status.Validate = func(obj, old Object) field.ErrorList { return t.ValidateStatus(obj.(T), old.(T)) }
		}
		if t.StatusWarnings != nil {
			k.Status.Warnings = func(obj, old Object) []string { return t.StatusWarnings(obj.(T), old.(T)) }
		}
	}
	if t.Scale != nil {
		k.Scale = &Scale{
			Get: func(obj Object) (int32, int32, string) { return t.Scale.Get(obj.(T)) },
			Set: func(obj Object, replicas int32) { t.Scale.Set(obj.(T), replicas) },
		}
	}
	for _, p := range t.Parts {
		part := Part{Name: p.Name, Status: Status{PrepareUpdate: func(obj, old Object) {
			p.PrepareUpdate(obj.(T), old.(T))
			t.count(obj, old)
		}}}
		if p.Validate != nil {
			part.Validate = func(obj, old Object) field.ErrorList { return p.Validate(obj.(T), old.(T)) }
		}
		if p.Warnings != nil {
			part.Warnings = func(obj, old Object) []string { return p.Warnings(obj.(T), old.(T)) }
		}
		k.Parts = append(k.Parts, part)
	}
	if t.GracePeriod != nil {
		k.GracePeriod = func(obj Object, requested *int64) int64 { return t.GracePeriod(obj.(T), requested) }
	}
	if t.Finalizers != nil {
		k.Finalizers = func(obj Object) []string { return t.Finalizers(obj.(T)) }
	}
	if t.Fields != nil {
		k.Fields = func(obj Object) fields.Set { return t.Fields(obj.(T)) }
	}
	return k
}

func (t Typed[T]) defaultObject(obj Object) {
	if t.Default != nil {
		t.Default(obj.(T))
	}
}

func (t Typed[T]) prepareCreate(obj Object) {
	obj.SetGeneration(0)
	if t.Counted != nil {
		obj.SetGeneration(1)
	}
	if t.PrepareCreate != nil {
		t.PrepareCreate(obj.(T))
	}
}

// prepareUpdate compares the counted part after the kind's own preparation, so that what the kind put
// back does not count as a change.
func (t Typed[T]) prepareUpdate(obj, old Object) {
	if t.PrepareUpdate != nil {
		t.PrepareUpdate(obj.(T), old.(T))
	}
	t.count(obj, old)
}

// count raises the generation if the counted part changed.
func (t Typed[T]) count(obj, old Object) {
	obj.SetGeneration(old.GetGeneration())
	if t.Counted != nil && !equality.Semantic.DeepEqual(t.Counted(obj.(T)), t.Counted(old.(T))) {
		obj.SetGeneration(old.GetGeneration() + 1)
	}
}

func (t Typed[T]) prepareStatus(obj, old Object) {
	t.PrepareStatus(obj.(T), old.(T))
	obj.SetGeneration(old.GetGeneration())
}
