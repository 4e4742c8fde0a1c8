package endpointslice

import "sampan/plan"

// New returns the controller that keeps EndpointSlices.
func New() plan.Controller { return plan.Controller{Name: "endpoint-slice-controller"} }

// NewEndpoints returns the controller that keeps core/v1 Endpoints.
func NewEndpoints() plan.Controller { return plan.Controller{Name: "endpoint-controller"} }
