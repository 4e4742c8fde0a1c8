package serviceaccount

import "sampan/plan"

// New returns the controller that keeps the ServiceAccount "default" in each active namespace.
func New() plan.Controller { return plan.Controller{Name: "serviceaccount-controller"} }

// NewRootCA returns the controller that keeps the ConfigMap kube-root-ca.crt in each active namespace. caBundle is PEM.
func NewRootCA(caBundle []byte) plan.Controller {
	return plan.Controller{Name: "root-ca-certificate-publisher"}
}
