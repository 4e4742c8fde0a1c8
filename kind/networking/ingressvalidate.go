package networking

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// lenient is what is not checked of a changed ingress, because the old one has it already.
type lenient struct {
	secretNames   bool
	wildcardRules bool
}

func validateNewIngress(in *networkingv1.Ingress) field.ErrorList {
	errs := validateIngress(in, lenient{})
	if class, set := in.Annotations[classAnnotation]; set && in.Spec.IngressClassName != nil && class != *in.Spec.IngressClassName {
		errs = append(errs, field.Invalid(field.NewPath("annotations", classAnnotation), class, "must match `ingressClassName` when both are specified"))
	}
	return errs
}

func validateIngressUpdate(in, old *networkingv1.Ingress) field.ErrorList {
	var bear lenient
	for _, t := range old.Spec.TLS {
		bear.secretNames = bear.secretNames || len(secretName(t.SecretName)) > 0
	}
	for i := range old.Spec.Rules {
		r := &old.Spec.Rules[i]
		bear.wildcardRules = bear.wildcardRules || strings.Contains(r.Host, "*") && len(validateRuleValue(r, nil)) > 0
	}
	return validateIngress(in, bear)
}

func secretName(name string) []string {
	if name == "" {
		return nil
	}
	return apivalidation.NameIsDNSSubdomain(name, false)
}

func validateIngress(in *networkingv1.Ingress, bear lenient) field.ErrorList {
	path, spec := field.NewPath("spec"), &in.Spec
	var errs field.ErrorList
	if len(spec.Rules) == 0 && spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(path, spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if spec.DefaultBackend != nil {
		errs = append(errs, validateBackend(spec.DefaultBackend, path.Child("defaultBackend"))...)
	}
	for i := range spec.Rules {
		r, at := &spec.Rules[i], path.Child("rules").Index(i)
		errs = append(errs, validateRuleHost(r.Host, at.Child("host"))...)
		if !bear.wildcardRules || !strings.Contains(r.Host, "*") {
			errs = append(errs, validateRuleValue(r, at)...)
		}
	}
	for i, t := range spec.TLS {
		p := path.Child("tls").Index(i)
		for j, host := range t.Hosts {
			errs = append(errs, validateHost(host, p.Child("hosts").Index(j))...)
		}
		if !bear.secretNames {
			for _, msg := range secretName(t.SecretName) {
				errs = append(errs, field.Invalid(p.Child("secretName"), t.SecretName, msg))
			}
		}
	}
	if c := spec.IngressClassName; c != nil {
		for _, msg := range apivalidation.NameIsDNSSubdomain(*c, false) {
			errs = append(errs, field.Invalid(path.Child("ingressClassName"), *c, msg))
		}
	}
	return errs
}

func validateHost(host string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.Contains(host, "*") {
		for _, msg := range validation.IsWildcardDNS1123Subdomain(host) {
			errs = append(errs, field.Invalid(path, host, msg))
		}
		return errs
	}
	for _, msg := range validation.IsDNS1123Subdomain(host) {
		errs = append(errs, field.Invalid(path, host, msg))
	}
	return errs
}

func validateRuleHost(host string, path *field.Path) field.ErrorList {
	if host == "" {
		return nil
	}
	errs := validateHost(host, path)
	if len(validation.IsValidIPForLegacyField(path, host, false, nil)) == 0 {
		errs = append(errs, field.Invalid(path, host, "must be a DNS name, not an IP address"))
	}
	return errs
}

func validateRuleValue(r *networkingv1.IngressRule, path *field.Path) field.ErrorList {
	if r.HTTP == nil {
		return nil
	}
	var errs field.ErrorList
	paths := path.Child("http", "paths")
	if len(r.HTTP.Paths) == 0 {
		errs = append(errs, field.Required(paths, ""))
	}
	for i := range r.HTTP.Paths {
		errs = append(errs, validateHTTPPath(&r.HTTP.Paths[i], paths.Index(i))...)
	}
	return errs
}

func validateHTTPPath(h *networkingv1.HTTPIngressPath, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	types := []networkingv1.PathType{networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix}
	switch {
	case h.PathType == nil:
		return field.ErrorList{field.Required(path.Child("pathType"), "pathType must be specified")}
	case *h.PathType == networkingv1.PathTypeExact, *h.PathType == networkingv1.PathTypePrefix:
		p := path.Child("path")
		if !strings.HasPrefix(h.Path, "/") {
			errs = append(errs, field.Invalid(p, h.Path, "must be an absolute path"))
		}
		for _, bad := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(h.Path, bad) {
				errs = append(errs, field.Invalid(p, h.Path, fmt.Sprintf("must not contain '%s'", bad)))
			}
		}
		for _, bad := range []string{"/..", "/."} {
			if strings.HasSuffix(h.Path, bad) {
				errs = append(errs, field.Invalid(p, h.Path, fmt.Sprintf("cannot end with '%s'", bad)))
			}
		}
	case *h.PathType == networkingv1.PathTypeImplementationSpecific:
		if h.Path != "" && !strings.HasPrefix(h.Path, "/") {
			errs = append(errs, field.Invalid(path.Child("path"), h.Path, "must be an absolute path"))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("pathType"), *h.PathType, types))
	}
	return append(errs, validateBackend(&h.Backend, path.Child("backend"))...)
}

