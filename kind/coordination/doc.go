// Package coordination holds the kinds of the API group coordination.k8s.io/v1: Lease. Everything is pure and
// safe for concurrent use.
package coordination
