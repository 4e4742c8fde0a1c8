package garbage

import (
	"sampan/kind"
	"sampan/plan"
)

// New returns the controller that follows owner references among the kinds of the registry.
func New(kinds *kind.Registry) plan.Controller {
	return plan.Controller{Name: "garbage-collector-controller"}
}

// NewPods returns the controller that removes pods which no node agent will finish.
func NewPods() plan.Controller { return plan.Controller{Name: "pod-garbage-collector-controller"} }
