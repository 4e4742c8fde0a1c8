package core_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestNodeRules(t *testing.T) {
	checkRules(t, core.Node(), `{}`, []rule{
		{"with its status", `{status: {capacity: {cpu: 4, memory: 8Gi, example.com/gpu: 1}, nodeInfo: {swap: {capacity: 1024}}}}`, nil},
		{"taint without key", `{spec: {taints: [{effect: NoSchedule}]}}`, []string{`metadata.taints[0].key: Invalid value: "": name part must be non-empty`, `metadata.taints[0].key: Invalid value: "": name part must consist of`}},
		{"taint value", `{spec: {taints: [{key: a, value: "b c", effect: NoSchedule}]}}`, []string{`metadata.taints[0].value: Invalid value: "b c": a valid label must be an empty string or consist of`}},
		{"taint without effect", `{spec: {taints: [{key: a}]}}`, []string{`metadata.taints[0].effect: Required value`}},
		{"both families", `{spec: {podCIDRs: [10.1.0.0/24, "fd00::/64"]}}`, nil},
		{"network", `{spec: {podCIDRs: [10.1.0.0/33]}}`, []string{`spec.podCIDRs[0]: Invalid value: "10.1.0.0/33": must be a valid CIDR value`}},
		{"one network twice", `{spec: {podCIDRs: [10.1.0.0/24, 10.1.0.0/24]}}`, []string{`spec.podCIDRs: Invalid value: ["10.1.0.0/24","10.1.0.0/24"]: may specify no more than one CIDR for each IP family`}},
		{"capacity below zero", `{status: {capacity: {cpu: -1}, allocatable: {cpu: 1}}}`, []string{`status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0`}},
		{"half a device", `{status: {allocatable: {example.com/gpu: 500m}}}`, []string{`status.allocatable.example.com/gpu: Invalid value: "500m": must be an integer`}},
		{"no swap", `{status: {nodeInfo: {swap: {capacity: 0}}}}`, []string{`metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero`}},
		{"features", `{status: {declaredFeatures: [A, B/c]}}`, nil},
		{"features out of order", `{status: {declaredFeatures: [B, A]}}`, []string{`status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically`}},
		{"feature twice", `{status: {declaredFeatures: [A, A]}}`, []string{`status.declaredFeatures[1]: Duplicate value: "A"`}},
		{"feature name", `{status: {declaredFeatures: [a]}}`, []string{`status.declaredFeatures[0]: Invalid value: "a": invalid feature name "a": must start with an UpperCamelCase segment`}},
		{"configuration from a ConfigMap is dropped", `{spec: {configSource: {}}, status: {config: {active: {}}}}`, nil},
		{"taints of old", `{metadata: {annotations: {scheduler.alpha.kubernetes.io/taints: '[{"key": "a", "effect": "NoSchedule"}]'}}}`, nil},
		{"taints of old that are none", `{metadata: {annotations: {scheduler.alpha.kubernetes.io/taints: "{"}}}`, []string{`metadata.annotations: Invalid value: "scheduler.alpha.kubernetes.io/taints": unexpected end of JSON input`}},
		{"taint of old without effect", `{metadata: {annotations: {scheduler.alpha.kubernetes.io/taints: '[{"key": "a"}]'}}}`, []string{`metadata.annotations.scheduler.alpha.kubernetes.io/taints[0].effect: Required value`}},
		{"controller to avoid", avoiding(`{"podController": {"kind": "ReplicaSet", "controller": true}}`), nil},
		{"nobody to avoid", avoiding(`{}`), []string{`metadata.annotations.scheduler.alpha.kubernetes.io/preferAvoidPods[0].PodSignature: Required value`}},
		{"owner to avoid", avoiding(`{"podController": {"kind": "ReplicaSet", "controller": false}}`), []string{
			`metadata.annotations.scheduler.alpha.kubernetes.io/preferAvoidPods[0].PodSignature.PodController.Controller: Invalid value: false: must point to a controller`}},
		{"what to avoid in no JSON", `{metadata: {annotations: {scheduler.alpha.kubernetes.io/preferAvoidPods: "["}}}`, []string{`metadata.annotations.AvoidPods: Invalid value: "scheduler.alpha.kubernetes.io/preferAvoidPods": unexpected end of JSON input`}},
	})
}

func avoiding(signature string) string {
	return `{metadata: {annotations: {scheduler.alpha.kubernetes.io/preferAvoidPods: '{"preferAvoidPods": [{"podSignature": ` + signature + `}]}'}}}`
}

