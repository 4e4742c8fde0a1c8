package networking

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	pathvalidation "k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// classAnnotation is the older way to name the class of an ingress.
const classAnnotation = "kubernetes.io/ingress.class"

// Ingress returns the kind Ingress.
func Ingress() *kind.Kind {
	return kind.Typed[*networkingv1.Ingress]{
		ID: kind.Ingresses, Version: networkingv1.SchemeGroupVersion, Name: "Ingress", Singular: "ingress",
		ShortNames: []string{"ing"},
		New:        func() *networkingv1.Ingress { return new(networkingv1.Ingress) },
		NewList:    func() runtime.Object { return new(networkingv1.IngressList) },

		Counted:       func(in *networkingv1.Ingress) any { return &in.Spec },
		PrepareCreate: func(in *networkingv1.Ingress) { in.Status = networkingv1.IngressStatus{} },
		PrepareUpdate: func(in, old *networkingv1.Ingress) { in.Status = *old.Status.DeepCopy() },

		Validate: func(in *networkingv1.Ingress) field.ErrorList {
			errs := validateIngress(in)
			if in.Annotations[classAnnotation] != "" && in.Spec.IngressClassName != nil && in.Annotations[classAnnotation] != *in.Spec.IngressClassName {
				errs = append(errs, field.Invalid(field.NewPath("annotations", classAnnotation), in.Annotations[classAnnotation],
					"must match `ingressClassName` when both are specified"))
			}
			return errs
		},
		ValidateUpdate: func(in, _ *networkingv1.Ingress) field.ErrorList { return validateIngress(in) },
		Warnings: func(in *networkingv1.Ingress) []string {
			if in.Annotations[classAnnotation] != "" {
				return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", classAnnotation)}
			}
			return nil
		},

		PrepareStatus:  func(in, old *networkingv1.Ingress) { in.Spec = *old.Spec.DeepCopy() },
		ValidateStatus: validateIngressStatus,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Class", "string", "Class, and so the controller, that it belongs to."),
			kind.Column("Hosts", "string", "Hosts that requests are accepted for."),
			kind.Column("Address", "string", "Where requests are accepted."),
			kind.Column("Ports", "string", "Ports on which they are."),
			kind.AgeColumn(),
		},
		Row: ingressRow,
	}.Kind()
}

func validateIngress(in *networkingv1.Ingress) field.ErrorList {
	path, spec := field.NewPath("spec"), &in.Spec
	var errs field.ErrorList
	if len(spec.Rules) == 0 && spec.DefaultBackend == nil {
		errs = append(errs, field.Invalid(path, spec.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if spec.DefaultBackend != nil {
		errs = append(errs, validateBackend(spec.DefaultBackend, path.Child("defaultBackend"))...)
	}
	for i := range spec.Rules {
		errs = append(errs, validateIngressRule(&spec.Rules[i], path.Child("rules").Index(i))...)
	}
	for i, t := range spec.TLS {
		p := path.Child("tls").Index(i)
		for j, host := range t.Hosts {
			errs = append(errs, validateHost(host, p.Child("hosts").Index(j))...)
		}
		if t.SecretName != "" {
			for _, msg := range apivalidation.NameIsDNSSubdomain(t.SecretName, false) {
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

func validateIngressRule(r *networkingv1.IngressRule, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Host != "" {
		if len(validation.IsValidIP(path.Child("host"), r.Host)) == 0 {
			errs = append(errs, field.Invalid(path.Child("host"), r.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, validateHost(r.Host, path.Child("host"))...)
	}
	if r.HTTP == nil {
		return errs
	}
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
		return validateResourceRef(b.Resource, path.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Required(path, "must specify either a service or resource backend")}
	}
	var errs field.ErrorList
	p := path.Child("service")
	if b.Service.Name == "" {
		errs = append(errs, field.Required(p.Child("name"), ""))
	} else {
		for _, msg := range apivalidation.NameIsDNS1035Label(b.Service.Name, false) {
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

func validateResourceRef(ref *corev1.TypedLocalObjectReference, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if ref.APIGroup != nil {
		for _, msg := range validation.IsDNS1123Subdomain(*ref.APIGroup) {
			errs = append(errs, field.Invalid(path.Child("apiGroup"), *ref.APIGroup, msg))
		}
	}
	for _, f := range []struct{ name, value string }{{"kind", ref.Kind}, {"name", ref.Name}} {
		if f.value == "" {
			errs = append(errs, field.Required(path.Child(f.name), f.name+" is required"))
			continue
		}
		for _, msg := range pathvalidation.IsValidPathSegmentName(f.value) {
			errs = append(errs, field.Invalid(path.Child(f.name), f.value, msg))
		}
	}
	return errs
}

func validateIngressStatus(in, _ *networkingv1.Ingress) field.ErrorList {
	var errs field.ErrorList
	for i, at := range in.Status.LoadBalancer.Ingress {
		path := field.NewPath("status", "loadBalancer", "ingress").Index(i)
		if at.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(path.Child("ip"), at.IP, true, nil)...)
		}
		if at.Hostname != "" {
			for _, msg := range validation.IsDNS1123Subdomain(at.Hostname) {
				errs = append(errs, field.Invalid(path.Child("hostname"), at.Hostname, msg))
			}
			if len(validation.IsValidIP(path, at.Hostname)) == 0 {
				errs = append(errs, field.Invalid(path.Child("hostname"), at.Hostname, "must be a DNS name, not an IP address"))
			}
		}
	}
	return errs
}

func ingressRow(in *networkingv1.Ingress, now time.Time) []any {
	class := "<none>"
	if in.Spec.IngressClassName != nil {
		class = *in.Spec.IngressClassName
	} else if c := in.Annotations[classAnnotation]; c != "" {
		class = c
	}
	ports := "80"
	if len(in.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	return []any{in.Name, class, hosts(in.Spec.Rules), addresses(in), ports, kind.Age(in, now)}
}

func hosts(rules []networkingv1.IngressRule) string {
	const shown = 3
	var list []string
	for i := range rules {
		if rules[i].Host != "" {
			list = append(list, rules[i].Host)
		}
	}
	switch {
	case len(list) == 0:
		return "*"
	case len(list) > shown:
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:shown], ","), len(list)-shown)
	}
	return strings.Join(list, ",")
}

func addresses(in *networkingv1.Ingress) string {
	seen := sets.New[string]()
	for _, at := range in.Status.LoadBalancer.Ingress {
		if at.IP != "" {
			seen.Insert(at.IP)
		} else if at.Hostname != "" {
			seen.Insert(at.Hostname)
		}
	}
	return strings.Join(sets.List(seen), ",")
}
