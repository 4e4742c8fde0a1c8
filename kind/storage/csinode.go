package storage

import (
	"fmt"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

const maxNodeID = 256

// CSINode returns the kind CSINode.
func CSINode() *kind.Kind {
	return kind.Typed[*storagev1.CSINode]{
		ID: kind.CSINodes, Version: storagev1.SchemeGroupVersion, Name: "CSINode", Singular: "csinode",
		Cluster: true, RevisionRequired: true,
		New:           func() *storagev1.CSINode { return new(storagev1.CSINode) },
		NewList:       func() runtime.Object { return new(storagev1.CSINodeList) },
		ReturnDeleted: true,

		// The status is behind a feature gate that is off, and is dropped as there.
		PrepareCreate:  func(n *storagev1.CSINode) { n.Status = storagev1.CSINodeStatus{} },
		PrepareUpdate:  func(n, old *storagev1.CSINode) { n.Status = *old.Status.DeepCopy() },
		Validate:       validateCSINode,
		ValidateUpdate: validateCSINodeUpdate,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Drivers", "integer", "Drivers on the node."),
			kind.AgeColumn(),
		},
		Row: func(n *storagev1.CSINode, now time.Time) []any {
			return []any{n.Name, int64(len(n.Spec.Drivers)), kind.Age(n, now)}
		},
	}.Kind()
}

func validateCSINode(n *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, d := range n.Spec.Drivers {
		path := field.NewPath("spec", "drivers").Index(i)
		errs = append(errs, core.ValidateDriverName(d.Name, path.Child("name"))...)
		switch {
		case d.NodeID == "":
			errs = append(errs, field.Required(path.Child("nodeID"), ""))
		case len(d.NodeID) > maxNodeID:
			errs = append(errs, field.Invalid(path.Child("nodeID"), d.NodeID, fmt.Sprintf("must be %d characters or less", maxNodeID)))
		}
		if a := d.Allocatable; a != nil && a.Count != nil {
			errs = append(errs, apivalidation.ValidateNonnegativeField(int64(*a.Count), path.Child("allocatable", "count"))...)
		}
		if names.Has(d.Name) {
			errs = append(errs, field.Duplicate(path.Child("name"), d.Name))
		}
		names.Insert(d.Name)
		keys := sets.New[string]()
		for _, key := range d.TopologyKeys {
			if key == "" {
				errs = append(errs, field.Required(path, ""))
			}
			if keys.Has(key) {
				errs = append(errs, field.Duplicate(path, key))
			}
			keys.Insert(key)
			for _, msg := range validation.IsQualifiedName(key) {
				errs = append(errs, field.Invalid(path, key, msg))
			}
		}
	}
	return errs
}

// validateCSINodeUpdate lets drivers come and go, but not change: their volumes were made for what they said.
func validateCSINodeUpdate(n, old *storagev1.CSINode) field.ErrorList {
	errs := validateCSINode(n)
	for _, was := range old.Spec.Drivers {
		for _, is := range n.Spec.Drivers {
			if is.Name != was.Name {
				continue
			}
			was.Allocatable, is.Allocatable = nil, nil // the driver counts again when it starts
			if !equality.Semantic.DeepEqual(is, was) {
				errs = append(errs, field.Invalid(field.NewPath("spec", "drivers"), is, "field is immutable"))
			}
		}
	}
	return errs
}
