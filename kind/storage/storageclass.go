package storage

import (
	"fmt"
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
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
		New:           func() *storagev1.StorageClass { return new(storagev1.StorageClass) },
		NewList:       func() runtime.Object { return new(storagev1.StorageClassList) },
		ReturnDeleted: true,

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
		Warnings:       classWarnings,

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

// DefaultClassAnnotation marks the class of claims that name none; betaDefaultClass is its name of old.
const (
	DefaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"
	betaDefaultClass       = "storageclass.beta.kubernetes.io/is-default-class"
)

// IsDefault says whether claims that name no class get this one.
func IsDefault(c *storagev1.StorageClass) bool {
	return c.Annotations[DefaultClassAnnotation] == "true" || c.Annotations[betaDefaultClass] == "true"
}

func validateClass(c *storagev1.StorageClass) field.ErrorList {
	errs := validateProvisioner(c.Provisioner, field.NewPath("provisioner"))
	errs = append(errs, validateParameters(c.Parameters, field.NewPath("parameters"))...)
	if p := *c.ReclaimPolicy; p != "" { // which upstream bears with
		errs = append(errs, core.Supported(field.NewPath("reclaimPolicy"), p, corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	}
	errs = append(errs, core.Supported(field.NewPath("volumeBindingMode"), *c.VolumeBindingMode,
		storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
	return append(errs, validateTopologies(c.AllowedTopologies, field.NewPath("allowedTopologies"))...)
}

func validateProvisioner(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	name = strings.ToLower(name) // names of CSI drivers may have capitals
	for _, msg := range validation.IsQualifiedName(name) {
		errs = append(errs, field.Invalid(path, name, msg))
	}
	return errs
}

func validateParameters(parameters map[string]string, path *field.Path) field.ErrorList {
	const most, longest = 512, 256 * 1024 // in number; in bytes, keys and values
	if len(parameters) > most {
		return field.ErrorList{field.TooLong(path, "", most)}
	}
	var errs field.ErrorList
	size := 0
	for key, value := range parameters {
		if key == "" {
			errs = append(errs, field.Invalid(path, key, "field can not be empty."))
		}
		size += len(key) + len(value)
	}
	if size > longest {
		errs = append(errs, field.TooLong(path, "", longest))
	}
	return errs
}

// validateTopologies checks where volumes may be made. As upstream has it, a term that says nothing counts as said twice.
func validateTopologies(terms []corev1.TopologySelectorTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := []map[string]sets.Set[string]{{}}
	for i, term := range terms {
		values := make(map[string]sets.Set[string])
		for j, r := range term.MatchLabelExpressions {
			p := path.Index(i).Child("matchLabelExpressions").Index(j)
			set := sets.New[string]()
			if len(r.Values) == 0 {
				errs = append(errs, field.Required(p.Child("values"), ""))
			}
			for n, v := range r.Values {
				if set.Has(v) {
					errs = append(errs, field.Duplicate(p.Child("values").Index(n), v))
				}
				set.Insert(v)
			}
			errs = append(errs, metavalidation.ValidateLabelName(r.Key, p.Child("key"))...)
			if _, ok := values[r.Key]; ok {
				errs = append(errs, field.Duplicate(p.Child("key"), r.Key))
			}
			values[r.Key] = set
		}
		for _, other := range seen {
			if maps.EqualFunc(values, other, sets.Set[string].Equal) {
				errs = append(errs, field.Duplicate(path.Index(i).Child("matchLabelExpressions"), ""))
			}
		}
		seen = append(seen, values)
	}
	return errs
}

func classWarnings(c *storagev1.StorageClass) []string {
	var warnings []string
	for i, term := range c.AllowedTopologies {
		for j, r := range term.MatchLabelExpressions {
			if use := core.NodeLabelDeprecated(r.Key); use != "" {
				warnings = append(warnings, fmt.Sprintf("%s: %s", field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions").Index(j), use))
			}
		}
	}
	return warnings
}

// validateClassUpdate keeps what volumes were made with; expansion, mount options and topologies may change.
func validateClassUpdate(c, old *storagev1.StorageClass) field.ErrorList {
	errs := validateClass(c)
	errs = append(errs, kind.Immutable(field.NewPath("parameters"), c.Parameters, old.Parameters)...)
	errs = append(errs, kind.Immutable(field.NewPath("provisioner"), c.Provisioner, old.Provisioner)...)
	errs = append(errs, kind.Immutable(field.NewPath("reclaimPolicy"), c.ReclaimPolicy, old.ReclaimPolicy)...)
	return append(errs, kind.Immutable(field.NewPath("volumeBindingMode"), c.VolumeBindingMode, old.VolumeBindingMode)...)
}

func classRow(c *storagev1.StorageClass, now time.Time) []any {
	name := c.Name
	if IsDefault(c) {
		name += " (default)"
	}
	return []any{name, c.Provisioner, string(*c.ReclaimPolicy), string(*c.VolumeBindingMode),
		c.AllowVolumeExpansion != nil && *c.AllowVolumeExpansion, kind.Age(c, now)}
}
