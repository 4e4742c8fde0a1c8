// Package node holds the kinds of the API group node.k8s.io/v1: RuntimeClass. (Node itself is in the core group.)
// Everything is pure and safe for concurrent use.
package node