func validateBackend(b *networkingv1.IngressBackend, path *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(path, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateReference(b.Resource.APIGroup, b.Resource.Kind, b.Resource.Name, path.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Invalid(path, "", "resource or service backend is required")}
	}
	var errs field.ErrorList
	p := path.Child("service")
	if b.Service.Name == "" {
		errs = append(errs, field.Required(p.Child("name"), ""))
	} else {
		for _, msg := range apivalidation.NameIsDNSLabel(b.Service.Name, false) {
			errs = append(errs, field.Invalid(p.Child("name"), b.Service.Name, msg))
		}
	}
	name, number := b.Service.Port.Name, b.Service.Port.Number
	switch {
	case name != "" && number != 0:
		errs = append(errs, field.Invalid(path, "", "cannot set both port name & port number"))
	case name == "" && number == 0:
		errs = append(errs, field.Required(path, "port name or number is required"))
	case name != "":
		for _, msg := range validation.IsValidPortName(name) {
			errs = append(errs, field.Invalid(p.Child("port", "name"), name, msg))
		}
	default:
		for _, msg := range validation.IsValidPortNum(int(number)) {
			errs = append(errs, field.Invalid(p.Child("port", "number"), number, msg))
		}
	}
	return errs
}

func validateReference(group *string, kindName, name string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if group != nil {
		for _, msg := range validation.IsDNS1123Subdomain(*group) {
			errs = append(errs, field.Invalid(path.Child("apiGroup"), *group, msg))
		}
	}
	return append(errs, kind.ValidateReference(kindName, name, path)...)
}

func validateIngressStatus(in, old *networkingv1.Ingress) field.ErrorList {
	var known []string
	for _, at := range old.Status.LoadBalancer.Ingress {
		known = append(known, at.IP)
	}
	var errs field.ErrorList
	for i, at := range in.Status.LoadBalancer.Ingress {
		path := field.NewPath("status", "loadBalancer", "ingress").Index(i)
		if at.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(path.Child("ip"), at.IP, true, known)...)
		}
		if at.Hostname != "" {
			for _, msg := range validation.IsDNS1123Subdomain(at.Hostname) {
				errs = append(errs, field.Invalid(path.Child("hostname"), at.Hostname, msg))
			}
			if len(validation.IsValidIPForLegacyField(path, at.Hostname, false, nil)) == 0 {
				errs = append(errs, field.Invalid(path.Child("hostname"), at.Hostname, "must be a DNS name, not an IP address"))
			}
		}
	}
	return errs
}
