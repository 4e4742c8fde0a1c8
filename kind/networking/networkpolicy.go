package networking

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// NetworkPolicy returns the kind NetworkPolicy.
func NetworkPolicy() *kind.Kind {
	return kind.Typed[*networkingv1.NetworkPolicy]{
		ID: kind.NetworkPolicies, Version: networkingv1.SchemeGroupVersion, Name: "NetworkPolicy", Singular: "networkpolicy",
		ShortNames: []string{"netpol"},
		New:        func() *networkingv1.NetworkPolicy { return new(networkingv1.NetworkPolicy) },
		NewList:    func() runtime.Object { return new(networkingv1.NetworkPolicyList) },

		Default:        defaultPolicy,
		Counted:        func(p *networkingv1.NetworkPolicy) any { return &p.Spec },
		Validate:       func(p *networkingv1.NetworkPolicy) field.ErrorList { return validatePolicy(p, nil) },
		ValidateUpdate: func(p, old *networkingv1.NetworkPolicy) field.ErrorList { return validatePolicy(p, cidrs(&old.Spec)) },
		Warnings:       policyWarnings,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Pod-Selector", "string", "Labels of the pods that it is about."),
			kind.AgeColumn(),
		},
		Row: func(p *networkingv1.NetworkPolicy, now time.Time) []any {
			return []any{p.Name, metav1.FormatLabelSelector(&p.Spec.PodSelector), kind.Age(p, now)}
		},
	}.Kind()
}

func defaultPolicy(p *networkingv1.NetworkPolicy) {
	for i := range p.Spec.Ingress {
		defaultPorts(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		defaultPorts(p.Spec.Egress[i].Ports)
	}
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
}

func defaultPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			ports[i].Protocol = new(corev1.ProtocolTCP)
		}
	}
}

func validatePolicy(p *networkingv1.NetworkPolicy, known []string) field.ErrorList {
	path, spec := field.NewPath("spec"), &p.Spec
	errs := metavalidation.ValidateLabelSelector(&spec.PodSelector, metavalidation.LabelSelectorValidationOptions{}, path.Child("podSelector"))
	for i := range spec.Ingress {
		at := path.Child("ingress").Index(i)
		errs = append(errs, validatePolicyPorts(spec.Ingress[i].Ports, at.Child("ports"))...)
		errs = append(errs, validatePeers(spec.Ingress[i].From, known, at.Child("from"))...)
	}
	for i := range spec.Egress {
		at := path.Child("egress").Index(i)
		errs = append(errs, validatePolicyPorts(spec.Egress[i].Ports, at.Child("ports"))...)
		errs = append(errs, validatePeers(spec.Egress[i].To, known, at.Child("to"))...)
	}
	if len(spec.PolicyTypes) > 2 {
		return append(errs, field.Invalid(path.Child("policyTypes"), &spec.PolicyTypes, "may not specify more than two policyTypes"))
	}
	for i, t := range spec.PolicyTypes {
		if t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress {
			errs = append(errs, field.NotSupported(path.Child("policyTypes").Index(i), t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}))
		}
	}
	return errs
}

