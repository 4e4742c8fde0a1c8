package answer

import "net/netip"

// Service is what names need of a Service. Addresses, Headless and External exclude each other; with none of them
// the Service has a name and nothing behind it.
type Service struct {
	Namespace, Name string
	Addresses       []netip.Addr // the cluster's addresses of the Service, IPv4 not mapped into IPv6
	Headless        bool         // the names lead to the endpoints
	External        string       // the names lead to this one
	PublishNotReady bool         // endpoints count before they are ready
	Ports           []Port
}

// Slice is what names need of an EndpointSlice.
type Slice struct {
	Namespace, Name string
	Service         string // whose endpoints these are; "" if nobody's
	Ports           []Port
	Endpoints       []Endpoint
}

// Port is a port of a Service or of all endpoints of a slice.
type Port struct {
	Name     string
	Protocol string // lower case: "tcp", "udp", "sctp"
	Number   uint16
}

// Endpoint is what one pod or machine answers at.
type Endpoint struct {
	Addresses []netip.Addr // IPv4 not mapped into IPv6
	Hostname  string       // lower case; "" if it has no name of its own
	Ready     bool
}
