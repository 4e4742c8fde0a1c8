package core

import (
	"maps"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// LimitRange returns the kind LimitRange.
func LimitRange() *kind.Kind {
	return kind.Typed[*corev1.LimitRange]{
		ID: kind.LimitRanges, Version: corev1.SchemeGroupVersion, Name: "LimitRange", Singular: "limitrange",
		ShortNames: []string{"limits"}, CreateOnUpdate: true,
		New:     func() *corev1.LimitRange { return new(corev1.LimitRange) },
		NewList: func() runtime.Object { return new(corev1.LimitRangeList) },

		Default: func(l *corev1.LimitRange) {
			for i := range l.Spec.Limits {
				defaultLimit(&l.Spec.Limits[i])
			}
		},
		Validate:       validateLimitRange,
		ValidateUpdate: func(l, _ *corev1.LimitRange) field.ErrorList { return validateLimitRange(l) },

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Created At", "date", "When the object was created."),
		},
		Row: func(l *corev1.LimitRange, _ time.Time) []any { return []any{l.Name, kind.CreatedAt(l)} },
	}.Kind()
}

// defaultLimit fills what follows from the bounds: a container that names no limit gets the greatest, one that names
// no request gets its limit's default, or the least.
func defaultLimit(item *corev1.LimitRangeItem) {
	for _, list := range []corev1.ResourceList{item.Max, item.Min, item.Default, item.DefaultRequest, item.MaxLimitRequestRatio} {
		roundMilli(list)
	}
	if item.Type != corev1.LimitTypeContainer {
		return
	}
	item.Default = filled(item.Default, item.Max)
	item.DefaultRequest = filled(item.DefaultRequest, item.Default)
	item.DefaultRequest = filled(item.DefaultRequest, item.Min)
}

// filled returns list with what only other has.
func filled(list, other corev1.ResourceList) corev1.ResourceList {
	out := maps.Clone(list)
	if out == nil {
		out = make(corev1.ResourceList, len(other))
	}
	for name, amount := range other {
		if _, ok := out[name]; !ok {
			out[name] = amount.DeepCopy()
		}
	}
	return out
}

func validateLimitRange(l *corev1.LimitRange) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[corev1.LimitType]()
	for i := range l.Spec.Limits {
		item, path := &l.Spec.Limits[i], field.NewPath("spec", "limits").Index(i)
		errs = append(errs, limitType(item.Type, path.Child("type"))...)
		if seen.Has(item.Type) {
			errs = append(errs, field.Duplicate(path.Child("type"), item.Type))
		}
		seen.Insert(item.Type)
		errs = append(errs, validateLimit(item, path)...)
	}
	return errs
}

func limitType(t corev1.LimitType, path *field.Path) field.ErrorList {
	errs := qualifiedName(path, string(t))
	switch t {
	case corev1.LimitTypePod, corev1.LimitTypeContainer, corev1.LimitTypePersistentVolumeClaim:
	default:
		if len(errs) == 0 && !strings.Contains(string(t), "/") {
			errs = append(errs, field.Invalid(path, t, "must be a standard limit type or fully qualified"))
		}
	}
	return errs
}

func validateLimit(item *corev1.LimitRangeItem, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	ofPods := item.Type == corev1.LimitTypePod
	if ofPods {
		if len(item.Default) > 0 {
			errs = append(errs, field.Forbidden(path.Child("default"), "may not be specified when `type` is 'Pod'"))
		}
		if len(item.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(path.Child("defaultRequest"), "may not be specified when `type` is 'Pod'"))
		}
	}
	b := limitBounds{min: item.Min, max: item.Max, ratio: item.MaxLimitRequestRatio}
	if !ofPods {
		b.limit, b.request = item.Default, item.DefaultRequest
	}
	all := corev1.ResourceList{}
	for _, list := range []struct {
		name   string
		values corev1.ResourceList
	}{{"max", b.max}, {"min", b.min}, {"default", b.limit}, {"defaultRequest", b.request}, {"maxLimitRequestRatio", b.ratio}} {
		for _, name := range sortedNames(list.values) {
			errs = append(errs, limitedResource(item.Type, name, path.Child(list.name).Key(string(name)))...)
			all[name] = resource.Quantity{}
		}
	}
	if item.Type == corev1.LimitTypePersistentVolumeClaim {
		_, min := item.Min[corev1.ResourceStorage]
		_, max := item.Max[corev1.ResourceStorage]
		if !min && !max {
			errs = append(errs, field.Required(path.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
		}
	}
	for _, name := range sortedNames(all) {
		errs = append(errs, b.order(name, path)...)
		errs = append(errs, b.ratios(name, path)...)
	}
	return errs
}

func limitedResource(t corev1.LimitType, name corev1.ResourceName, path *field.Path) field.ErrorList {
	if t == corev1.LimitTypePod || t == corev1.LimitTypeContainer {
		return containerResourceName(name, path)
	}
	return resourceName(name, path)
}
