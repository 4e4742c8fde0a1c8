package nodelife

import "sampan/plan"

// New returns the controller that follows the life of nodes.
func New() plan.Controller { return plan.Controller{Name: "node-controller"} }
