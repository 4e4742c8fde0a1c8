package core

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateEnv(vars []corev1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range vars {
		v := &vars[i]
		if v.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("name"), ""))
		} else if msgs := validation.IsRelaxedEnvVarName(v.Name); len(msgs) > 0 {
			errs = append(errs, invalids(path.Index(i).Child("name"), v.Name, msgs)...)
		}
		if v.ValueFrom != nil {
			errs = append(errs, validateEnvSource(v, path.Index(i).Child("valueFrom"))...)
		}
	}
	return errs
}

func validateEnvSource(v *corev1.EnvVar, path *field.Path) field.ErrorList {
	from := v.ValueFrom
	var errs field.ErrorList
	n := 0
	if ref := from.FieldRef; ref != nil {
		n++
		errs = append(errs, validateFieldRef(ref, path.Child("fieldRef"), envFields())...)
	}
	if ref := from.ResourceFieldRef; ref != nil {
		n++
		errs = append(errs, validateResourceRef(ref, false, path.Child("resourceFieldRef"))...)
	}
	if ref := from.ConfigMapKeyRef; ref != nil {
		n++
		errs = append(errs, validateKeyRef(ref.Name, ref.Key, path.Child("configMapKeyRef"))...)
	}
	if ref := from.SecretKeyRef; ref != nil {
		n++
		errs = append(errs, validateKeyRef(ref.Name, ref.Key, path.Child("secretKeyRef"))...)
	}
	if ref := from.FileKeyRef; ref != nil {
		n++
		errs = append(errs, validateFileKeyRef(ref, path.Child("fileKeyRef"))...)
	}
	switch {
	case n == 0:
		errs = append(errs, field.Invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"))
	case v.Value != "":
		errs = append(errs, field.Invalid(path, "", "may not be specified when `value` is not empty"))
	case n > 1:
		errs = append(errs, field.Invalid(path, "", "may not have more than one field specified at a time"))
	}
	return errs
}

func validateKeyRef(name, key string, path *field.Path) field.ErrorList {
	errs := subdomainIn(path, "name", name)
	if key == "" {
		return append(errs, field.Required(path.Child("key"), ""))
	}
	return append(errs, invalids(path.Child("key"), key, validation.IsConfigMapKey(key))...)
}

// validateFileKeyRef checks a variable that comes from a file which another container writes (KEP-3721).
func validateFileKeyRef(ref *corev1.FileKeySelector, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if ref.Key == "" {
		errs = append(errs, field.Required(path.Child("key"), ""))
	} else {
		errs = append(errs, invalids(path.Child("key"), ref.Key, validation.IsRelaxedEnvVarName(ref.Key))...)
	}
	errs = append(errs, nameIn(path, "volumeName", ref.VolumeName)...)
	if ref.Path == "" {
		return append(errs, field.Required(path.Child("path"), ""))
	}
	return append(errs, noBackSteps(path.Child("path"), ref.Path)...)
}

// validateEnvFiles checks that the files of variables are in volumes that the pod's containers can write. A volume need
// not be right to be found, and of several with a name the last one counts.
func (pod *podRules) validateEnvFiles(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	var volumes map[string]*corev1.Volume
	eachContainer(pod.PodSpec, path, func(c *corev1.Container, at containerAt) {
		for i := range c.Env {
			from := c.Env[i].ValueFrom
			if from == nil || from.FileKeyRef == nil {
				continue
			}
			if volumes == nil {
				volumes = make(map[string]*corev1.Volume, len(pod.Volumes))
				for j := range pod.Volumes {
					volumes[pod.Volumes[j].Name] = &pod.Volumes[j]
				}
			}
			name := from.FileKeyRef.VolumeName
			p := at.path().Child("env").Index(i).Child("valueFrom", "fileKeyRef", "volumeName")
			switch v := volumes[name]; {
			case v == nil:
				errs = append(errs, field.NotFound(p, name))
			case v.EmptyDir == nil:
				errs = append(errs, field.Invalid(p, name, "referenced volume must be of type emptyDir"))
			}
		}
	})
	return errs
}

// validateEnvFrom reports a wrong number of sources on the list, as upstream does.
func validateEnvFrom(sources []corev1.EnvFromSource, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	name := func(ref *field.Path, name string) {
		if name == "" {
			errs = append(errs, field.Required(ref.Child("name"), ""))
		} else {
			errs = append(errs, invalids(ref.Child("name"), name, apivalidation.NameIsDNSSubdomain(name, true))...)
		}
	}
	for i, from := range sources {
		p := path.Index(i)
		if from.Prefix != "" {
			errs = append(errs, invalids(p.Child("prefix"), from.Prefix, validation.IsRelaxedEnvVarName(from.Prefix))...)
		}
		n := 0
		if from.ConfigMapRef != nil {
			n++
			name(p.Child("configMapRef"), from.ConfigMapRef.Name)
		}
		if from.SecretRef != nil {
			n++
			name(p.Child("secretRef"), from.SecretRef.Name)
		}
		switch {
		case n == 0:
			errs = append(errs, field.Invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
		case n > 1:
			errs = append(errs, field.Invalid(path, "", "may not have more than one field specified at a time"))
		}
	}
	return errs
}
