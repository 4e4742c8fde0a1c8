// Package discovery holds the kinds of the API group discovery.k8s.io/v1: EndpointSlice. Everything is pure
// and safe for concurrent use.
package discovery