func TestNodeUpdateRules(t *testing.T) {
	const given = `{spec: {podCIDR: 10.1.0.0/24, providerID: cloud://a, externalID: x}}`
	checkUpdateRules(t, core.Node(), given, `{spec: {configSource: {configMap: {namespace: kube-system, name: c, kubeletConfigKey: k}}}}`, []rule{
		{"same", `{}`, nil},
		{"labels", `{metadata: {labels: {a: b}}}`, nil},
		{"provider", `{spec: {providerID: cloud://b}}`, []string{`spec.providerID: Forbidden: node updates may not change providerID except from "" to valid`}},
		{"external ID", `{spec: {externalID: y}}`, []string{`spec.externalID: Forbidden: may not be updated`}},
		{"second network", `{spec: {podCIDRs: [10.1.0.0/24, "fd00::/64"]}}`, []string{`spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid`}},
		{"taint", `{spec: {taints: [{key: a, effect: Never}]}}`, []string{`metadata.taints[0].effect: Unsupported value: "Never"`}},
		{"configuration without a place", `{spec: {configSource: {configMap: null}}}`, []string{`spec.configSource: Invalid value: {}: exactly one reference subfield must be non-nil`}},
		{"configuration of a version", `{spec: {configSource: {configMap: {uid: u, resourceVersion: "1"}}}}`,
			[]string{`spec.configSource.configMap.uid: Forbidden: uid must not be set in spec`, `spec.configSource.configMap.resourceVersion: Forbidden: resourceVersion must not be set in spec`}},
		{"configuration without names", `{spec: {configSource: {configMap: {namespace: null, name: A, kubeletConfigKey: "a b"}}}}`, []string{`spec.configSource.configMap.namespace: Required value`,
			`spec.configSource.configMap.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`, `spec.configSource.configMap.kubeletConfigKey: Invalid value: "a b": a valid config key must consist of`}},
	})
}

func TestNodeStatusRules(t *testing.T) {
	checkStatusRules(t, core.Node(), `{spec: {podCIDR: 10.1.0.0/24}}`, []rule{
		{"spec is another's", `{spec: {podCIDR: 10.2.0.0/24}, status: {addresses: [{type: Hostname, address: a}]}}`, nil},
		{"address twice", `{status: {addresses: [{type: Hostname, address: a}, {type: Hostname, address: a}]}}`, []string{`status.addresses[1]: Duplicate value: {"type":"Hostname","address":"a"}`}},
		{"capacity", `{status: {capacity: {memory: -1}}}`, []string{`status.capacity.memory: Invalid value: "-1": must be greater than or equal to 0`}},
		{"configuration is dropped", `{status: {config: {active: {}}}}`, nil},
		{"features out of order", `{status: {declaredFeatures: [B, A]}}`, []string{`status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically`}},
		{"taints of old", `{metadata: {annotations: {scheduler.alpha.kubernetes.io/taints: "{"}}}`, []string{`metadata.annotations: Invalid value: "scheduler.alpha.kubernetes.io/taints": unexpected end of JSON input`}},
	})
}

func TestNodeDefaults(t *testing.T) {
	for _, c := range []struct {
		manifest, first string
		all             []string
	}{
		{`{spec: {podCIDR: 10.1.0.0/24}}`, "10.1.0.0/24", []string{"10.1.0.0/24"}},
		{`{spec: {podCIDRs: [10.1.0.0/24, "fd00::/64"]}}`, "10.1.0.0/24", []string{"10.1.0.0/24", "fd00::/64"}},
		{`{spec: {podCIDR: 10.2.0.0/24, podCIDRs: [10.1.0.0/24]}}`, "10.2.0.0/24", []string{"10.2.0.0/24"}},
	} {
		n := kindtest.Created(t, core.Node(), c.manifest).(*corev1.Node)
		if n.Spec.PodCIDR != c.first || !slices.Equal(n.Spec.PodCIDRs, c.all) {
			t.Errorf("%s: %s, %v", c.manifest, n.Spec.PodCIDR, n.Spec.PodCIDRs)
		}
	}
	n := kindtest.Created(t, core.Node(), `{status: {capacity: {cpu: "2"}}}`).(*corev1.Node)
	if n.Status.Allocatable.Cpu().Value() != 2 {
		t.Errorf("allocatable %v", n.Status.Allocatable)
	}
}

func TestNodeWarnings(t *testing.T) {
	n := kindtest.Parse(t, core.Node(), `{spec: {configSource: {}, externalID: x, podCIDRs: [010.1.0.0/24]}}`)
	want := []string{
		"spec.configSource: the feature is removed",
		"spec.externalID: this field is deprecated, and is unused by Kubernetes",
		`spec.podCIDRs[0]: non-standard CIDR value "010.1.0.0/24" is invalid: use "10.1.0.0/24"`,
	}
	if got := core.Node().Warnings(n); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
