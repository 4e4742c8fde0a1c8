package core_test

import "testing"

func TestContainerResources(t *testing.T) {
	res := func(fields string) string { return inContainer(`resources: {` + fields + `}`) }
	const at = `spec.containers[0].resources`
	refusePods(t, []podCase{
		{res(`requests: {cpu: 1, example.com/gpu: 2}, limits: {memory: 1Gi, example.com/gpu: 2}`), nil},
		{res(`requests: {cpu: 1}, limits: {cpu: 500m}`), wants(at, `.requests: Invalid value: "1": must be less than or equal to cpu limit of 500m`)},
		{res(`requests: {memory: -1}`), wants(at, `.requests[memory]: Invalid value: "-1": must be greater than or equal to 0`)},
		{res(`requests: {ram: 1}`), wants(at, `.requests[ram]: Invalid value: "ram": must be a standard resource type or fully qualified`, `.requests[ram]: Invalid value: "ram": must be a standard resource for containers`)},
		{res(`requests: {pods: 1}`), wants(at, `.requests[pods]: Invalid value: "pods": must be a standard resource for containers`)},
		{res(`limits: {"a b": 1}`), wants(at, `.limits[a b]: Invalid value: "a b": name part must consist of`, `.limits[a b]: Invalid value: "a b": must be a standard resource for containers`,
			`.requests[a b]: Invalid value: "a b": name part must consist of`, `.requests[a b]: Invalid value: "a b": must be a standard resource for containers`)},
		{res(`limits: {requests.example.com/gpu: 1}`), wants(at, `.limits[requests.example.com/gpu]: Invalid value: "requests.example.com/gpu": doesn't follow extended resource name standard`, `.requests[requests.example.com/gpu]: Invalid value`)},
		{res(`limits: {example.com/gpu: 500m}`), wants(at, `.limits[example.com/gpu]: Invalid value: "500m": must be an integer`, `.requests[example.com/gpu]: Invalid value: "500m": must be an integer`)},
		{res(`requests: {example.com/gpu: 1}, limits: {example.com/gpu: 2}`), wants(at, `.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2`)},
		{res(`requests: {example.com/gpu: 1}`), wants(at, `.limits: Required value: Limit must be set for non overcommitable resources`)},
		{res(`limits: {hugepages-2Mi: 4Mi, cpu: 1}`), nil},
		{res(`limits: {hugepages-2Mi: 4Mi}`), wants(at, `: Forbidden: HugePages require cpu or memory`)},
		{res(`limits: {hugepages-2Mi: 3Mi, cpu: 1}`), wants(at, `.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi`, `.requests[hugepages-2Mi]: Invalid value: "3Mi"`)},
	})
}

func TestResizePolicies(t *testing.T) {
	policy := func(restart, list string) string {
		return inSpec(`restartPolicy: ` + restart + `, containers: [{name: c, image: i, resizePolicy: [` + list + `]}]`)
	}
	const at = `spec.containers[0].resizePolicy`
	refusePods(t, []podCase{
		{policy(`Always`, `{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: memory, restartPolicy: RestartContainer}`), nil},
		{policy(`Always`, `{resourceName: cpu, restartPolicy: NotRequired}, {resourceName: cpu, restartPolicy: NotRequired}`), wants(at, `[1]: Duplicate value: "cpu"`)},
		{policy(`Always`, `{resourceName: "", restartPolicy: ""}`), wants(at, `: Required value`, `: Required value`)},
		{policy(`Always`, `{resourceName: disk, restartPolicy: Maybe}`), wants(at, `: Unsupported value: "disk": supported values: "cpu", "memory"`, `: Unsupported value: "Maybe": supported values: "NotRequired", "RestartContainer"`)},
		{policy(`Never`, `{resourceName: cpu, restartPolicy: RestartContainer}`), wants(at, ": Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is 'Never'")},
	})
}

