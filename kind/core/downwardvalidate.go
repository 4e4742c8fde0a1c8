package core

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// envFields are the fields of its pod that an environment variable may take its value from.
func envFields() []string {
	return []string{"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"}
}

// fileFields are the fields of its pod that a file of a downward API volume may hold.
func fileFields() []string {
	return []string{"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"}
}

// validateFieldRef checks a reference to a field of the pod: one of those allowed, or one label or annotation.
func validateFieldRef(ref *corev1.ObjectFieldSelector, path *field.Path, allowed []string) field.ErrorList {
	switch {
	case ref.APIVersion == "":
		return field.ErrorList{field.Required(path.Child("apiVersion"), "")}
	case ref.FieldPath == "":
		return field.ErrorList{field.Required(path.Child("fieldPath"), "")}
	}
	unknown := func(why string) field.ErrorList {
		return field.ErrorList{field.Invalid(path.Child("fieldPath"), ref.FieldPath, "error converting fieldPath: "+why)}
	}
	if ref.APIVersion != "v1" {
		return unknown("unsupported pod version: " + ref.APIVersion)
	}
	if name, key, ok := splitSubscript(ref.FieldPath); ok {
		switch name {
		case "metadata.annotations":
			return qualifiedName(path, strings.ToLower(key))
		case "metadata.labels":
			return qualifiedName(path, key)
		}
		return unknown("field label does not support subscript: " + ref.FieldPath)
	}
	name := ref.FieldPath
	switch name {
	case "spec.host": // what spec.nodeName was called first
		name = "spec.nodeName"
	case "spec.restartPolicy", "spec.schedulerName", "status.phase":
	default:
		if !slices.Contains(envFields(), name) && !slices.Contains(fileFields(), name) {
			return unknown("field label not supported: " + name)
		}
	}
	return supported(path.Child("fieldPath"), name, allowed...)
}

// splitSubscript takes apart a path such as metadata.labels['key'].
func splitSubscript(path string) (name, key string, ok bool) {
	rest, ok := strings.CutSuffix(path, "']")
	if !ok {
		return "", "", false
	}
	name, key, ok = strings.Cut(rest, "['")
	return name, key, ok && name != ""
}

func validateResourceRef(ref *corev1.ResourceFieldSelector, volume bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	huge := strings.HasPrefix(ref.Resource, "limits.hugepages-") || strings.HasPrefix(ref.Resource, "requests.hugepages-")
	switch {
	case volume && ref.ContainerName == "":
		errs = append(errs, field.Required(path.Child("containerName"), ""))
	case ref.Resource == "":
		errs = append(errs, field.Required(path.Child("resource"), ""))
	case !huge:
		errs = append(errs, supported(path.Child("resource"), ref.Resource, "limits.cpu", "limits.ephemeral-storage", "limits.memory",
			"requests.cpu", "requests.ephemeral-storage", "requests.memory")...)
	}
	return append(errs, validateDivisor(ref.Resource, ref.Divisor, path.Child("divisor"))...)
}

// validateDivisor checks the unit in which a resource is told: thousandths are for CPU, the rest is in bytes.
func validateDivisor(name string, divisor resource.Quantity, path *field.Path) field.ErrorList {
	if divisor.IsZero() {
		return nil
	}
	_, unit, _ := strings.Cut(name, ".")
	switch {
	case unit == "cpu":
		if d := divisor.String(); d != "1m" && d != "1" {
			return field.ErrorList{field.Invalid(path, name, "only divisor's values 1m and 1 are supported with the cpu resource")}
		}
		return nil
	case unit == "memory":
	case unit == "ephemeral-storage":
		unit = "local ephemeral storage"
	case strings.HasPrefix(unit, "hugepages-"):
		unit = "hugepages"
	default:
		return nil
	}
	switch divisor.String() {
	case "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei":
		return nil
	}
	return field.ErrorList{field.Invalid(path, name,
		"only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the "+unit+" resource")}
}

// validateDownwardFile checks a file of a downward API volume. path is the volume's: upstream does not say which file.
func validateDownwardFile(file *corev1.DownwardAPIVolumeFile, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if file.Path == "" {
		errs = append(errs, field.Required(path.Child("path"), ""))
	}
	errs = append(errs, localPath(path.Child("path"), file.Path)...)
	switch {
	case file.FieldRef != nil:
		errs = append(errs, validateFieldRef(file.FieldRef, path.Child("fieldRef"), fileFields())...)
		if file.ResourceFieldRef != nil {
			errs = append(errs, field.Invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		}
	case file.ResourceFieldRef != nil:
		errs = append(errs, validateResourceRef(file.ResourceFieldRef, true, path.Child("resourceFieldRef"))...)
	default:
		errs = append(errs, field.Required(path, "one of fieldRef and resourceFieldRef is required"))
	}
	errs = append(errs, fileMode(path.Child("mode"), file.Mode)...)
	return append(errs, userIn(path, "user", file.User)...)
}
