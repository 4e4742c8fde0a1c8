package discovery

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
)

// What a slice may hold at most, as the API documents.
const (
	maxEndpoints = 1000
	maxAddresses = 100
	maxPorts     = 20000
	maxHints     = 8
)

// EndpointSlice returns the kind EndpointSlice.
func EndpointSlice() *kind.Kind {
	return kind.Typed[*discoveryv1.EndpointSlice]{
		ID: kind.EndpointSlices, Version: discoveryv1.SchemeGroupVersion, Name: "EndpointSlice", Singular: "endpointslice",
		New:     func() *discoveryv1.EndpointSlice { return new(discoveryv1.EndpointSlice) },
		NewList: func() runtime.Object { return new(discoveryv1.EndpointSliceList) },

		Default: func(s *discoveryv1.EndpointSlice) {
			for i := range s.Ports {
				if s.Ports[i].Name == nil {
					s.Ports[i].Name = new("")
				}
				if s.Ports[i].Protocol == nil {
					s.Ports[i].Protocol = new(corev1.ProtocolTCP)
				}
			}
		},
		// Everything but metadata counts, and labels do, since they say whose slice it is.
		Counted: func(s *discoveryv1.EndpointSlice) any {
			return discoveryv1.EndpointSlice{
				ObjectMeta:  metav1.ObjectMeta{Labels: s.Labels},
				AddressType: s.AddressType, Endpoints: s.Endpoints, Ports: s.Ports,
			}
		},
		// deprecatedTopology is of an older version, and not written any more in this one.
		PrepareCreate: dropTopology,
		PrepareUpdate: func(s, old *discoveryv1.EndpointSlice) {
			if !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
				dropTopology(s)
			}
		},
		Validate: validateSlice,
		Warnings: sliceWarnings,
		ValidateUpdate: func(s, old *discoveryv1.EndpointSlice) field.ErrorList {
			return append(validateSlice(s), kind.Immutable(field.NewPath("addressType"), s.AddressType, old.AddressType)...)
		},

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("AddressType", "string", "What kind of addresses the slice holds."),
			kind.Column("Ports", "string", "Ports of each endpoint."),
			kind.Column("Endpoints", "string", "Addresses of the endpoints."),
			kind.AgeColumn(),
		},
		Row: func(s *discoveryv1.EndpointSlice, now time.Time) []any {
			return []any{s.Name, string(s.AddressType), portsText(s.Ports), addressesText(s.Endpoints), kind.Age(s, now)}
		},
	}.Kind()
}

func dropTopology(s *discoveryv1.EndpointSlice) {
	for i := range s.Endpoints {
		s.Endpoints[i].DeprecatedTopology = nil
	}
}

func validateSlice(s *discoveryv1.EndpointSlice) field.ErrorList {
	errs := core.OneOf(field.NewPath("addressType"), s.AddressType,
		discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6)
	errs = append(errs, validateEndpoints(s, field.NewPath("endpoints"))...)
	return append(errs, validatePorts(s.Ports, field.NewPath("ports"))...)
}

func validateEndpoints(s *discoveryv1.EndpointSlice, path *field.Path) field.ErrorList {
	if len(s.Endpoints) > maxEndpoints {
		return field.ErrorList{field.TooMany(path, len(s.Endpoints), maxEndpoints)}
	}
	var errs field.ErrorList
	for i := range s.Endpoints {
		e, p := &s.Endpoints[i], path.Index(i)
		addresses := p.Child("addresses")
		switch {
		case len(e.Addresses) == 0:
			errs = append(errs, field.Required(addresses, ""))
		case len(e.Addresses) > maxAddresses:
			errs = append(errs, field.TooMany(addresses, len(e.Addresses), maxAddresses))
		}
		for j, a := range e.Addresses {
			errs = append(errs, validateAddress(s.AddressType, a, addresses.Index(j))...)
		}
		if e.NodeName != nil {
			for _, msg := range validation.IsDNS1123Subdomain(*e.NodeName) {
				errs = append(errs, field.Invalid(p.Child("nodeName"), *e.NodeName, msg))
			}
		}
		if e.Hostname != nil {
			for _, msg := range validation.IsDNS1123Label(*e.Hostname) {
				errs = append(errs, field.Invalid(p.Child("hostname"), *e.Hostname, msg))
			}
		}
		if e.Hints != nil {
			errs = append(errs, validateHints(e.Hints, p.Child("hints"))...)
		}
	}
	return errs
}