func TestPodLevelResources(t *testing.T) {
	res := func(pod, container string) string {
		return inSpec(`resources: {` + pod + `}, containers: [{name: c, image: i, resources: {` + container + `}}, {name: d, image: i, resources: {` + container + `}}]`)
	}
	const at = `spec.resources`
	refusePods(t, []podCase{
		{res(`requests: {cpu: 2}, limits: {cpu: 4}`, `requests: {cpu: 1}, limits: {cpu: 4}`), nil},
		{res(`requests: {ephemeral-storage: 1}`, ``), wants(at, `.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"`)},
		{res(`requests: {ram: 1}`, ``), wants(at, `.requests[ram]: Invalid value: "ram": must be a standard resource type or fully qualified`)},
		{res(`requests: {cpu: 2}, limits: {cpu: 1}`, ``), wants(at, `.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`)},
		{res(`claims: [{name: x}]`, ``), wants(at, `.claims: Forbidden: claims may not be set for Resources at pod-level`, `.claims[0]: Not found: "x": must be one of the names in pod.spec.resourceClaims which is empty`)},
		{res(`requests: {cpu: 1}`, `requests: {cpu: 1}`), wants(at, `.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2`)},
		{res(`limits: {cpu: 1}, requests: {cpu: 1}`, `limits: {cpu: 2}, requests: {cpu: 100m}`), wants(at, `.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1`, `.containers[1][cpu].limits: Invalid value: "2"`)},
		{res(`limits: {hugepages-2Mi: 2Mi, cpu: 4}`, `limits: {hugepages-2Mi: 2Mi, cpu: 1}`), wants(at, `.limits[hugepages-2Mi]: Invalid value: "2Mi": must be greater than or equal to aggregate container limits of 4Mi`,
			`.requests[hugepages-2Mi]: Invalid value: "2Mi": must be greater than or equal to aggregate container requests of 4Mi`)},
	})
}

func TestResourceClaims(t *testing.T) {
	claims := func(list, refs string) string {
		return inSpec(`resourceClaims: [` + list + `], containers: [{name: c, image: i, resources: {claims: [` + refs + `]}}]`)
	}
	const at, refs = `spec.resourceClaims`, `spec.containers[0].resources.claims`
	refusePods(t, []podCase{
		{claims(`{name: gpu, resourceClaimName: g}, {name: nic, resourceClaimTemplateName: n}`, `{name: gpu, request: a}, {name: gpu, request: b}, {name: nic}`), nil},
		{claims(`{resourceClaimName: g}`, ``), wants(at, `[0].name: Required value`)},
		{claims(`{name: A, resourceClaimName: g}`, ``), wants(at, `[0].name: Invalid value: "A": `+notLabel)},
		{claims(`{name: a, resourceClaimName: g}, {name: a, resourceClaimName: g}`, ``), wants(at, `[1].name: Duplicate value: "a"`)},
		{claims(`{name: a}`, ``), wants(at, "[0]: Invalid value: {\"name\":\"a\"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`")},
		{claims(`{name: a, resourceClaimName: A, resourceClaimTemplateName: B}`, ``), wants(at, "[0]: Invalid value: {\"name\":\"a\",\"resourceClaimName\":\"A\",\"resourceClaimTemplateName\":\"B\"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
			`[0].resourceClaimName: Invalid value: "A": `+notSubdomain, `[0].resourceClaimTemplateName: Invalid value: "B": `+notSubdomain)},
		{`{metadata: {annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: n, resourceClaims: [{name: a, resourceClaimName: g}]}}`, wants(``, `[]: Forbidden: static pods do not support resource claims`)},
		{claims(`{name: a, resourceClaimName: g}`, `{name: ""}, {name: b}`), wants(refs, `[0]: Required value`, `[1]: Not found: "b": must be one of the names in pod.spec.resourceClaims: a`)},
		{claims(`{name: a, resourceClaimName: g}`, `{name: a}, {name: a, request: r}`), wants(refs, `[1]: Duplicate value: "a"`)},
		{claims(`{name: a, resourceClaimName: g}`, `{name: a, request: r}, {name: a}`), wants(refs, `[1]: Duplicate value: "a"`)},
		{claims(`{name: a, resourceClaimName: g}`, `{name: a, request: R}, {name: a, request: r}, {name: a, request: r}`), wants(refs, `[0].request: Invalid value: "R": `+notLabel, `[2]: Duplicate value: "a/r"`)},
	})
}
