package core

import (
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateClaimTemplate checks a claim template of a StatefulSet. Its name is checked as that of a volume.
func ValidateClaimTemplate(claim *corev1.PersistentVolumeClaim, fp *field.Path) field.ErrorList {
	return validateClaimSpec(&claim.Spec, fp.Child("spec"))
}

func validateClaimSpec(spec *corev1.PersistentVolumeClaimSpec, fp *field.Path) field.ErrorList {
	errs := validateVolumeModes(spec.AccessModes, "at least 1 access mode is required", fp.Child("accessModes"))
	if spec.Selector != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(spec.Selector, metavalidation.LabelSelectorValidationOptions{}, fp.Child("selector"))...)
	}
	sizePath := fp.Child("resources").Key(string(corev1.ResourceStorage))
	if size, ok := spec.Resources.Requests[corev1.ResourceStorage]; !ok {
		errs = append(errs, field.Required(sizePath, ""))
	} else if size.Sign() <= 0 {
		errs = append(errs, field.Invalid(sizePath, size.String(), "must be greater than zero"))
	}
	if name := spec.StorageClassName; name != nil && *name != "" {
		errs = append(errs, className(*name, fp.Child("storageClassName"))...)
	}
	if spec.VolumeMode != nil {
		errs = append(errs, volumeMode(*spec.VolumeMode, fp.Child("volumeMode"))...)
	}
	errs = append(errs, validateDataSources(spec, fp)...)
	if name := spec.VolumeAttributesClassName; name != nil && *name != "" {
		errs = append(errs, className(*name, fp.Child("volumeAttributesClassName"))...)
	}
	return errs
}

// validateDataSources checks what a volume is to be filled with. The older field and the newer say the same, but only
// the newer can name another namespace.
func validateDataSources(spec *corev1.PersistentVolumeClaimSpec, fp *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s := spec.DataSource; s != nil {
		errs = append(errs, validateDataSource(&corev1.TypedObjectReference{APIGroup: s.APIGroup, Kind: s.Kind, Name: s.Name}, fp.Child("dataSource"))...)
	}
	if spec.DataSourceRef == nil {
		return errs
	}
	errs = append(errs, validateDataSource(spec.DataSourceRef, fp.Child("dataSourceRef"))...)
	switch elsewhere := namesNamespace(spec.DataSourceRef); {
	case spec.DataSource == nil:
	case elsewhere:
		errs = append(errs, field.Invalid(fp, fp.Child("dataSource"), "may not be specified when dataSourceRef.namespace is specified"))
	case !sameSource(spec.DataSource, spec.DataSourceRef):
		errs = append(errs, field.Invalid(fp, fp.Child("dataSource"), "must match dataSourceRef"))
	}
	return errs
}

func validateDataSource(s *corev1.TypedObjectReference, fp *field.Path) field.ErrorList {
	errs := requiredFields(fp, requiredField{"name", s.Name}, requiredField{"kind", s.Kind})
	if group := groupOf(s.APIGroup); group != "" {
		errs = append(errs, invalids(fp.Child("apiGroup"), group, validation.IsDNS1123Subdomain(group))...)
	} else if s.Kind != "PersistentVolumeClaim" {
		errs = append(errs, field.Invalid(fp, s.Kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"))
	}
	if namesNamespace(s) {
		errs = append(errs, invalids(fp.Child("namespace"), *s.Namespace, apivalidation.ValidateNamespaceName(*s.Namespace, false))...)
	}
	return errs
}

func namesNamespace(s *corev1.TypedObjectReference) bool {
	return s != nil && s.Namespace != nil && *s.Namespace != ""
}

func groupOf(group *string) string {
	if group == nil {
		return ""
	}
	return *group
}

func sameSource(s *corev1.TypedLocalObjectReference, ref *corev1.TypedObjectReference) bool {
	return (s.APIGroup == nil) == (ref.APIGroup == nil) && groupOf(s.APIGroup) == groupOf(ref.APIGroup) && s.Kind == ref.Kind && s.Name == ref.Name
}