// validateHints checks for which zones and nodes an endpoint is meant.
func validateHints(h *discoveryv1.EndpointHints, path *field.Path) field.ErrorList {
	zones, nodes := make([]string, len(h.ForZones)), make([]string, len(h.ForNodes))
	for i, z := range h.ForZones {
		zones[i] = z.Name
	}
	for i, n := range h.ForNodes {
		nodes[i] = n.Name
	}
	return append(validateHintNames(zones, validation.IsValidLabelValue, path.Child("forZones")),
		validateHintNames(nodes, validation.IsDNS1123Subdomain, path.Child("forNodes"))...)
}

func validateHintNames(names []string, check func(string) []string, path *field.Path) field.ErrorList {
	if len(names) > maxHints {
		return field.ErrorList{field.TooMany(path, len(names), maxHints)}
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, name := range names {
		p := path.Index(i).Child("name")
		if seen.Has(name) {
			errs = append(errs, field.Duplicate(p, name))
		}
		seen.Insert(name)
		for _, msg := range check(name) {
			errs = append(errs, field.Invalid(p, name, msg))
		}
	}
	return errs
}

func validateAddress(t discoveryv1.AddressType, text string, path *field.Path) field.ErrorList {
	switch t {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
		errs := validation.IsValidIPForLegacyField(path, text, true, nil)
		if len(errs) > 0 {
			return errs
		}
		addr, err := netip.ParseAddr(text)
		if err == nil && addr.Is4() != (t == discoveryv1.AddressTypeIPv4) {
			return field.ErrorList{field.Invalid(path, text, fmt.Sprintf("must be an %s address", t))}
		}
		return core.PublicAddress(path, text)
	case discoveryv1.AddressTypeFQDN:
		return validation.IsFullyQualifiedDomainName(path, text)
	}
	return nil // the type itself is refused
}

func validatePorts(ports []discoveryv1.EndpointPort, path *field.Path) field.ErrorList {
	if len(ports) > maxPorts {
		return field.ErrorList{field.TooMany(path, len(ports), maxPorts)}
	}
	var errs field.ErrorList
	names := sets.New[string]()
	for i, port := range ports {
		p := path.Index(i)
		if name := *port.Name; name != "" {
			for _, msg := range validation.IsDNS1123Label(name) {
				errs = append(errs, field.Invalid(p.Child("name"), name, msg))
			}
		}
		if names.Has(*port.Name) {
			errs = append(errs, field.Duplicate(p.Child("name"), *port.Name))
		}
		names.Insert(*port.Name)
		errs = append(errs, core.Supported(p.Child("protocol"), *port.Protocol, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)...)
		if port.Port != nil {
			for _, msg := range validation.IsValidPortNum(int(*port.Port)) {
				errs = append(errs, field.Invalid(p.Child("port"), *port.Port, msg))
			}
		}
		if port.AppProtocol != nil {
			for _, msg := range validation.IsQualifiedName(*port.AppProtocol) {
				errs = append(errs, field.Invalid(p.Child("appProtocol"), *port.AppProtocol, msg))
			}
		}
	}
	return errs
}

func sliceWarnings(s *discoveryv1.EndpointSlice) []string {
	var warnings []string
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		return append(warnings, "spec.addressType: FQDN endpoints are deprecated")
	}
	switch s.Labels[discoveryv1.LabelManagedBy] {
	case "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io": // they mend what they are given
		return nil
	}
	for i := range s.Endpoints {
		for j, a := range s.Endpoints[i].Addresses {
			warnings = append(warnings, validation.GetWarningsForIP(field.NewPath("endpoints").Index(i).Child("addresses").Index(j), a)...)
		}
	}
	return warnings
}

func portsText(ports []discoveryv1.EndpointPort) string {
	var list []string
	for _, p := range ports {
		switch {
		case p.Port != nil:
			list = append(list, strconv.Itoa(int(*p.Port)))
		case p.Name != nil:
			list = append(list, *p.Name)
		default:
			list = append(list, "*")
		}
	}
	return firstThree(list)
}

func addressesText(endpoints []discoveryv1.Endpoint) string {
	var list []string
	for i := range endpoints {
		list = append(list, endpoints[i].Addresses...)
	}
	return firstThree(list)
}

func firstThree(list []string) string {
	const shown = 3
	if len(list) > shown {
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:shown], ","), len(list)-shown)
	}
	return cmp.Or(strings.Join(list, ","), "<unset>")
}
