package core

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"sampan/kind"
)

// Endpoints returns the kind Endpoints, the older form of EndpointSlice.
func Endpoints() *kind.Kind {
	return kind.Typed[*corev1.Endpoints]{
		ID: kind.Endpoints, Version: corev1.SchemeGroupVersion, Name: "Endpoints", Singular: "endpoints",
		ShortNames:     []string{"ep"},
		CreateOnUpdate: true,
		New:            func() *corev1.Endpoints { return new(corev1.Endpoints) },
		NewList:        func() runtime.Object { return new(corev1.EndpointsList) },

		Default: func(e *corev1.Endpoints) {
			for i := range e.Subsets {
				for j := range e.Subsets[i].Ports {
					if p := &e.Subsets[i].Ports[j]; p.Protocol == "" {
						p.Protocol = corev1.ProtocolTCP
					}
				}
			}
		},
		Validate:       validateEndpoints,
		ValidateUpdate: func(e, _ *corev1.Endpoints) field.ErrorList { return validateEndpoints(e) },
		Warnings:       endpointsWarnings,

		Columns: []metav1.TableColumnDefinition{
			kind.NameColumn(),
			kind.Column("Endpoints", "string", "Addresses and ports that are ready."),
			kind.AgeColumn(),
		},
		Row: func(e *corev1.Endpoints, now time.Time) []any {
			return []any{e.Name, endpointsText(e), kind.Age(e, now)}
		},
	}.Kind()
}

func validateEndpoints(e *corev1.Endpoints) field.ErrorList {
	var errs field.ErrorList
	for i := range e.Subsets {
		s, path := &e.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			errs = append(errs, field.Required(path, "must specify `addresses` or `notReadyAddresses`"))
		}
		for j, a := range s.Addresses {
			errs = append(errs, validateAddress(a, path.Child("addresses").Index(j))...)
		}
		for j, a := range s.NotReadyAddresses {
			errs = append(errs, validateAddress(a, path.Child("notReadyAddresses").Index(j))...)
		}
		for j, port := range s.Ports {
			p := path.Child("ports").Index(j)
			switch {
			case port.Name == "" && len(s.Ports) > 1:
				errs = append(errs, field.Required(p.Child("name"), ""))
			case port.Name != "":
				errs = append(errs, dnsLabel(p.Child("name"), port.Name)...)
			}
			errs = append(errs, portNumber(p.Child("port"), port.Port)...)
			errs = append(errs, protocol(p.Child("protocol"), port.Protocol)...)
			if port.AppProtocol != nil {
				errs = append(errs, qualifiedName(p.Child("appProtocol"), *port.AppProtocol)...)
			}
		}
	}
	return errs
}

func validateAddress(a corev1.EndpointAddress, path *field.Path) field.ErrorList {
	errs := validation.IsValidIPForLegacyField(path.Child("ip"), a.IP, true, nil)
	errs = append(errs, PublicAddress(path.Child("ip"), a.IP)...)
	if a.Hostname != "" {
		errs = append(errs, dnsLabel(path.Child("hostname"), a.Hostname)...)
	}
	if a.NodeName != nil {
		errs = append(errs, invalids(path.Child("nodeName"), *a.NodeName, validation.IsDNS1123Subdomain(*a.NodeName))...)
	}
	return errs
}

func endpointsWarnings(e *corev1.Endpoints) []string {
	var warnings []string
	for i := range e.Subsets {
		for _, list := range []struct {
			name      string
			addresses []corev1.EndpointAddress
		}{{"addresses", e.Subsets[i].Addresses}, {"notReadyAddresses", e.Subsets[i].NotReadyAddresses}} {
			for j, a := range list.addresses {
				warnings = append(warnings, validation.GetWarningsForIP(field.NewPath("subsets").Index(i).Child(list.name).Index(j).Child("ip"), a.IP)...)
			}
		}
	}
	return warnings
}

// PublicAddress refuses addresses that mean another machine on every machine, so that an endpoint cannot be
// used to reach services of the node itself.
func PublicAddress(path *field.Path, text string) field.ErrorList {
	ip := netutils.ParseIPSloppy(text)
	switch {
	case ip == nil:
		return field.ErrorList{field.Invalid(path, text, "must be a valid IP address")}
	case ip.IsUnspecified():
		return field.ErrorList{field.Invalid(path, text, fmt.Sprintf("may not be unspecified (%v)", text))}
	case ip.IsLoopback():
		return field.ErrorList{field.Invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")}
	case ip.IsLinkLocalUnicast():
		return field.ErrorList{field.Invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")}
	case ip.IsLinkLocalMulticast():
		return field.ErrorList{field.Invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")}
	}
	return nil
}

// endpointsText prints the first three addresses with ports, and how many there are beyond.
func endpointsText(e *corev1.Endpoints) string {
	const shown = 3
	var list []string
	n := 0
	add := func(text string) {
		n++
		if n <= shown {
			list = append(list, text)
		}
	}
	for i := range e.Subsets {
		s := &e.Subsets[i]
		if len(s.Ports) == 0 {
			for _, a := range s.Addresses {
				add(a.IP)
			}
		}
		for _, port := range s.Ports {
			for _, a := range s.Addresses {
				add(net.JoinHostPort(a.IP, strconv.Itoa(int(port.Port))))
			}
		}
	}
	text := strings.Join(list, ",")
	if n > shown {
		text += fmt.Sprintf(" + %d more...", n-shown)
	}
	if len(e.Subsets) == 0 {
		return "<none>"
	}
	return text // none are ready
}
