package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateContainerResourceName checks the name of a resource that containers can use.
func ValidateContainerResourceName(name corev1.ResourceName, path *field.Path) field.ErrorList {
	return containerResourceName(name, path)
}
