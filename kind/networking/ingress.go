package networking

import (
	"fmt"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"

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

		Validate:       validateNewIngress,
		ValidateUpdate: validateIngressUpdate,
		Warnings: func(in *networkingv1.Ingress) []string {
			if _, set := in.Annotations[classAnnotation]; set && in.Spec.IngressClassName == nil {
				return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", classAnnotation)}
			}
			return nil
		},
		UpdateWarnings: func(_, _ *networkingv1.Ingress) []string { return nil },

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

func ingressRow(in *networkingv1.Ingress, now time.Time) []any {
	class := "<none>"
	if in.Spec.IngressClassName != nil {
		class = *in.Spec.IngressClassName
	}
	ports := "80"
	if len(in.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	return []any{in.Name, class, hosts(in.Spec.Rules), addresses(in), ports, kind.Age(in, now)}
}

// hosts prints the first three hosts, and how many more rules there are.
func hosts(rules []networkingv1.IngressRule) string {
	const shown = 3
	var list []string
	more := ""
	for i := range rules {
		if len(list) == shown {
			more = fmt.Sprintf(" + %d more...", len(rules)-shown)
			break
		}
		if rules[i].Host != "" {
			list = append(list, rules[i].Host)
		}
	}
	if len(list) == 0 {
		return "*"
	}
	return strings.Join(list, ",") + more
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
