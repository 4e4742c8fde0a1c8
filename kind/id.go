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
