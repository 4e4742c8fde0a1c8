package admit

import (
	networkingv1 "k8s.io/api/networking/v1"

	"sampan/kind"
	"sampan/view"
)

const (
	ingressClassAnnotation        = "kubernetes.io/ingress.class"
	ingressClassDefaultAnnotation = "ingressclass.kubernetes.io/is-default-class"
)

// DefaultIngressClass gives a new ingress that names no class the default class: of several the newest, then the
// first by name, so that a default can be changed without a gap.
func DefaultIngressClass(req *Request, snap *view.Snapshot) error {
	if req.Kind.ID != kind.Ingresses || req.Verb != Create || req.Subresource != "" {
		return nil
	}
	ingress, ok := req.Object.(*networkingv1.Ingress)
	if !ok || ingress.Spec.IngressClassName != nil {
		return nil
	}
	if _, named := ingress.Annotations[ingressClassAnnotation]; named {
		return nil
	}
	var best *networkingv1.IngressClass
	for class := range view.All[*networkingv1.IngressClass](snap, kind.IngressClasses, "") {
		if class.Annotations[ingressClassDefaultAnnotation] == "true" && (best == nil || best.CreationTimestamp.Before(&class.CreationTimestamp)) {
			best = class
		}
	}
	if best != nil {
		ingress.Spec.IngressClassName = new(best.Name)
	}
	return nil
}
