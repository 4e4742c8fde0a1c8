package apiserver

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// causesMax is how many errors of one object a client is told. A list of a million wrong items fits into a body, and
// the library's message of so many errors takes time and memory that grow with their square.
const causesMax = 1000

// invalid returns the error for an object that is not valid, or nil if there is nothing against it.
func invalid(gk schema.GroupKind, name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	more := len(errs) - causesMax
	err := apierrors.NewInvalid(gk, name, errs[:min(len(errs), causesMax)])
	if more > 0 {
		err.ErrStatus.Message += fmt.Sprintf(" and %d more", more)
	}
	return err
}
