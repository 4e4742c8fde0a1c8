package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateResources checks the limits and requests of a container, or what is given like them.
func ValidateResources(r *corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	return validateResources(r, path)
}

// ValidateTolerations checks the tolerations of a pod, or of what makes pods.
func ValidateTolerations(list []corev1.Toleration, path *field.Path) field.ErrorList {
	return validateTolerations(list, path)
}
