// Package scheduling holds the kinds of the API group scheduling.k8s.io/v1: PriorityClass. Everything is pure and safe
// for concurrent use.
package scheduling
