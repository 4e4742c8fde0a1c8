package openapi

import (
	"slices"
	"strings"
)

// isOptional reports whether a field may be missing though it is written even when it is empty. Upstream says so in a
// comment ("+optional"), which reflection does not see: without this, kubectl refuses Lists whose Roles have no rules,
// because it validates these itself.
func isOptional(pkg, typ, name string) bool {
	return slices.Contains(optionalFields[strings.TrimPrefix(pkg, "k8s.io/api/")], typ+"."+name)
}

// optionalFields are the fields for which isOptional holds, by the package of their type, below k8s.io/api.
// TestOptionalFieldsAreThoseOfTheSource says what is missing here.
var optionalFields = map[string][]string{
	"admission/v1": {
		"AdmissionRequest.kind", "AdmissionRequest.operation", "AdmissionRequest.resource", "AdmissionRequest.uid",
		"AdmissionRequest.userInfo", "AdmissionResponse.allowed", "AdmissionResponse.uid",
	},
	"apidiscovery/v2": {
		"APIGroupDiscoveryList.items", "APIResourceDiscovery.resource", "APIResourceDiscovery.scope",
		"APIResourceDiscovery.singularResource", "APIResourceDiscovery.verbs", "APISubresourceDiscovery.subresource",
		"APISubresourceDiscovery.verbs", "APIVersionDiscovery.version",
	},
	"apps/v1": {
		"ControllerRevision.revision", "DaemonSetCondition.status", "DaemonSetCondition.type",
		"DeploymentCondition.status", "DeploymentCondition.type", "ReplicaSetCondition.status",
		"ReplicaSetCondition.type", "StatefulSetCondition.status", "StatefulSetCondition.type",
		"StatefulSetOrdinals.start", "StatefulSetSpec.serviceName", "StatefulSetStatus.availableReplicas",
	},
	"authentication/v1": {
		"TokenRequest.spec", "TokenRequestSpec.audiences", "TokenRequestSpec.boundObjectRef",
		"TokenRequestSpec.expirationSeconds", "TokenRequestStatus.expirationTimestamp", "TokenRequestStatus.token",
	},
	"autoscaling/v2": {"HorizontalPodAutoscalerStatus.currentMetrics"},
	"batch/v1":       {"PodFailurePolicyOnPodConditionsPattern.status"},
	"core/v1": {
		"AzureFilePersistentVolumeSource.secretNamespace", "ContainerImage.names", "Event.reportingComponent",
		"Event.reportingInstance", "GRPCAction.service", "NodeRuntimeHandler.name", "ProjectedVolumeSource.sources",
		"TypedLocalObjectReference.apiGroup", "TypedObjectReference.apiGroup",
	},
	"discovery/v1": {"EndpointSlice.endpoints", "EndpointSlice.ports"},
	"events/v1":    {"Event.metadata"},
	"flowcontrol/v1": {
		"FlowSchemaSpec.matchingPrecedence", "LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
		"QueuingConfiguration.handSize", "QueuingConfiguration.queueLengthLimit", "QueuingConfiguration.queues",
		"ResourcePolicyRule.namespaces",
	},
	"networking/v1": {"IngressClassParametersReference.scope", "NetworkPolicySpec.podSelector"},
	"policy/v1": {
		"PodDisruptionBudgetStatus.currentHealthy", "PodDisruptionBudgetStatus.desiredHealthy",
		"PodDisruptionBudgetStatus.disruptionsAllowed", "PodDisruptionBudgetStatus.expectedPods",
	},
	"rbac/v1": {"ClusterRole.rules", "Role.rules", "RoleRef.apiGroup"},
	"resource/v1": {
		"AllocatedDeviceStatus.conditions", "CapacityRequestPolicy.default", "DeviceClaim.requests",
		"DeviceClass.spec", "ResourceClaim.spec", "ResourceClaimSpec.devices", "ResourceClaimTemplate.spec",
		"ResourceClaimTemplateSpec.spec",
	},
	"scheduling/v1": {"PriorityClass.value"},
	"storage/v1":    {"CSINodeDriver.topologyKeys"},
}
