// Package namespace decides how the content of a namespace that is being deleted goes away.
//
// Pods are deleted first, so that nothing a running pod relies on (its network policy, its secrets) disappears
// under it (KEP-5080); when none is left, everything else is. The namespace's conditions say what remains. When
// the namespace is empty its finalizer "kubernetes" is dropped through the finalize subresource, and the API
// server removes it.
//
// [New] is a value for package controller (or package sim) to run; it is pure and keeps no state of its own.
package namespace
