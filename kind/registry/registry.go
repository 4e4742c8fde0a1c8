// Package registry is the one list of the kinds that Sampan serves.
package registry

import (
	"sampan/kind"
	"sampan/kind/apps"
	"sampan/kind/autoscaling"
	"sampan/kind/batch"
	"sampan/kind/certificates"
	"sampan/kind/coordination"
	"sampan/kind/core"
	"sampan/kind/discovery"
	"sampan/kind/networking"
	"sampan/kind/node"
	"sampan/kind/policy"
	"sampan/kind/rbac"
	"sampan/kind/scheduling"
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
		core.PodTemplate(),
		core.ReplicationController(),
		core.LimitRange(),
		core.ResourceQuota(),
		apps.Deployment(),
		apps.ReplicaSet(),
		apps.StatefulSet(),
		apps.DaemonSet(),
		apps.ControllerRevision(),
		batch.Job(),
		batch.CronJob(),
		autoscaling.HorizontalPodAutoscaler(),
		policy.PodDisruptionBudget(),
		networking.Ingress(),
		networking.IngressClass(),
		networking.NetworkPolicy(),
		certificates.CertificateSigningRequest(),
		rbac.Role(),
		rbac.ClusterRole(),
		rbac.RoleBinding(),
		rbac.ClusterRoleBinding(),
		scheduling.PriorityClass(),
		node.RuntimeClass(),
		discovery.EndpointSlice(),
		coordination.Lease(),
		storage.StorageClass(),
		storage.VolumeAttachment(),
		storage.CSIDriver(),
		storage.CSINode(),
		storage.CSIStorageCapacity(),
	)
}
