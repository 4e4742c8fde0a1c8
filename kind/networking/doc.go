// Package networking holds the kinds of the API group networking.k8s.io/v1: Ingress, IngressClass and NetworkPolicy.
// Everything is pure and safe for concurrent use.
package networking
