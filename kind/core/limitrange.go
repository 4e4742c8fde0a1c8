package core

import (
	"fmt"
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
		if item.Type == "" {
			errs = append(errs, field.Required(path.Child("type"), ""))
		} else {
			errs = append(errs, qualifiedName(path.Child("type"), string(item.Type))...)
		}
		if seen.Has(item.Type) {
			errs = append(errs, field.Duplicate(path.Child("type"), item.Type))
		}
		seen.Insert(item.Type)
		errs = append(errs, validateLimit(item, path)...)
	}
	return errs
}

func validateLimit(item *corev1.LimitRangeItem, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	all := corev1.ResourceList{}
	for _, list := range []struct {
		name   string
		values corev1.ResourceList
	}{{"max", item.Max}, {"min", item.Min}, {"default", item.Default}, {"defaultRequest", item.DefaultRequest}, {"maxLimitRequestRatio", item.MaxLimitRequestRatio}} {
		for _, name := range sortedNames(list.values) {
			p := path.Child(list.name).Key(string(name))
			errs = append(errs, limitedResource(item.Type, name, p)...)
			errs = append(errs, resourceAmount(name, list.values[name], p)...)
			all[name] = resource.Quantity{}
		}
	}
	if item.Type == corev1.LimitTypePod {
		if len(item.Default) > 0 {
			errs = append(errs, field.Forbidden(path.Child("default"), "may not be specified when `type` is 'Pod'"))
		}
		if len(item.DefaultRequest) > 0 {
			errs = append(errs, field.Forbidden(path.Child("defaultRequest"), "may not be specified when `type` is 'Pod'"))
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
		errs = append(errs, validateBounds(item, name, path)...)
	}
	return errs
}

// validateBounds checks that the amounts of one resource are in order: least, default request, default limit, greatest.
func validateBounds(item *corev1.LimitRangeItem, name corev1.ResourceName, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	type bound struct {
		field, label string
		list         corev1.ResourceList
	}
	min := bound{"min", "min", item.Min}
	request := bound{"defaultRequest", "default request", item.DefaultRequest}
	limit := bound{"default", "default", item.Default}
	max := bound{"max", "max", item.Max}
	for _, c := range []struct {
		low, high bound
		at        string
	}{{min, max, "min"}, {min, request, "defaultRequest"}, {request, max, "defaultRequest"}, {request, limit, "defaultRequest"}, {min, limit, "default"}, {limit, max, "default"}} {
		low, hasLow := c.low.list[name]
		high, hasHigh := c.high.list[name]
		if !hasLow || !hasHigh || low.Cmp(high) <= 0 {
			continue
		}
		value := low
		if c.at == c.high.field {
			value = high
		}
		errs = append(errs, field.Invalid(path.Child(c.at).Key(string(name)), value.String(),
			fmt.Sprintf("%s value %s is greater than %s value %s", c.low.label, low.String(), c.high.label, high.String())))
	}
	ratio, ok := item.MaxLimitRequestRatio[name]
	if !ok {
		return errs
	}
	p := path.Child("maxLimitRequestRatio").Key(string(name))
	if ratio.Cmp(resource.MustParse("1")) < 0 {
		errs = append(errs, field.Invalid(p, ratio.String(), fmt.Sprintf("ratio %s is less than 1", ratio.String())))
	}
	least, hasLeast := item.Min[name]
	most, hasMost := item.Max[name]
	if hasLeast && hasMost && !least.IsZero() {
		if greatest := float64(most.Value()) / float64(least.Value()); float64(ratio.Value()) > greatest {
			errs = append(errs, field.Invalid(p, ratio.String(), fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), greatest)))
		}
	}
	if !overcommits(name) && ratio.Cmp(resource.MustParse("1")) != 0 {
		errs = append(errs, field.Required(path.Child("maxLimitRequestRatio").Key(string(name)), fmt.Sprintf("limit ratio must be 1 for %s", name)))
	}
	return errs
}

func limitedResource(t corev1.LimitType, name corev1.ResourceName, path *field.Path) field.ErrorList {
	if t == corev1.LimitTypePod || t == corev1.LimitTypeContainer {
		return containerResourceName(name, path)
	}
	errs := qualifiedName(path, string(name))
	if len(errs) == 0 && !strings.Contains(string(name), "/") && !standardResource(name) {
		errs = append(errs, field.Invalid(path, name, "must be a standard resource type or fully qualified"))
	}
	return errs
}
