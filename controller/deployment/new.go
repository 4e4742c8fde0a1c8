package deployment

import "sampan/plan"

// New returns the controller.
func New() plan.Controller { return plan.Controller{Name: "deployment-controller"} }
