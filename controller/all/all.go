// Package all is the one list of the controllers. A controller is added by one line here.
package all

import (
	"sampan/controller/clusterroleaggregation"
	"sampan/controller/deployment"
	"sampan/controller/disruption"
	"sampan/controller/endpointslice"
	"sampan/controller/eventttl"
	"sampan/controller/garbage"
	"sampan/controller/namespace"
	"sampan/controller/nodelife"
	"sampan/controller/replicaset"
	"sampan/controller/resourcequota"
	"sampan/controller/serviceaccount"
	"sampan/controller/statefulset"
	"sampan/controller/volume"
	"sampan/kind"
	"sampan/plan"
)

// Config is what controllers must know beside the view.
type Config struct {
	Kinds *kind.Registry
	// CABundle is the cluster's CA certificates, PEM.
	CABundle []byte
	Volume   volume.Config
}

// All returns every controller.
func All(cfg Config) []plan.Controller {
	return []plan.Controller{
		deployment.New(),
		clusterroleaggregation.New(),
		replicaset.New(),
		statefulset.New(),
		endpointslice.New(),
		endpointslice.NewEndpoints(),
		garbage.New(cfg.Kinds),
		garbage.NewPods(),
		namespace.New(cfg.Kinds),
		eventttl.New(),
		nodelife.New(),
		disruption.New(),
		resourcequota.New(cfg.Kinds),
		serviceaccount.New(),
		serviceaccount.NewRootCA(cfg.CABundle),
		serviceaccount.NewTokens(cfg.CABundle),
		volume.NewClaims(cfg.Volume),
		volume.NewVolumes(cfg.Volume),
	}
}
