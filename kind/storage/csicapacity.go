package storage

import (
	"fmt"
	"time"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// CSIStorageCapacity returns the kind CSIStorageCapacity.
func CSIStorageCapacity() *kind.Kind {
	return kind.Typed[*storagev1.CSIStorageCapacity]{
		ID: kind.CSIStorageCapacities, Version: storagev1.SchemeGroupVersion, Name: "CSIStorageCapacity", Singular: "csistoragecapacity",
		RevisionRequired: true,
		New:              func() *storagev1.CSIStorageCapacity { return new(storagev1.CSIStorageCapacity) },
		NewList:          func() runtime.Object { return new(storagev1.CSIStorageCapacityList) },

		Warnings: capacityWarnings,
		Validate: validateCapacity,
		ValidateUpdate: func(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
			errs := validateCapacity(c)
			if !equality.Semantic.DeepEqual(c.NodeTopology, old.NodeTopology) {
				errs = append(errs, field.Invalid(field.NewPath("nodeTopology"), c.NodeTopology, "field is immutable"))
			}
			return append(errs, apivalidation.ValidateImmutableField(c.StorageClassName, old.StorageClassName, field.NewPath("storageClassName"))...)
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("StorageClassName", "string", "Class of the volumes that there is room for."),
			kind.Column("Capacity", "string", "How much room there is."),
		},
		Row: func(c *storagev1.CSIStorageCapacity, _ time.Time) []any {
			room := "<unset>"
			if c.Capacity != nil {
				amount := *c.Capacity // a Quantity keeps its printed form, and the object is shared
				room = amount.String()
			}
			return []any{c.Name, c.StorageClassName, room}
		},
	}.Kind()
}

func validateCapacity(c *storagev1.CSIStorageCapacity) field.ErrorList {
	var errs field.ErrorList
	if c.NodeTopology != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(c.NodeTopology, metavalidation.LabelSelectorValidationOptions{}, field.NewPath("nodeTopology"))...)
	}
	for _, msg := range apivalidation.NameIsDNSSubdomain(c.StorageClassName, false) {
		errs = append(errs, field.Invalid(field.NewPath("storageClassName"), c.StorageClassName, msg))
	}
	if c.Capacity != nil && c.Capacity.Sign() < 0 {
		amount := *c.Capacity // a Quantity keeps its printed form, and the object is shared
		errs = append(errs, field.Invalid(field.NewPath("capacity"), amount.String(), apivalidation.IsNegativeErrorMsg))
	}
	return errs
}

func capacityWarnings(c *storagev1.CSIStorageCapacity) []string {
	t, path := c.NodeTopology, field.NewPath("nodeTopology")
	if t == nil {
		return nil
	}
	var warnings []string
	for i, r := range t.MatchExpressions {
		if use := core.NodeLabelDeprecated(r.Key); use != "" {
			warnings = append(warnings, fmt.Sprintf("%s: %s is %s", path.Child("matchExpressions").Index(i), r.Key, use))
		}
	}
	return append(warnings, core.NodeSelectorWarnings(t.MatchLabels, func(label string) *field.Path { return path.Child("matchLabels", label) })...)
}
