// Package endpointslice decides the EndpointSlices, and the Endpoints for old clients, of Services that have a selector.
//
// [New] keeps for each such Service a set of EndpointSlices: one address type per slice, one resolved set of
// ports per slice, at most 100 endpoints per slice. An endpoint stays in the slice that it is in, a slice is
// written only when its content differs, and slices that nothing is left for are deleted. Services without a
// selector, and slices with another managed-by label, belong to their users and are left alone.
// [NewEndpoints] keeps the core/v1 Endpoints object of the same name.
//
// Both are values for package controller (or package sim) to run. They are pure, keep no state of their own
// and return no errors: a write that fails is decided anew from the next view.
package endpointslice
