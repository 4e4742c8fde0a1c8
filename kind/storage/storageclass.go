package storage

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// StorageClass returns the kind StorageClass.
func StorageClass() *kind.Kind {
	return kind.Typed[*storagev1.StorageClass]{
		ID: kind.StorageClasses, Version: storagev1.SchemeGroupVersion, Name: "StorageClass", Singular: "storageclass",
		ShortNames: []string{"sc"}, Cluster: true,
		New:     func() *storagev1.StorageClass { return new(storagev1.StorageClass) },
		NewList: func() runtime.Object { return new(storagev1.StorageClassList) },

		Default: func(c *storagev1.StorageClass) {
			if c.ReclaimPolicy == nil {
				c.ReclaimPolicy = new(corev1.PersistentVolumeReclaimDelete)
			}
			if c.VolumeBindingMode == nil {
				c.VolumeBindingMode = new(storagev1.VolumeBindingImmediate)
			}
		},
		Validate:       validateClass,
		ValidateUpdate: validateClassUpdate,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Provisioner", "string", "Who makes volumes of this class."),
			kind.Column("ReclaimPolicy", "string", "What becomes of a volume when its claim is gone."),
			kind.Column("VolumeBindingMode", "string", "When a volume is made: at once, or when a pod needs it."),
			kind.Column("AllowVolumeExpansion", "string", "Whether volumes can grow."),
			kind.AgeColumn(),
		},
		Row: classRow,
	}.Kind()
}

// DefaultClassAnnotation marks the class of claims that name none.
const DefaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"

// IsDefault says whether claims that name no class get this one.
func IsDefault(c *storagev1.StorageClass) bool {
	return c.Annotations[DefaultClassAnnotation] == "true"
}

func validateClass(c *storagev1.StorageClass) field.ErrorList {
	var errs field.ErrorList
	if c.Provisioner == "" {
		errs = append(errs, field.Required(field.NewPath("provisioner"), ""))
	} else {
		path := field.NewPath("provisioner")
		for _, err := range qualified(path, strings.ToLower(c.Provisioner)) {
			err.BadValue = c.Provisioner
			errs = append(errs, err)
		}
	}
	const maxParameters, maxSize = 512, 256 * 1024
	size := 0
	for key, value := range c.Parameters {
		if key == "" {
			errs = append(errs, field.Invalid(field.NewPath("parameters"), key, "field can not be empty."))
		}
		size += len(key) + len(value)
	}
	if len(c.Parameters) > maxParameters {
		errs = append(errs, field.TooLong(field.NewPath("parameters"), "Provisioner Parameters exceeded max allowed", maxParameters))
	}
	if size > maxSize {
		errs = append(errs, field.TooLong(field.NewPath("parameters"), "", maxSize))
	}
	errs = append(errs, core.OneOf(field.NewPath("reclaimPolicy"), *c.ReclaimPolicy,
		corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	return append(errs, core.OneOf(field.NewPath("volumeBindingMode"), *c.VolumeBindingMode,
		storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
}

func qualified(path *field.Path, name string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsQualifiedName(name) {
		errs = append(errs, field.Invalid(path, name, msg))
	}
	return errs
}

// validateClassUpdate keeps what volumes were made with; expansion, mount options and topologies may change.
func validateClassUpdate(c, old *storagev1.StorageClass) field.ErrorList {
	errs := validateClass(c)
	if !equalParameters(c.Parameters, old.Parameters) {
		errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
	}
	if c.Provisioner != old.Provisioner {
		errs = append(errs, field.Forbidden(field.NewPath("provisioner"), "updates to provisioner are forbidden."))
	}
	if *c.ReclaimPolicy != *old.ReclaimPolicy {
		errs = append(errs, field.Forbidden(field.NewPath("reclaimPolicy"), "updates to reclaimPolicy are forbidden."))
	}
	return append(errs, apivalidation.ValidateImmutableField(c.VolumeBindingMode, old.VolumeBindingMode, field.NewPath("volumeBindingMode"))...)
}

func equalParameters(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			return false
		}
	}
	return true
}

func classRow(c *storagev1.StorageClass, now time.Time) []any {
	name := c.Name
	if IsDefault(c) {
		name += " (default)"
	}
	return []any{name, c.Provisioner, string(*c.ReclaimPolicy), string(*c.VolumeBindingMode),
		c.AllowVolumeExpansion != nil && *c.AllowVolumeExpansion, kind.Age(c, now)}
}
