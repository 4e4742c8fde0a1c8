package apiserver

import (
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateAccessReview(r *authorizationv1.SubjectAccessReview) field.ErrorList {
	errs := validateSubject(r.Spec)
	errs = append(errs, validateQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)...)
	return append(errs, noMeta(r.ObjectMeta, "must be empty")...)
}

func validateSelfAccessReview(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
	errs := validateQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return append(errs, noMeta(r.ObjectMeta, "must be empty")...)
}

func validateLocalAccessReview(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	errs := validateSubject(r.Spec)
	errs = append(errs, validateQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)...)
	meta := r.ObjectMeta
	meta.Namespace = ""
	errs = append(errs, noMeta(meta, "must be empty except for namespace")...)
	path := field.NewPath("spec")
	if a := r.Spec.ResourceAttributes; a != nil && a.Namespace != r.Namespace {
		errs = append(errs, field.Invalid(path.Child("resourceAttributes", "namespace"), a.Namespace, "must match metadata.namespace"))
	}
	if a := r.Spec.NonResourceAttributes; a != nil {
		errs = append(errs, field.Invalid(path.Child("nonResourceAttributes"), a, "disallowed on this kind of request"))
	}
	return errs
}

// noMeta checks that a question has no metadata: nothing of it is kept.
func noMeta(meta metav1.ObjectMeta, message string) field.ErrorList {
	meta.ManagedFields = nil
	if equality.Semantic.DeepEqual(metav1.ObjectMeta{}, meta) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), meta, message)}
}

func validateSubject(spec authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	if spec.User != "" || len(spec.Groups) > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "user"), spec.User, "at least one of user or group must be specified")}
}

func validateQuestion(resource *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if (resource == nil) == (path == nil) {
		errs = append(errs, field.Invalid(spec, path, "exactly one of nonResourceAttributes or resourceAttributes must be specified"))
	}
	if resource == nil {
		return errs
	}
	at := spec.Child("resourceAttributes")
	if s := resource.FieldSelector; s != nil {
		p := at.Child("fieldSelector")
		errs = append(errs, oneForm(s.RawSelector, len(s.Requirements), p)...)
		for i, r := range s.Requirements {
			errs = append(errs, metavalidation.ValidateFieldSelectorRequirement(r,
				metavalidation.FieldSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, p.Child("requirements").Index(i))...)
		}
	}
	if s := resource.LabelSelector; s != nil {
		p := at.Child("labelSelector")
		errs = append(errs, oneForm(s.RawSelector, len(s.Requirements), p)...)
		for i, r := range s.Requirements {
			errs = append(errs, metavalidation.ValidateLabelSelectorRequirement(r,
				metavalidation.LabelSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, p.Child("requirements").Index(i))...)
		}
	}
	return errs
}

// oneForm checks that a selector is given as text or as requirements.
func oneForm(raw string, requirements int, path *field.Path) field.ErrorList {
	switch {
	case raw != "" && requirements > 0:
		return field.ErrorList{field.Invalid(path.Child("rawSelector"), raw, "may not specified at the same time as requirements")}
	case raw == "" && requirements == 0:
		return field.ErrorList{field.Required(path.Child("requirements"), fmt.Sprintf("when %s is specified, requirements or rawSelector is required", path))}
	}
	return nil
}

// unreadSelectors says which selectors of a question could not be taken into account. The answer is then that to a
// broader question, which errs on the safe side.
func unreadSelectors(a *authorizationv1.ResourceAttributes) string {
	if a == nil {
		return ""
	}
	var out []string
	note := func(name string, read, unread int) {
		switch {
		case unread == 0:
		case read <= 0:
			out = append(out, "spec.resourceAttributes."+name+" ignored due to parse error")
		default:
			out = append(out, "spec.resourceAttributes."+name+" partially ignored due to parse error")
		}
	}
	if s := a.FieldSelector; s != nil {
		unread := 0
		for _, r := range s.Requirements {
			if (r.Operator != metav1.FieldSelectorOpIn && r.Operator != metav1.FieldSelectorOpNotIn) || len(r.Values) != 1 {
				unread++
			}
		}
		if s.RawSelector != "" {
			if _, err := fields.ParseSelector(s.RawSelector); err != nil {
				unread++
			}
		}
		note("fieldSelector", len(s.Requirements)-unread, unread)
	}
	if s := a.LabelSelector; s != nil {
		unread := 0
		for _, r := range s.Requirements {
			if _, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{r}}); err != nil {
				unread++
			}
		}
		if s.RawSelector != "" {
			if _, err := labels.Parse(s.RawSelector); err != nil {
				unread++
			}
		}
		note("labelSelector", len(s.Requirements)-unread, unread)
	}
	return strings.Join(out, "; ")
}

func invalidReview(name string, errs field.ErrorList) error {
	if len(errs) == 0 {
		return nil
	}
	return invalid(schema.GroupKind{Group: authorizationv1.GroupName, Kind: name}, "", errs)
}
