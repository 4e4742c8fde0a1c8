// Package registry is the one list of the kinds that Sampan serves.
package registry

import (
	"sampan/kind"
	"sampan/kind/apps"
	"sampan/kind/coordination"
	"sampan/kind/core"
	"sampan/kind/discovery"
	"sampan/kind/storage"
)

// New returns the kinds that Sampan serves, in the order of API discovery.
func New() *kind.Registry {
	return kind.NewRegistry(
		core.Namespace(),
		core.Node(),
		core.Pod(),
		core.ConfigMap(),
		core.Secret(),
		core.ServiceAccount(),
		core.Service(),
		core.Endpoints(),
		core.PersistentVolume(),
		core.PersistentVolumeClaim(),
		core.Event(),
		apps.Deployment(),
		apps.ReplicaSet(),
		apps.StatefulSet(),
		apps.ControllerRevision(),
		discovery.EndpointSlice(),
		coordination.Lease(),
		storage.StorageClass(),
	)
}
