package core

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// isEnvField says whether an environment variable may take its value from a field of the pod.
func isEnvField(path string) bool {
	switch path {
	case "metadata.name", "metadata.namespace", "metadata.uid",
		"spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs":
		return true
	}
	return isSubscripted(path)
}

// isVolumeField says whether a file of a downward API volume may hold a field of the pod.
func isVolumeField(path string) bool {
	switch path {
	case "metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid":
		return true
	}
	return isSubscripted(path)
}

// isSubscripted matches metadata.labels['key'] and metadata.annotations['key'].
func isSubscripted(path string) bool {
	name, key, ok := strings.Cut(path, "['")
	return ok && strings.HasSuffix(key, "']") && (name == "metadata.labels" || name == "metadata.annotations")
}

func validateFieldRef(ref *corev1.ObjectFieldSelector, path *field.Path, allowed func(string) bool) field.ErrorList {
	if ref.APIVersion == "" {
		return field.ErrorList{field.Required(path.Child("apiVersion"), "")}
	}
	if ref.FieldPath == "" {
		return field.ErrorList{field.Required(path.Child("fieldPath"), "")}
	}
	if allowed(ref.FieldPath) {
		return nil
	}
	if strings.Contains(ref.FieldPath, "[") {
		return field.ErrorList{field.Invalid(path.Child("fieldPath"), ref.FieldPath, "invalid key")}
	}
	values := []string{"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}
	if allowed("metadata.labels") {
		values = []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
	}
	return field.ErrorList{field.NotSupported(path.Child("fieldPath"), ref.FieldPath, values)}
}

func validateResourceRef(ref *corev1.ResourceFieldSelector, volume bool, path *field.Path) field.ErrorList {
	switch {
	case volume && ref.ContainerName == "":
		return field.ErrorList{field.Required(path.Child("containerName"), "")}
	case ref.Resource == "":
		return field.ErrorList{field.Required(path.Child("resource"), "")}
	}
	values := []string{"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"}
	for _, v := range values {
		if ref.Resource == v {
			return nil
		}
	}
	if strings.HasPrefix(ref.Resource, "limits.hugepages-") || strings.HasPrefix(ref.Resource, "requests.hugepages-") {
		return nil
	}
	return field.ErrorList{field.NotSupported(path.Child("resource"), ref.Resource, values)}
}

func validateDownwardItems(items []corev1.DownwardAPIVolumeFile, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, item := range items {
		p := path.Index(i)
		if item.Path == "" {
			errs = append(errs, field.Required(p.Child("path"), ""))
		}
		errs = append(errs, localPath(p.Child("path"), item.Path)...)
		errs = append(errs, fileMode(p.Child("mode"), item.Mode)...)
		switch {
		case item.FieldRef != nil && item.ResourceFieldRef != nil:
			errs = append(errs, field.Invalid(p, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		case item.FieldRef != nil:
			errs = append(errs, validateFieldRef(item.FieldRef, p.Child("fieldRef"), isVolumeField)...)
		case item.ResourceFieldRef != nil:
			errs = append(errs, validateResourceRef(item.ResourceFieldRef, true, p.Child("resourceFieldRef"))...)
		default:
			errs = append(errs, field.Required(p, "one of fieldRef and resourceFieldRef is required"))
		}
	}
	return errs
}