func validatePolicyPorts(ports []networkingv1.NetworkPolicyPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range ports {
		port, at := &ports[i], path.Index(i)
		if p := port.Protocol; p != nil && *p != corev1.ProtocolTCP && *p != corev1.ProtocolUDP && *p != corev1.ProtocolSCTP {
			errs = append(errs, field.NotSupported(at.Child("protocol"), *p, []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
		}
		switch {
		case port.Port == nil:
			if port.EndPort != nil {
				errs = append(errs, field.Invalid(at.Child("endPort"), *port.EndPort, "may not be specified when `port` is not specified"))
			}
		case port.Port.Type == intstr.String:
			if port.EndPort != nil {
				errs = append(errs, field.Invalid(at.Child("endPort"), *port.EndPort, "may not be specified when `port` is non-numeric"))
			}
			for _, msg := range validation.IsValidPortName(port.Port.StrVal) {
				errs = append(errs, field.Invalid(at.Child("port"), port.Port.StrVal, msg))
			}
		default:
			for _, msg := range validation.IsValidPortNum(int(port.Port.IntVal)) {
				errs = append(errs, field.Invalid(at.Child("port"), port.Port.IntVal, msg))
			}
			if end := port.EndPort; end != nil {
				if *end < port.Port.IntVal {
					errs = append(errs, field.Invalid(at.Child("endPort"), *end, "must be greater than or equal to `port`"))
				}
				for _, msg := range validation.IsValidPortNum(int(*end)) {
					errs = append(errs, field.Invalid(at.Child("endPort"), *end, msg))
				}
			}
		}
	}
	return errs
}

func validatePeers(peers []networkingv1.NetworkPolicyPeer, known []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range peers {
		peer, at := &peers[i], path.Index(i)
		n := 0
		if peer.PodSelector != nil {
			n++
			errs = append(errs, metavalidation.ValidateLabelSelector(peer.PodSelector, metavalidation.LabelSelectorValidationOptions{}, at.Child("podSelector"))...)
		}
		if peer.NamespaceSelector != nil {
			n++
			errs = append(errs, metavalidation.ValidateLabelSelector(peer.NamespaceSelector, metavalidation.LabelSelectorValidationOptions{}, at.Child("namespaceSelector"))...)
		}
		if peer.IPBlock != nil {
			errs = append(errs, validateBlock(peer.IPBlock, known, at.Child("ipBlock"))...)
		}
		switch {
		case n == 0 && peer.IPBlock == nil:
			errs = append(errs, field.Required(at, "must specify a peer"))
		case n > 0 && peer.IPBlock != nil:
			errs = append(errs, field.Forbidden(at, "may not specify both ipBlock and another peer"))
		}
	}
	return errs
}

// validateBlock checks a block of addresses; known are those of the old policy, which are not checked again.
func validateBlock(b *networkingv1.IPBlock, known []string, path *field.Path) field.ErrorList {
	if b.CIDR == "" {
		return field.ErrorList{field.Required(path.Child("cidr"), "")}
	}
	errs := validation.IsValidCIDRForLegacyField(path.Child("cidr"), b.CIDR, true, known)
	block, err := netip.ParsePrefix(b.CIDR)
	if err != nil {
		return errs // refused above, or of an old form that the old policy has
	}
	for i, text := range b.Except {
		at := path.Child("except").Index(i)
		errs = append(errs, validation.IsValidCIDRForLegacyField(at, text, true, known)...)
		if except, err := netip.ParsePrefix(text); err == nil && (!block.Contains(except.Addr()) || except.Bits() <= block.Bits()) {
			errs = append(errs, field.Invalid(at, text, "must be a strict subset of `cidr`"))
		}
	}
	return errs
}

// forBlocks calls do for each block of addresses of a policy.
func forBlocks(spec *networkingv1.NetworkPolicySpec, do func(b *networkingv1.IPBlock, path *field.Path)) {
	peers := func(list []networkingv1.NetworkPolicyPeer, path *field.Path) {
		for i := range list {
			if b := list[i].IPBlock; b != nil {
				do(b, path.Index(i).Child("ipBlock"))
			}
		}
	}
	path := field.NewPath("spec")
	for i := range spec.Ingress {
		peers(spec.Ingress[i].From, path.Child("ingress").Index(i).Child("from"))
	}
	for i := range spec.Egress {
		peers(spec.Egress[i].To, path.Child("egress").Index(i).Child("to"))
	}
}

// cidrs returns every block that a policy names.
func cidrs(spec *networkingv1.NetworkPolicySpec) []string {
	var out []string
	forBlocks(spec, func(b *networkingv1.IPBlock, _ *field.Path) { out = append(append(out, b.CIDR), b.Except...) })
	return out
}

func policyWarnings(p *networkingv1.NetworkPolicy) []string {
	var warnings []string
	forBlocks(&p.Spec, func(b *networkingv1.IPBlock, path *field.Path) {
		warnings = append(warnings, validation.GetWarningsForCIDR(path.Child("cidr"), b.CIDR)...)
		for i, text := range b.Except {
			warnings = append(warnings, validation.GetWarningsForCIDR(path.Child("except").Index(i), text)...)
		}
	})
	return warnings
}
