package core

import (
	"bytes"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// ConfigMap returns the kind ConfigMap.
func ConfigMap() *kind.Kind {
	return kind.Typed[*corev1.ConfigMap]{
		ID: kind.ConfigMaps, Version: corev1.SchemeGroupVersion, Name: "ConfigMap", Singular: "configmap",
		ShortNames: []string{"cm"},
		New:        func() *corev1.ConfigMap { return new(corev1.ConfigMap) },
		NewList:    func() runtime.Object { return new(corev1.ConfigMapList) },

		Validate:       validateConfigMap,
		ValidateUpdate: validateConfigMapUpdate,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Data", "string", "Number of keys."),
			kind.AgeColumn(),
		},
		Row: func(cm *corev1.ConfigMap, now time.Time) []any {
			return []any{cm.Name, int64(len(cm.Data) + len(cm.BinaryData)), kind.Age(cm, now)}
		},
	}.Kind()
}

// maxDataSize is what a ConfigMap or Secret may hold: they travel whole, and each node keeps them in memory.
const maxDataSize = 1024 * 1024

func validateConfigMap(cm *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	size := 0
	for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
		p := field.NewPath("data").Key(key)
		errs = append(errs, invalids(p, key, validation.IsConfigMapKey(key))...)
		if _, both := cm.BinaryData[key]; both {
			errs = append(errs, field.Invalid(p, key, "duplicate of key present in binaryData"))
		}
		size += len(cm.Data[key])
	}
	for _, key := range slices.Sorted(maps.Keys(cm.BinaryData)) {
		errs = append(errs, invalids(field.NewPath("binaryData").Key(key), key, validation.IsConfigMapKey(key))...)
		size += len(cm.BinaryData[key])
	}
	if size > maxDataSize {
		errs = append(errs, field.TooLong(field.NewPath(""), "", maxDataSize))
	}
	return errs
}

func validateConfigMapUpdate(cm, old *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	if old.Immutable != nil && *old.Immutable {
		const text = "field is immutable when `immutable` is set"
		if cm.Immutable == nil || !*cm.Immutable {
			errs = append(errs, field.Forbidden(field.NewPath("immutable"), text))
		}
		if !maps.Equal(cm.Data, old.Data) {
			errs = append(errs, field.Forbidden(field.NewPath("data"), text))
		}
		if !maps.EqualFunc(cm.BinaryData, old.BinaryData, bytes.Equal) {
			errs = append(errs, field.Forbidden(field.NewPath("binaryData"), text))
		}
	}
	return append(errs, validateConfigMap(cm)...)
}
