package openapi

import "strings"

// isOptional reports whether a field may be missing though it is written even when it is empty. Upstream says so in a
// comment ("+optional"), which reflection does not see: without this, kubectl refuses Lists whose Roles have no rules,
// because it validates these itself. TestOptionalFieldsAreThoseOfTheSource says what is missing here.
func isOptional(pkg, typ, name string) bool {
	switch field := typ + "." + name; strings.TrimPrefix(pkg, "k8s.io/api/") {
	case "admission/v1":
		switch field {
		case "AdmissionRequest.kind", "AdmissionRequest.operation", "AdmissionRequest.resource",
			"AdmissionRequest.uid", "AdmissionRequest.userInfo", "AdmissionResponse.allowed",
			"AdmissionResponse.uid":
			return true
		}
	case "apidiscovery/v2":
		switch field {
		case "APIGroupDiscoveryList.items", "APIResourceDiscovery.resource", "APIResourceDiscovery.scope",
			"APIResourceDiscovery.singularResource", "APIResourceDiscovery.verbs",
			"APISubresourceDiscovery.subresource", "APISubresourceDiscovery.verbs",
			"APIVersionDiscovery.version":
			return true
		}
	case "apps/v1":
		switch field {
		case "ControllerRevision.revision", "DaemonSetCondition.status", "DaemonSetCondition.type",
			"DeploymentCondition.status", "DeploymentCondition.type", "ReplicaSetCondition.status",
			"ReplicaSetCondition.type", "StatefulSetCondition.status", "StatefulSetCondition.type",
			"StatefulSetOrdinals.start", "StatefulSetSpec.serviceName", "StatefulSetStatus.availableReplicas":
			return true
		}
	case "authentication/v1":
		switch field {
		case "TokenRequest.spec", "TokenRequestSpec.audiences", "TokenRequestSpec.boundObjectRef",
			"TokenRequestSpec.expirationSeconds", "TokenRequestStatus.expirationTimestamp",
			"TokenRequestStatus.token":
			return true
		}
	case "autoscaling/v2":
		switch field {
		case "HorizontalPodAutoscalerStatus.currentMetrics":
			return true
		}
	case "batch/v1":
		switch field {
		case "PodFailurePolicyOnPodConditionsPattern.status":
			return true
		}
	case "core/v1":
		switch field {
		case "AzureFilePersistentVolumeSource.secretNamespace", "ContainerImage.names",
			"Event.reportingComponent", "Event.reportingInstance", "GRPCAction.service",
			"NodeRuntimeHandler.name", "ProjectedVolumeSource.sources", "TypedLocalObjectReference.apiGroup",
			"TypedObjectReference.apiGroup":
			return true
		}
	case "discovery/v1":
		switch field {
		case "EndpointSlice.endpoints", "EndpointSlice.ports":
			return true
		}
	case "events/v1":
		switch field {
		case "Event.metadata":
			return true
		}
	case "flowcontrol/v1":
		switch field {
		case "FlowSchemaSpec.matchingPrecedence", "LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
			"QueuingConfiguration.handSize", "QueuingConfiguration.queueLengthLimit",
			"QueuingConfiguration.queues", "ResourcePolicyRule.namespaces":
			return true
		}
	case "networking/v1":
		switch field {
		case "IngressClassParametersReference.scope", "NetworkPolicySpec.podSelector":
			return true
		}
	case "policy/v1":
		switch field {
		case "PodDisruptionBudgetStatus.currentHealthy", "PodDisruptionBudgetStatus.desiredHealthy",
			"PodDisruptionBudgetStatus.disruptionsAllowed", "PodDisruptionBudgetStatus.expectedPods":
			return true
		}
	case "rbac/v1":
		switch field {
		case "ClusterRole.rules", "Role.rules", "RoleRef.apiGroup":
			return true
		}
	case "resource/v1":
		switch field {
		case "AllocatedDeviceStatus.conditions", "CapacityRequestPolicy.default", "DeviceClaim.requests",
			"DeviceClass.spec", "ResourceClaim.spec", "ResourceClaimSpec.devices", "ResourceClaimTemplate.spec",
			"ResourceClaimTemplateSpec.spec":
			return true
		}
	case "scheduling/v1":
		switch field {
		case "PriorityClass.value":
			return true
		}
	case "storage/v1":
		switch field {
		case "CSINodeDriver.topologyKeys":
			return true
		}
	}
	return false
}
