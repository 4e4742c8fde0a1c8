package kind

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ID names a kind by resource and group, in the form that kubectl accepts: "pods", "deployments.apps".
type ID string

// The kinds that code refers to by name.
const (
	Namespaces             ID = "namespaces"
	Nodes                  ID = "nodes"
	Pods                   ID = "pods"
	ConfigMaps             ID = "configmaps"
	Secrets                ID = "secrets"
	ServiceAccounts        ID = "serviceaccounts"
	Services               ID = "services"
	Endpoints              ID = "endpoints"
	PersistentVolumes      ID = "persistentvolumes"
	PersistentVolumeClaims ID = "persistentvolumeclaims"
	Events                 ID = "events"
	EndpointSlices         ID = "endpointslices.discovery.k8s.io"
	StorageClasses         ID = "storageclasses.storage.k8s.io"
	Leases                 ID = "leases.coordination.k8s.io"
	Deployments            ID = "deployments.apps"
	ReplicaSets            ID = "replicasets.apps"
	StatefulSets           ID = "statefulsets.apps"
	ControllerRevisions    ID = "controllerrevisions.apps"

	PodTemplates               ID = "podtemplates"
	ReplicationControllers     ID = "replicationcontrollers"
	LimitRanges                ID = "limitranges"
	ResourceQuotas             ID = "resourcequotas"
	DaemonSets                 ID = "daemonsets.apps"
	Jobs                       ID = "jobs.batch"
	CronJobs                   ID = "cronjobs.batch"
	HorizontalPodAutoscalers   ID = "horizontalpodautoscalers.autoscaling"
	PodDisruptionBudgets       ID = "poddisruptionbudgets.policy"
	Ingresses                  ID = "ingresses.networking.k8s.io"
	IngressClasses             ID = "ingressclasses.networking.k8s.io"
	NetworkPolicies            ID = "networkpolicies.networking.k8s.io"
	VolumeAttachments          ID = "volumeattachments.storage.k8s.io"
	CSIDrivers                 ID = "csidrivers.storage.k8s.io"
	CSINodes                   ID = "csinodes.storage.k8s.io"
	CSIStorageCapacities       ID = "csistoragecapacities.storage.k8s.io"
	Roles                      ID = "roles.rbac.authorization.k8s.io"
	ClusterRoles               ID = "clusterroles.rbac.authorization.k8s.io"
	RoleBindings               ID = "rolebindings.rbac.authorization.k8s.io"
	ClusterRoleBindings        ID = "clusterrolebindings.rbac.authorization.k8s.io"
	PriorityClasses            ID = "priorityclasses.scheduling.k8s.io"
	RuntimeClasses             ID = "runtimeclasses.node.k8s.io"
	CertificateSigningRequests ID = "certificatesigningrequests.certificates.k8s.io"
)

// GroupResource splits the ID; the core group is "".
func (id ID) GroupResource() schema.GroupResource {
	resource, group, _ := strings.Cut(string(id), ".")
	return schema.GroupResource{Group: group, Resource: resource}
}

// IDOf joins an API group and a plural resource name.
func IDOf(gr schema.GroupResource) ID {
	if gr.Group == "" {
		return ID(gr.Resource)
	}
	return ID(gr.Resource + "." + gr.Group)
}
