package kind

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateMeta checks the metadata of a new object: name or generateName, namespace, labels, annotations,
// owner references and finalizers.
func ValidateMeta(k *Kind, obj Object) field.ErrorList {
	path := field.NewPath("metadata")
	return append(validation.ValidateObjectMetaAccessor(obj, k.Namespaced, nameFunc(k), path), finalizers(obj, path)...)
}

// ValidateMetaUpdate checks the metadata of a changed object against the stored one: what may never change,
// and that no finalizer appears on an object that is being deleted.
func ValidateMetaUpdate(k *Kind, obj, old Object) field.ErrorList {
	path := field.NewPath("metadata")
	errs := validation.ValidateObjectMetaAccessor(obj, k.Namespaced, nameFunc(k), path)
	errs = append(errs, validation.ValidateObjectMetaAccessorUpdate(obj, old, path)...)
	return append(errs, finalizers(obj, path)...)
}

func finalizers(obj Object, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, name := range obj.GetFinalizers() {
		errs = append(errs, ValidateOwnFinalizer(name, path.Child("finalizers").Index(i))...)
	}
	return errs
}

// ValidateOwnFinalizer refuses finalizers without a domain that are not Kubernetes' own. What else is wrong with a name
// is said elsewhere.
func ValidateOwnFinalizer(name string, path *field.Path) field.ErrorList {
	switch name {
	case string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents:
		return nil
	}
	if strings.Contains(name, "/") {
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")}
}

func nameFunc(k *Kind) validation.ValidateNameFunc {
	if k.ValidateName != nil {
		return k.ValidateName
	}
	return validation.NameIsDNSSubdomain
}
