package kind

import (
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateMeta checks the metadata of a new object: name or generateName, namespace, labels, annotations,
// owner references and finalizers.
func ValidateMeta(k *Kind, obj Object) field.ErrorList {
	return validation.ValidateObjectMetaAccessor(obj, k.Namespaced, nameFunc(k), field.NewPath("metadata"))
}

// ValidateMetaUpdate checks the metadata of a changed object against the stored one: what may never change,
// and that no finalizer appears on an object that is being deleted.
func ValidateMetaUpdate(k *Kind, obj, old Object) field.ErrorList {
	path := field.NewPath("metadata")
	return append(validation.ValidateObjectMetaAccessor(obj, k.Namespaced, nameFunc(k), path),
		validation.ValidateObjectMetaAccessorUpdate(obj, old, path)...)
}

func nameFunc(k *Kind) validation.ValidateNameFunc {
	if k.ValidateName != nil {
		return k.ValidateName
	}
	return validation.NameIsDNSSubdomain
}
