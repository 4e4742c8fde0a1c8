// Package policy holds the kinds of the API group policy/v1: PodDisruptionBudget. Everything is pure and safe for
// concurrent use.
package policy
