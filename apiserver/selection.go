package apiserver

import (
	"fmt"
	"iter"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"sampan/kind"
	"sampan/view"
)

// selection is a label and a field selector. The zero value selects everything.
type selection struct {
	labels labels.Selector // nil: everything
	fields fields.Selector // nil: everything
}

// newSelection parses selectors as they stand in a query, and refuses fields that the kind cannot be selected by. The
// fields have the names of a version; nil is the stored one.
func newSelection(k *kind.Kind, v *kind.Version, labelSelector, fieldSelector string) (selection, error) {
	var sel selection
	if labelSelector != "" {
		l, err := labels.Parse(labelSelector)
		if err != nil {
			return sel, apierrors.NewBadRequest(err.Error())
		}
		if !l.Empty() {
			sel.labels = l
		}
	}
	if fieldSelector != "" {
		f, err := fields.ParseSelector(fieldSelector)
		if err != nil {
			return sel, apierrors.NewBadRequest(err.Error())
		}
		known := fieldsOf(k, k.New())
		f, err = f.Transform(func(name, value string) (string, string, error) {
			stored := name
			if v != nil && v.Field != nil {
				stored = v.Field(name)
			}
			if !known.Has(stored) {
				return "", "", errField(k, name)
			}
			return stored, value, nil
		})
		if err != nil {
			return sel, err
		}
		if !f.Empty() {
			sel.fields = f
		}
	}
	return sel, nil
}

// errField is the answer to a field that objects cannot be selected by. kubectl puts what it looked for in front of it.
func errField(k *kind.Kind, name string) error {
	if k.Fields == nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%q is not a known field selector: only %q, %q", name, "metadata.name", "metadata.namespace"))
	}
	return apierrors.NewBadRequest("field label not supported: " + name)
}

// ofOne returns the selection of the object of one name. A field selector beside must require that name too, as upstream
// has it.
func (sel selection) ofOne(name string) (selection, error) {
	one := fields.OneTermEqualSelector("metadata.name", name)
	if sel.fields == nil {
		sel.fields = one
	} else if also, ok := sel.exact("metadata.name"); !ok || also != name {
		return sel, apierrors.NewBadRequest("fieldSelector metadata.name doesn't match requested name")
	}
	return sel, nil
}

func (sel selection) everything() bool { return sel.labels == nil && sel.fields == nil }

// matches reports whether an object is selected.
func (sel selection) matches(k *kind.Kind, obj kind.Object) bool {
	if sel.labels != nil && !sel.labels.Matches(labels.Set(obj.GetLabels())) {
		return false
	}
	return sel.fields == nil || sel.fields.Matches(fieldsOf(k, obj))
}

// exact returns the value that a field must have, if the selector says so.
func (sel selection) exact(name string) (string, bool) {
	if sel.fields == nil {
		return "", false
	}
	return sel.fields.RequiresExactMatch(name)
}

// objects yields the selected objects of a namespace ("" for all), ordered by namespace and name, behind the one
// that after names. Names and pods' nodes are looked up, everything else is filtered.
func (sel selection) objects(snap *view.Snapshot, k *kind.Kind, namespace, after string) iter.Seq[kind.Object] {
	return func(yield func(kind.Object) bool) {
		for obj := range sel.candidates(snap, k, namespace, after) {
			if (sel.everything() || sel.matches(k, obj)) && !yield(obj) {
				return
			}
		}
	}
}

func (sel selection) candidates(snap *view.Snapshot, k *kind.Kind, namespace, after string) iter.Seq[kind.Object] {
	if name, ok := sel.exact("metadata.name"); ok && (namespace != "" || !k.Namespaced) {
		return func(yield func(kind.Object) bool) {
			obj := snap.Get(view.Key{Kind: k.ID, Namespace: namespace, Name: name})
			if obj != nil && namespace+"/"+name > after {
				yield(obj)
			}
		}
	}
	if node, ok := sel.exact("spec.nodeName"); ok && k.ID == kind.Pods && node != "" {
		return func(yield func(kind.Object) bool) {
			for pod := range snap.PodsOn(node) {
				if (namespace == "" || pod.Namespace == namespace) && pod.Namespace+"/"+pod.Name > after && !yield(pod) {
					return
				}
			}
		}
	}
	return snap.From(k.ID, namespace, after)
}

// fieldsOf returns what an object can be selected by.
func fieldsOf(k *kind.Kind, obj kind.Object) fields.Set {
	var set fields.Set
	if k.Fields != nil {
		set = k.Fields(obj)
	}
	if set == nil {
		set = make(fields.Set, 2)
	}
	set["metadata.name"] = obj.GetName()
	if k.Namespaced || k.Fields == nil { // upstream knows it of every kind that declares no fields of its own
		set["metadata.namespace"] = obj.GetNamespace()
	}
	return set
}
