package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// limitBounds are the amounts of an item of a LimitRange.
type limitBounds struct{ min, request, limit, max, ratio corev1.ResourceList }

// order checks that the amounts of one resource are in order: least, default request, default limit, greatest.
func (b *limitBounds) order(name corev1.ResourceName, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, c := range []struct {
		low, high        corev1.ResourceList
		lowName, hiName  string
		at               string
		highIsTheMistake bool
	}{
		{b.min, b.max, "min", "max", "min", false},
		{b.min, b.request, "min", "default request", "defaultRequest", true},
		{b.request, b.max, "default request", "max", "defaultRequest", false},
		{b.request, b.limit, "default request", "default limit", "defaultRequest", false},
		{b.min, b.limit, "min", "default", "default", false},
		{b.limit, b.max, "default", "max", "default", true},
	} {
		low, hasLow := c.low[name]
		high, hasHigh := c.high[name]
		if !hasLow || !hasHigh || low.Cmp(high) <= 0 {
			continue
		}
		value := low
		if c.highIsTheMistake {
			value = high
		}
		errs = append(errs, field.Invalid(path.Child(c.at).Key(string(name)), value.String(),
			fmt.Sprintf("%s value %s is greater than %s value %s", c.lowName, low.String(), c.hiName, high.String())))
	}
	limit, hasLimit := b.limit[name]
	request, hasRequest := b.request[name]
	if hasLimit && hasRequest && !overcommits(name) && limit.Cmp(request) != 0 {
		errs = append(errs, field.Invalid(path.Child("defaultRequest").Key(string(name)), request.String(),
			fmt.Sprintf("default value %s must equal to defaultRequest value %s in %s", limit.String(), request.String(), name)))
	}
	return errs
}

// ratios checks how far a limit may be above its request: what the bounds leave room for.
func (b *limitBounds) ratios(name corev1.ResourceName, path *field.Path) field.ErrorList {
	ratio, ok := b.ratio[name]
	if !ok {
		return nil
	}
	var errs field.ErrorList
	p := path.Child("maxLimitRequestRatio").Key(string(name))
	if ratio.Cmp(*resource.NewQuantity(1, resource.DecimalSI)) < 0 {
		errs = append(errs, field.Invalid(p, ratio.String(), fmt.Sprintf("ratio %s is less than 1", ratio.String())))
	}
	least, hasLeast := b.min[name]
	most, hasMost := b.max[name]
	if !hasLeast || !hasMost {
		return errs
	}
	value, low, high := float64(ratio.Value()), least.Value(), most.Value()
	if max(ratio.Value(), low, high) < resource.MaxMilliValue {
		value, low, high = float64(ratio.MilliValue())/1000, least.MilliValue(), most.MilliValue()
	}
	if greatest := float64(high) / float64(low); value > greatest {
		errs = append(errs, field.Invalid(p, ratio.String(), fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), greatest)))
	}
	return errs
}
