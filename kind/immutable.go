package kind

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Immutable checks a field that upstream marks +k8s:beta=+k8s:immutable in its Go type. Declarative validation (KEP-5073)
// enforces that and says, other than [validation.ValidateImmutableField] for the fields that are checked by hand, no value.
func Immutable[T any](path *field.Path, is, was T) field.ErrorList {
	if equality.Semantic.DeepEqual(is, was) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, nil, validation.FieldImmutableErrorMsg)}
}
