// Package registry is the one list of the kinds that Sampan serves.
package registry

import "sampan/kind"

// New returns the kinds that Sampan serves, in the order of API discovery.
func New() *kind.Registry {
	return kind.NewRegistry()
}
