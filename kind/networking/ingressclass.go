package networking

import (
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

const maxControllerName = 250

// IngressClass returns the kind IngressClass.
func IngressClass() *kind.Kind {
	return kind.Typed[*networkingv1.IngressClass]{
		ID: kind.IngressClasses, Version: networkingv1.SchemeGroupVersion, Name: "IngressClass", Singular: "ingressclass",
		Cluster: true,
		New:     func() *networkingv1.IngressClass { return new(networkingv1.IngressClass) },
		NewList: func() runtime.Object { return new(networkingv1.IngressClassList) },

		Default: func(c *networkingv1.IngressClass) {
			if p := c.Spec.Parameters; p != nil && p.Scope == nil {
				p.Scope = new(networkingv1.IngressClassParametersReferenceScopeCluster)
			}
		},
		Counted: func(c *networkingv1.IngressClass) any { return &c.Spec },

		Validate: validateIngressClass,
		ValidateUpdate: func(c, old *networkingv1.IngressClass) field.ErrorList {
			return append(validateIngressClass(c),
				apivalidation.ValidateImmutableField(c.Spec.Controller, old.Spec.Controller, field.NewPath("spec", "controller"))...)
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Controller", "string", "Who serves the ingresses of this class."),
			kind.Column("Parameters", "string", "Where that controller finds its settings."),
			kind.AgeColumn(),
		},
		Row: func(c *networkingv1.IngressClass, now time.Time) []any {
			parameters := "<none>"
			if p := c.Spec.Parameters; p != nil {
				parameters = p.Kind
				if p.APIGroup != nil {
					parameters += "." + *p.APIGroup
				}
				parameters += "/" + p.Name
			}
			return []any{c.Name, c.Spec.Controller, parameters, kind.Age(c, now)}
		},
	}.Kind()
}

func validateIngressClass(c *networkingv1.IngressClass) field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	if len(c.Spec.Controller) > maxControllerName {
		errs = append(errs, field.TooLong(path.Child("controller"), "", maxControllerName))
	}
	errs = append(errs, validation.IsDomainPrefixedPath(path.Child("controller"), c.Spec.Controller)...)
	return append(errs, validateParameters(c.Spec.Parameters, path.Child("parameters"))...)
}

func validateParameters(p *networkingv1.IngressClassParametersReference, path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateReference(p.APIGroup, p.Kind, p.Name, path)
	if p.Scope == nil {
		return append(errs, field.Required(path.Child("scope"), ""))
	}
	switch scope := *p.Scope; {
	case scope == networkingv1.IngressClassParametersReferenceScopeNamespace:
		if p.Namespace == nil {
			errs = append(errs, field.Required(path.Child("namespace"), fmt.Sprintf("`parameters.scope` is set to '%s'", scope)))
		} else {
			for _, msg := range apivalidation.ValidateNamespaceName(*p.Namespace, false) {
				errs = append(errs, field.Invalid(path.Child("namespace"), *p.Namespace, msg))
			}
		}
	case scope == networkingv1.IngressClassParametersReferenceScopeCluster:
		if p.Namespace != nil {
			errs = append(errs, field.Forbidden(path.Child("namespace"), fmt.Sprintf("`parameters.scope` is set to '%s'", scope)))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("scope"), scope,
			[]string{networkingv1.IngressClassParametersReferenceScopeCluster, networkingv1.IngressClassParametersReferenceScopeNamespace}))
	}
	return errs
}
