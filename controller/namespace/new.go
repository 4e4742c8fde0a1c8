package namespace

import (
	"sampan/kind"
	"sampan/plan"
)

// New returns the controller that empties terminating namespaces of the registry's namespaced kinds.
func New(kinds *kind.Registry) plan.Controller { return plan.Controller{Name: "namespace-controller"} }
