package core_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestPodUpdate(t *testing.T) {
	const forbidden = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
	required := func(terms string) string {
		return `affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [` + terms + `]}}}`
	}
	const gate, terms = `schedulingGates: [{name: a}], `, `spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`
	for _, c := range []struct {
		name, old, patch string
		want             []string
	}{
		{"image", `{}`, `{spec: {containers: [{name: c, image: other, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log}]}}`, nil},
		{"image removed", `{}`, `{spec: {containers: [{name: c, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log}]}}`, []string{`spec.containers[0].image: Required value`}},
		{"image padded", `{}`, `{spec: {containers: [{name: c, image: "i ", imagePullPolicy: Always}]}}`, []string{`spec.containers[0].image: Invalid value: "i ": must not have leading or trailing whitespace`}},
		{"init image", inSpec(`initContainers: [{name: i, image: "i:1"}]`), inSpec(`initContainers: [{name: i, image: "i:2"}]`), nil},
		{"environment", `{}`, `{spec: {containers: [{name: c, image: nginx, env: [{name: A, value: b}]}]}}`, []string{forbidden}},
		{"what is forbidden and wrong", `{}`, inSpec(`hostname: A`), []string{`spec.hostname: Invalid value: "A": ` + notLabel, forbidden}},
		{"node", `{}`, `{spec: {nodeName: n1}}`, []string{forbidden}},
		{"more containers", `{}`, `{spec: {containers: [{name: c, image: nginx}, {name: d, image: i}]}}`,
			[]string{`spec.containers: Forbidden: pod updates may not add or remove containers`}},
		{"more init containers", `{}`, inSpec(`initContainers: [{name: i, image: i}]`), []string{`spec.initContainers: Forbidden: pod updates may not add or remove containers`}},
		{"labels", `{}`, `{metadata: {labels: {a: b}}}`, nil},
		{"deadline set", `{}`, `{spec: {activeDeadlineSeconds: 5}}`, nil},
		{"deadline negative", `{}`, `{spec: {activeDeadlineSeconds: -1}}`, []string{`spec.activeDeadlineSeconds: Invalid value: -1: must be between 1 and 2147483647, inclusive`, `spec.activeDeadlineSeconds: Invalid value: -1: must be between 0 and 2147483647, inclusive`}},
		{"deadline shorter", `{spec: {activeDeadlineSeconds: 5}}`, `{spec: {activeDeadlineSeconds: 4}}`, nil},
		{"deadline longer", `{spec: {activeDeadlineSeconds: 5}}`, `{spec: {activeDeadlineSeconds: 6}}`,
			[]string{`spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value`}},
		{"deadline removed", `{spec: {activeDeadlineSeconds: 5}}`, `{spec: {activeDeadlineSeconds: null}}`,
			[]string{`spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value`}},
		{"toleration added", `{}`, `{spec: {tolerations: [{key: a, operator: Exists}]}}`, nil},
		{"toleration for longer", inSpec(`tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 1}]`), inSpec(`tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: 2}]`), nil},
		{"toleration removed", `{spec: {tolerations: [{key: a, operator: Exists}]}}`, `{spec: {tolerations: []}}`,
			[]string{`spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds`}},
		{"negative grace to 1", `{spec: {terminationGracePeriodSeconds: -1}}`, `{spec: {terminationGracePeriodSeconds: 1}}`, nil},
		{"negative grace to 2", `{spec: {terminationGracePeriodSeconds: -1}}`, `{spec: {terminationGracePeriodSeconds: 2}}`, []string{forbidden}},
		{"gate removed", `{spec: {schedulingGates: [{name: a}]}}`, `{spec: {schedulingGates: []}}`, nil},
		{"gate added", `{spec: {schedulingGates: [{name: a}]}}`, `{spec: {schedulingGates: [{name: a}, {name: b}]}}`,
			[]string{`spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'`}},
		{"gated pod narrowed", inSpec(gate), `{spec: {nodeSelector: {a: b}}}`, nil},
		{"gated pod widened", inSpec(gate + `nodeSelector: {a: b}`), `{spec: {nodeSelector: {a: c}}}`,
			[]string{`spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)`}},
		{"gated pod tied to nodes", inSpec(gate), inSpec(required(`{matchExpressions: [{key: a, operator: Exists}]}`)), nil},
		{"gated pod tied to fewer nodes", inSpec(gate + required(`{matchExpressions: [{key: a, operator: Exists}]}`)), inSpec(required(`{matchExpressions: [{key: a, operator: Exists}, {key: b, operator: Exists}]}`)), nil},
		{"gated pod tied to other nodes", inSpec(gate + required(`{matchExpressions: [{key: a, operator: Exists}]}`)), inSpec(required(`{matchExpressions: [{key: b, operator: Exists}]}`)),
			[]string{terms + `[0]: Invalid value: {"matchExpressions":[{"key":"b","operator":"Exists"}]}: only additions are allowed (no mutations or deletions)`}},
		{"gated pod tied to more nodes", inSpec(gate + required(`{matchExpressions: [{key: a, operator: Exists}]}`)), inSpec(required(`{matchExpressions: [{key: a, operator: Exists}]}, {matchExpressions: [{key: b, operator: Exists}]}`)),
			[]string{terms + `: Invalid value: [{"matchExpressions":`}},
		{"gated pod near others", inSpec(gate), inSpec(`affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]}}`), []string{forbidden}},
		{"other pod narrowed", `{}`, `{spec: {nodeSelector: {a: b}}}`, []string{forbidden}},
		{"mirror added", `{spec: {nodeName: n}}`, `{metadata: {annotations: {kubernetes.io/config.mirror: x}}}`, []string{`metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation`}},
		{"mirror changed", `{metadata: {annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: n}}`, `{metadata: {annotations: {kubernetes.io/config.mirror: z}}}`, []string{`metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation`}},
		{"AppArmor annotation added", `{}`, `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/c: unconfined}}}`, []string{`metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may not add AppArmor annotations`}},
		{"AppArmor annotation removed", `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/c: unconfined}}}`, `{metadata: {annotations: null}}`, []string{`metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Forbidden: may not remove or update AppArmor annotations`}},
		{"labels of what is wrong since", inSpec(`hostname: A`), `{metadata: {labels: {a: b}}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := kindtest.Created(t, core.Pod(), plainPod, c.old)
			_, errs := kindtest.Update(t, core.Pod(), old, c.patch)
			kindtest.Check(t, errs, c.want...)
			for _, err := range errs {
				if strings.HasPrefix(err.Error(), forbidden) && !strings.Contains(err.Detail, "\n") {
					t.Errorf("the error does not show the difference: %s", err.Detail)
				}
			}
		})
	}
}

// throughPart returns the errors of changing a pod through a subresource, and what is stored then.
func throughPart(t *testing.T, part string, old kind.Object, patch string) (*corev1.Pod, field.ErrorList) {
	t.Helper()
	k := core.Pod()
	pod, _ := kindtest.Update(t, k, old, patch)
	k.Part(part).PrepareUpdate(pod, old)
	return pod.(*corev1.Pod), k.Part(part).Validate(pod, old)
}

func TestEphemeralContainers(t *testing.T) {
	add := func(fields string) string {
		return inSpec(`ephemeralContainers: [{name: e, image: i, imagePullPolicy: Always, terminationMessagePolicy: File, ` + fields + `}]`)
	}
	const at = `spec.ephemeralContainers[0].`
	for _, c := range []struct {
		name, old, patch string
		want             []string
	}{
		{"added", `{}`, add(`targetContainerName: c`), nil},
		{"nothing that lasts", `{}`, add(`ports: [{containerPort: 1}], resources: {limits: {cpu: 1}}, resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}], restartPolicy: Never, livenessProbe: {tcpSocket: {port: 1}}, readinessProbe: {tcpSocket: {port: 1}}, startupProbe: {tcpSocket: {port: 1}}, lifecycle: {}`),
			wants(at, each(`: Forbidden: cannot be set for an Ephemeral Container`, "ports", "resources", "resizePolicy", "restartPolicy", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")...)},
		{"sub paths", inSpec(`volumes: [{name: v}]`), add(`volumeMounts: [{name: v, mountPath: /v, subPath: a}, {name: v, mountPath: /w, subPathExpr: a}]`),
			wants(at, `volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container`, `volumeMounts[1].subPathExpr: Forbidden: cannot be set for an Ephemeral Container`)},
		{"name of another", `{}`, inSpec(`ephemeralContainers: [{name: c, image: i, imagePullPolicy: Always, terminationMessagePolicy: File}]`), wants(at, `name: Duplicate value: "c"`)},
		{"target", `{}`, add(`targetContainerName: x`), wants(at, `targetContainerName: Not found: "x"`)},
		{"padded image", `{}`, inSpec(`ephemeralContainers: [{name: e, image: " i", imagePullPolicy: Always, terminationMessagePolicy: File}]`), wants(at, `image: Invalid value: " i": must not have leading or trailing whitespace`)},
		{"removed", add(``), inSpec(`ephemeralContainers: []`), []string{`spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be removed`}},
		{"changed", add(``), add(`command: [sh]`), []string{`spec.ephemeralContainers: Forbidden: existing ephemeral containers "e" may not be changed`}},
		{"static", `{metadata: {annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: n}}`, add(``), []string{`[]: Forbidden: static pods do not support ephemeral containers`}},
		{"nothing else changes", `{}`, inSpec(`hostname: A`), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := throughPart(t, "ephemeralcontainers", kindtest.Created(t, core.Pod(), plainPod, c.old), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestResize(t *testing.T) {
	container := func(fields string) string {
		return inSpec(`containers: [{name: c, image: nginx, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File, ` + fields + `}]`)
	}
	init := func(fields string) string { return inSpec(`initContainers: [{name: i, image: i, ` + fields + `}]`) }
	const burstable = `resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2}}`
	for _, c := range []struct {
		name, old, patch string
		want             []string
	}{
		{"CPU", container(burstable), container(`resources: {requests: {cpu: 2, memory: 1Gi}, limits: {cpu: 2}}`), nil},
		{"limit added", container(burstable), container(`resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 2, memory: 2Gi}}`), nil},
		{"only resources", container(burstable), container(burstable + `, env: [{name: A}]`), nil},
		{"limit removed", container(burstable), container(`resources: {requests: {cpu: 1, memory: 1Gi}}`), []string{`spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed`}},
		{"request removed", container(burstable), container(`resources: {requests: {cpu: 1}, limits: {cpu: 2}}`), []string{`spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed`}},
		{"class", container(burstable), container(`resources: {requests: {cpu: 2, memory: 1Gi}, limits: {cpu: 2, memory: 1Gi}}`), []string{`spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing`}},
		{"above the limit", container(burstable), container(`resources: {requests: {cpu: 3, memory: 1Gi}, limits: {cpu: 2}}`), []string{`spec.containers[0].resources.requests: Invalid value: "3": must be less than or equal to cpu limit of 2`}},
		{"storage", container(burstable), container(`resources: {requests: {cpu: 1, memory: 1Gi, ephemeral-storage: 1}, limits: {cpu: 2}}`), []string{`spec: Forbidden: only cpu and memory resources are mutable`}},
		{"policy", container(burstable), container(burstable + `, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]`), []string{`spec: Forbidden: only cpu and memory resources are mutable`}},
		{"renamed", container(burstable), inSpec(`containers: [{name: d, image: nginx}]`), []string{`spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize`, `spec: Invalid value: "Burstable": Pod QOS Class`}},
		{"added", container(burstable), inSpec(`initContainers: [{name: i, image: i}]`), []string{`spec.initContainers: Forbidden: initContainers may not be added or removed on resize`}},
		{"init container", init(`resources: {requests: {cpu: 1}}`), init(`resources: {requests: {cpu: 2}}`), nil},
		{"init container's request removed", init(`resources: {requests: {cpu: 1, memory: 1}}`), init(`resources: {requests: {cpu: 2}}`), []string{`spec.initContainers[0].resources.requests: Forbidden: resource requests cannot be removed`}},
		{"init container that would restart", init(`resources: {requests: {cpu: 1}}`), init(`resources: {requests: {cpu: 2}}, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]`), []string{
			`spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable`,
			`spec.initContainers[0]: Forbidden: non-sidecar init containers with a resize policy of RestartContainer cannot be resized`,
			`spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: "RestartContainer"`}},
		{"sidecar", init(`restartPolicy: Always, resources: {requests: {cpu: 1}}`), init(`restartPolicy: Always, resources: {requests: {cpu: 2}}`), nil},
		{"sidecar's storage", init(`restartPolicy: Always, resources: {requests: {cpu: 1}}`), init(`restartPolicy: Always, resources: {requests: {cpu: 2, ephemeral-storage: 1}}`), []string{`spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable`}},
		{"sidecar's request removed", init(`restartPolicy: Always, resources: {requests: {cpu: 1, memory: 1}}`), init(`restartPolicy: Always, resources: {requests: {cpu: 2}}`), []string{`spec.initContainers[0].resources.requests: Forbidden: resource requests cannot be removed`}},
		{"pod", inSpec(`resources: {requests: {cpu: 1}}`), inSpec(`resources: {requests: {cpu: 2}}`), nil},
		{"pod's request removed", inSpec(`resources: {requests: {cpu: 1, memory: 1Gi}}`), inSpec(`resources: {requests: {memory: null}}`), []string{`spec.resources.requests: Forbidden: pod-level resource requests cannot be removed`}},
		{"pod's removed", inSpec(`resources: {requests: {cpu: 1}}, containers: [{name: c, image: i, resources: {requests: {cpu: 1}}}]`), inSpec(`resources: null`), []string{`spec.resources: Forbidden: pod-level resources cannot be removed`}},
		{"pod's huge pages", inSpec(`resources: {requests: {cpu: 1}}`), inSpec(`resources: {requests: {cpu: 1, hugepages-2Mi: 2Mi}, limits: {hugepages-2Mi: 2Mi}}`), []string{`spec: Forbidden: only cpu and memory resources are mutable at pod-level`}},
		{"static", `{metadata: {annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: n}}`, `{}`, []string{`[]: Forbidden: static pods cannot be resized`}},
		{"windows", inSpec(`os: {name: windows}`), `{}`, []string{`[]: Forbidden: windows pods cannot be resized`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := throughPart(t, "resize", kindtest.Created(t, core.Pod(), plainPod, c.old), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
	t.Run("node without support", func(t *testing.T) {
		old := kindtest.Created(t, core.Pod(), plainPod, container(burstable)).(*corev1.Pod)
		old.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
		_, errs := throughPart(t, "resize", old, `{}`)
		kindtest.Check(t, errs, `spec: Forbidden: Pod running on node without support for resize`)
	})
}

func TestPodStatusWriterChangesStatusOnly(t *testing.T) {
	k := core.Pod()
	old := kindtest.Created(t, k, plainPod, `{spec: {restartPolicy: Never}}`).(*corev1.Pod)
	old.Status.ObservedGeneration = 3
	old.Status.Conditions = []corev1.PodCondition{{Type: "a", ObservedGeneration: 1}, {Type: "a", ObservedGeneration: 2}}
	old.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "c"}}
	old.Status.ExtendedResourceClaimStatus = &corev1.PodExtendedResourceClaimStatus{ResourceClaimName: "x"}
	old.Status.NodeAllocatableResourceClaimStatuses = []corev1.NodeAllocatableResourceClaimStatus{{ResourceClaimName: "x"}}

	pod := old.DeepCopy()
	pod.Spec.NodeName = "elsewhere"
	pod.OwnerReferences = []metav1.OwnerReference{{UID: "stranger"}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1",
		Conditions: []corev1.PodCondition{{Type: "a"}, {Type: "a"}, {Type: "a"}}}
	k.Status.PrepareUpdate(pod, old)
	if pod.Spec.NodeName != "" || pod.OwnerReferences != nil {
		t.Errorf("prepared: %+v", pod)
	}
	want := *old.Status.DeepCopy()
	want.Phase, want.PodIP, want.PodIPs = corev1.PodRunning, "10.0.0.1", []corev1.PodIP{{IP: "10.0.0.1"}}
	want.Conditions = append(want.Conditions, corev1.PodCondition{Type: "a"})
	if d := cmp.Diff(want, pod.Status); d != "" {
		t.Error(d)
	}

	pod.Status.PodIP, pod.Status.PodIPs = "", []corev1.PodIP{{IP: "10.0.0.2"}}
	if k.Status.PrepareUpdate(pod, old); pod.Status.PodIP != "10.0.0.2" {
		t.Errorf("the first address is not the pod's: %q", pod.Status.PodIP)
	}
}

func TestPodStatus(t *testing.T) {
	const claimed = `{spec: {nodeName: n1, resourceClaims: [{name: a, resourceClaimName: x}], containers: [{name: c, image: i, resources: {requests: {cpu: 1}, claims: [{name: a, request: r}]}}]}, status: {qosClass: Burstable}}`
	imageVolume := func(ref string) string {
		return `{status: {containerStatuses: [{name: c, volumeMounts: [{name: v, mountPath: /v, volumeStatus: {image: {imageRef: ` + ref + `}}}]}]}}`
	}
	ended := func(spec, code string) string {
		return `{spec: {` + spec + `}, status: {containerStatuses: [{name: c, state: {terminated: {exitCode: ` + code + `}}}]}}`
	}
	const running = `{status: {containerStatuses: [{name: c, state: {running: {}}}]}}`
	const revived = `status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state`
	allocated := func(fields string) string {
		return `{status: {containerStatuses: [{name: c, allocatedResourcesStatus: [{` + fields + `}]}]}}`
	}
	for _, c := range []struct {
		name, old, patch string
		want             []string
	}{
		{"nothing", `{}`, `{}`, nil},
		{"ended and restarts", ended(``, `0`), running, nil},
		{"ended for good", ended(`restartPolicy: Never`, `1`), running, []string{revived}},
		{"failed and is tried again", ended(`restartPolicy: OnFailure`, `1`), running, nil},
		{"done", ended(`restartPolicy: OnFailure`, `0`), running, []string{revived}},
		{"by its own policy", ended(`restartPolicy: Never, containers: [{name: c, image: i, restartPolicy: OnFailure}]`, `1`), running, nil},
		{"not by its own policy", ended(`restartPolicy: Always, containers: [{name: c, image: i, restartPolicy: Never}]`, `1`), running, []string{revived}},
		{"by a rule", ended(`restartPolicy: Never, containers: [{name: c, image: i, restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]}]`, `42`), running, nil},
		{"by no rule", ended(`restartPolicy: Never, containers: [{name: c, image: i, restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: NotIn, values: [42]}}]}]`, `42`), running, []string{revived}},
		{"with all others", ended(`restartPolicy: Never, initContainers: [{name: i, image: i, restartPolicy: Never, restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [1]}}]}]`, `0`), running, nil},
		{"a container that is not there", `{status: {containerStatuses: [{name: x, state: {terminated: {exitCode: 0}}}]}}`, `{status: {containerStatuses: [{name: x, state: {running: {}}}]}}`, []string{revived}},
		{"init container", `{spec: {restartPolicy: Never, initContainers: [{name: i, image: i}]}, status: {initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}]}}`, `{status: {initContainerStatuses: [{name: i}]}}`,
			[]string{`status.initContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state`}},
		{"sidecar", `{spec: {restartPolicy: Never, initContainers: [{name: i, image: i, restartPolicy: Always}]}, status: {initContainerStatuses: [{name: i, state: {terminated: {exitCode: 0}}}]}}`, `{status: {initContainerStatuses: [{name: i}]}}`, nil},
		{"ephemeral container", `{status: {ephemeralContainerStatuses: [{name: e, state: {terminated: {exitCode: 0}}}]}}`, `{status: {ephemeralContainerStatuses: [{name: e}]}}`,
			[]string{`status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state`}},
		{"class", `{status: {qosClass: BestEffort}}`, `{status: {qosClass: Guaranteed}}`, []string{`status.qosClass: Invalid value: "Guaranteed": field is immutable`}},
		{"conditions", `{}`, `{status: {conditions: [{type: Ready, status: "True"}, {type: "a b", status: "True", observedGeneration: -1}]}}`,
			wants(`status.conditions[1].`, `observedGeneration: Invalid value: -1: must be a non-negative integer`, `Type: Invalid value: "a b": name part must consist of`)},
		{"generation", `{}`, `{status: {observedGeneration: -1}}`, []string{`status.observedGeneration: Invalid value: -1: must be a non-negative integer`}},
		{"nominated", `{}`, `{status: {nominatedNodeName: n2}}`, nil},
		{"nominated badly", `{}`, `{status: {nominatedNodeName: A}}`, []string{`status.nominatedNodeName: Invalid value: "A": ` + notSubdomain}},
		{"nominated too late", `{spec: {nodeName: n1}}`, `{status: {nominatedNodeName: n2}}`, []string{`status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node`}},
		{"addresses", `{}`, `{status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}], hostIP: 10.1.0.1, hostIPs: [{ip: 10.1.0.1}]}}`, nil},
		{"bad addresses", `{}`, `{status: {podIP: x, podIPs: [{ip: x}], hostIPs: [{ip: z}]}}`, wants(`status.`, `podIPs[0]: Invalid value: "x": must be a valid IP address`, `hostIPs[0].ip: Invalid value: "z": must be equal to `+"`hostIP`", `hostIPs[0]: Invalid value: "z": must be a valid IP address`)},
		{"two addresses of a family", `{}`, `{status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.2}]}}`, []string{`status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: may specify no more than one IP for each IP family`}},
		{"user", `{}`, `{status: {containerStatuses: [{name: c, user: {linux: {uid: 4294967296, gid: -1, supplementalGroups: [-1]}}}]}}`, wants(`status.containerStatuses[0].user.linux.`,
			`uid: Invalid value: 4294967296: must be between 0 and 4294967295, inclusive`, `gid: Invalid value: -1: must be between 0 and 2147483647, inclusive`, `supplementalGroups[0]: Invalid value: -1`)},
		{"user of windows", inSpec(`os: {name: windows}`), `{status: {containerStatuses: [{name: c, user: {linux: {uid: 1, gid: 1}}}]}}`, []string{`status.containerStatuses[0].user.linux: Forbidden: cannot be set for a windows pod`}},
		{"devices", claimed, allocated(`name: "claim:a/r", resources: [{resourceID: x, health: Healthy}]`), nil},
		{"devices of nobody", claimed, allocated(`name: "claim:b"`), []string{`status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: "claim:b": must match one of the container's resource claims as 'claim:<claimName>/<requestName>'`}},
		{"resource that is not asked for", claimed, allocated(`name: memory`), []string{`status.containerStatuses[0].allocatedResourcesStatus[0].name: Invalid value: "memory": must match one of the container's resource requests`}},
		{"health", claimed, allocated(`name: cpu, resources: [{resourceID: x, health: Fine, message: ""}, {resourceID: x, health: Healthy}]`), wants(`status.containerStatuses[0].allocatedResourcesStatus[0].resources`,
			`[0].health: Unsupported value: "Fine": supported values: "Healthy", "Unhealthy", "Unknown"`, `[0].message: Required value: must be non-empty if specified`, `[1].resourceID: Duplicate value: "x"`)},
		{"health of an ephemeral container", `{}`, `{status: {ephemeralContainerStatuses: [{name: e, allocatedResourcesStatus: [{name: cpu}]}]}}`, []string{`status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container status`}},
		{"image volume", imageVolume("i"), imageVolume(`""`), []string{`status.containerStatuses[0].volumeMounts[0].volumeStatus.imageVolumeStatus.imageRef: Required value: imageRef must not be empty`}},
		{"image volume by a long name", imageVolume("i"), imageVolume(strings.Repeat("a", 257)), []string{`status.containerStatuses[0].volumeMounts[0].volumeStatus.imageVolumeStatus.imageRef: Too long: may not be more than 256 bytes`}},
		{"claims", claimed, `{status: {resourceClaimStatuses: [{name: a, resourceClaimName: A}, {name: a}, {name: b}]}}`, wants(`status.resourceClaimStatuses`,
			`[0].resourceClaimName: Invalid value: "A": `+notSubdomain, `[1].name: Duplicate value: "a"`, "[2].name: Invalid value: \"b\": must match the name of an entry in `spec.resourceClaims`")},
		{"extended claim", claimed, `{status: {extendedResourceClaimStatus: {resourceClaimName: "", requestMappings: [{containerName: c, resourceName: gpu, requestName: R}, {containerName: x, resourceName: cpu, requestName: r}, {containerName: c, resourceName: cpu, requestName: r}, {containerName: c, resourceName: cpu, requestName: r}]}}}`, wants(`status.extendedResourceClaimStatus.`,
			`requestMappings[0].resourceName: Invalid value: "gpu": must match the extended resource name`, `requestName: Invalid value: "R": `+notLabel, `requestMappings[1].containerName: Invalid value: "x": must match the name of an entry`,
			`requestMappings[3].containerName: Duplicate value: "c"`, `requestMappings[3].resourceName: Duplicate value: "cpu"`, `requestMappings[3].requestName: Duplicate value: "r"`, `resourceClaimName: Required value`)},
		{"extended claim for nothing", claimed, `{status: {extendedResourceClaimStatus: {resourceClaimName: x, requestMappings: []}}}`, []string{`status.extendedResourceClaimStatus.requestMappings: Required value: at least one request mapping is required`}},
		{"node's own resources", strings.Replace(claimed, `status: {`, `status: {nodeAllocatableResourceClaimStatuses: [{resourceClaimName: x}], `, 1), `{status: {nodeAllocatableResourceClaimStatuses: [{resourceClaimName: z, mapping: [{name: gpu, quantity: -1}], overhead: [{name: cpu}, {name: cpu, perPod: -1, perContainer: 1}]}]}}`, wants(`status.nodeAllocatableResourceClaimStatuses[0].`,
			`resourceClaimName: Invalid value: "z": no mapping found in pod reference`, `mapping[0].name: Invalid value: "gpu": must be a node allocatable resource name`, `mapping[0].quantity: Invalid value: "-1": must be non-negative`,
			`overhead[0]: Invalid value: "": at least one of perPod or perContainer must be set`, `overhead[1].perPod: Invalid value: "-1": must be non-negative`)},
		{"annotations", `{metadata: {annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: n1}}`, `{metadata: {annotations: null}}`, []string{`metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not remove or update mirror pod annotation`}},
		{"what annotations say", `{}`, `{metadata: {annotations: {controller.kubernetes.io/pod-deletion-cost: x}}}`, []string{`metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit integer`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := core.Pod()
			old := kindtest.Parse(t, k, plainPod, c.old)
			k.Default(old)
			data := kindtest.YAML(t, old)
			pod := kindtest.Parse(t, k, data, c.patch)
			k.Status.PrepareUpdate(pod, old)
			kindtest.Check(t, k.Status.Validate(pod, old), c.want...)
		})
	}
}
