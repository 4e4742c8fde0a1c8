package core_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const plainPod = `
spec:
  containers:
  - {name: c, image: nginx}
`

func TestPodDefaults(t *testing.T) {
	pod := kindtest.Created(t, core.Pod(), `
spec:
  serviceAccount: robot
  hostNetwork: true
  volumes:
  - {name: scratch}
  - {name: conf, configMap: {name: x}}
  - {name: secret, secret: {secretName: x}}
  - {name: token, projected: {sources: [{serviceAccountToken: {path: token}}]}}
  - {name: pod, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}
  - {name: host, hostPath: {path: /srv}}
  initContainers:
  - {name: i, image: "registry:5000/init"}
  containers:
  - name: c
    image: nginx:1.27
    ports: [{containerPort: 80}]
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    resources: {limits: {cpu: 500.5m, memory: 64Mi}, requests: {cpu: 100m}}
    livenessProbe: {httpGet: {port: 80}}
    readinessProbe: {grpc: {port: 90}, periodSeconds: 1}
`)
	const want = `metadata:
  generation: 1
  name: a
  namespace: ns
spec:
  containers:
  - env:
    - name: IP
      valueFrom:
        fieldRef:
          apiVersion: v1
          fieldPath: status.podIP
    image: nginx:1.27
    imagePullPolicy: IfNotPresent
    livenessProbe:
      failureThreshold: 3
      httpGet:
        path: /
        port: 80
        scheme: HTTP
      periodSeconds: 10
      successThreshold: 1
      timeoutSeconds: 1
    name: c
    ports:
    - containerPort: 80
      hostPort: 80
      protocol: TCP
    readinessProbe:
      failureThreshold: 3
      grpc:
        port: 90
        service: ""
      periodSeconds: 1
      successThreshold: 1
      timeoutSeconds: 1
    resources:
      limits:
        cpu: 501m
        memory: 64Mi
      requests:
        cpu: 100m
        memory: 64Mi
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  hostNetwork: true
  initContainers:
  - image: registry:5000/init
    imagePullPolicy: Always
    name: i
    resources: {}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccount: robot
  serviceAccountName: robot
  terminationGracePeriodSeconds: 30
  volumes:
  - emptyDir: {}
    name: scratch
  - configMap:
      defaultMode: 420
      name: x
    name: conf
  - name: secret
    secret:
      defaultMode: 420
      secretName: x
  - name: token
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken:
          expirationSeconds: 3600
          path: token
  - downwardAPI:
      defaultMode: 420
      items:
      - fieldRef:
          apiVersion: v1
          fieldPath: metadata.name
        path: name
    name: pod
  - hostPath:
      path: /srv
      type: ""
    name: host
status:
  phase: Pending
  qosClass: Burstable
`
	if d := cmp.Diff(want, kindtest.YAML(t, pod)); d != "" {
		t.Error(d)
	}
}

func TestPullPolicyFollowsTag(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"nginx": corev1.PullAlways, "nginx:latest": corev1.PullAlways, "r:5000/nginx": corev1.PullAlways,
		"nginx:1": corev1.PullIfNotPresent, "r:5000/a/nginx:1": corev1.PullIfNotPresent,
		"nginx@sha256:0123":        corev1.PullIfNotPresent,
		"nginx:latest@sha256:0123": corev1.PullIfNotPresent,
	} {
		pod := kindtest.Created(t, core.Pod(), plainPod, `{spec: {containers: [{name: c, image: "`+image+`"}]}}`).(*corev1.Pod)
		if got := pod.Spec.Containers[0].ImagePullPolicy; got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestTemplateIsNotFilledLikeAPod(t *testing.T) {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{
		Ports: []corev1.ContainerPort{{ContainerPort: 1}}}}}}
	core.DefaultPodTemplate(&template)
	if template.Spec.EnableServiceLinks != nil || template.Spec.Containers[0].Ports[0].HostPort != 0 {
		t.Error("a template got what belongs to pods")
	}
}

func TestQualityOfService(t *testing.T) {
	for _, c := range []struct {
		resources string
		want      corev1.PodQOSClass
	}{
		{`{}`, corev1.PodQOSBestEffort},
		{`{requests: {cpu: 1}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1, memory: 1Gi}}`, corev1.PodQOSGuaranteed},
		{`{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: "0"}}`, corev1.PodQOSBurstable},
		{`{limits: {cpu: 1, memory: 1Gi}, requests: {cpu: "1", memory: 1024Mi}}`, corev1.PodQOSGuaranteed},
		{`{requests: {example.com/gpu: 1}, limits: {example.com/gpu: 1}}`, corev1.PodQOSBestEffort},
	} {
		pod := kindtest.Created(t, core.Pod(), `{spec: {containers: [{name: c, image: i, resources: `+c.resources+`}]}}`).(*corev1.Pod)
		if pod.Status.QOSClass != c.want {
			t.Errorf("%s: %s, want %s", c.resources, pod.Status.QOSClass, c.want)
		}
	}
}

func TestPodValidation(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		want        []string
	}{
		{"plain", `{}`, nil},
		{"no containers", `{spec: {containers: []}}`, []string{`spec.containers: Required value`}},
		{"no image", `{spec: {containers: [{name: c}]}}`, []string{`spec.containers[0].image: Required value`}},
		{"no name", `{spec: {containers: [{image: i}]}}`, []string{`spec.containers[0].name: Required value`}},
		{"spaces around image", `{spec: {containers: [{name: c, image: "i "}]}}`,
			[]string{`spec.containers[0].image: Invalid value: "i ": must not have leading or trailing whitespace`}},
		{"bad name", `{spec: {containers: [{name: A_b, image: i}]}}`,
			[]string{`spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of`}},
		{"name twice", `{spec: {initContainers: [{name: c, image: i}]}}`,
			[]string{`spec.initContainers[0].name: Duplicate value: "c"`}},
		{"mount of no volume", `{spec: {containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}]}}`,
			[]string{`spec.containers[0].volumeMounts[0].name: Not found: "v"`}},
		{"mount point twice", `{spec: {volumes: [{name: v}], containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /v}]}]}}`,
			[]string{`spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/v": must be unique`}},
		{"sub path leads out", `{spec: {volumes: [{name: v}], containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v, subPath: ../x}]}]}}`,
			[]string{`spec.containers[0].volumeMounts[0].subPath: Invalid value: "../x": must not contain '..'`}},
		{"volume twice", `{spec: {volumes: [{name: v}, {name: v}]}}`,
			[]string{`spec.volumes[1].name: Duplicate value: "v"`}},
		{"two sources", `{spec: {volumes: [{name: v, emptyDir: {}, configMap: {name: x}}]}}`,
			[]string{`spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type`}},
		{"secret without name", `{spec: {volumes: [{name: v, secret: {}}]}}`,
			[]string{`spec.volumes[0].secret.secretName: Required value`}},
		{"file mode", `{spec: {volumes: [{name: v, secret: {secretName: s, defaultMode: 1000}}]}}`,
			[]string{`spec.volumes[0].secret.defaultMode: Invalid value: 1000: must be a number between 0 and 0777 (octal), both inclusive`}},
		{"projected paths clash", `{spec: {volumes: [{name: v, projected: {sources: [{secret: {name: s, items: [{key: k, path: p}]}}, {configMap: {name: s, items: [{key: k, path: p}]}}]}}]}}`,
			[]string{`spec.volumes[0].projected: Invalid value: "p": conflicting duplicate paths`}},
		{"request above limit", `{spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 1}, limits: {cpu: 500m}}}]}}`,
			[]string{`spec.containers[0].resources.requests: Invalid value: "1": must be less than or equal to cpu limit of 500m`}},
		{"negative amount", `{spec: {containers: [{name: c, image: i, resources: {requests: {memory: -1}}}]}}`,
			[]string{`spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0`}},
		{"unknown resource", `{spec: {containers: [{name: c, image: i, resources: {requests: {ram: 1}}}]}}`,
			[]string{`spec.containers[0].resources.requests[ram]: Invalid value: "ram": must be a standard resource for containers`}},
		{"extended resource over", `{spec: {containers: [{name: c, image: i, resources: {requests: {example.com/gpu: 1}, limits: {example.com/gpu: 2}}}]}}`,
			[]string{`spec.containers[0].resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2`}},
		{"port range", `{spec: {containers: [{name: c, image: i, ports: [{containerPort: 70000}]}]}}`,
			[]string{`spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive`}},
		{"port missing", `{spec: {containers: [{name: c, image: i, ports: [{name: web}]}]}}`,
			[]string{`spec.containers[0].ports[0].containerPort: Required value`}},
		{"port name twice", `{spec: {containers: [{name: c, image: i, ports: [{name: web, containerPort: 1}, {name: web, containerPort: 2}]}]}}`,
			[]string{`spec.containers[0].ports[1].name: Duplicate value: "web"`}},
		{"port protocol", `{spec: {containers: [{name: c, image: i, ports: [{containerPort: 1, protocol: ICMP}]}]}}`,
			[]string{`spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`}},
		{"host port twice", `{spec: {containers: [{name: c, image: i, ports: [{containerPort: 1, hostPort: 9}]}, {name: d, image: i, ports: [{containerPort: 1, hostPort: 9}]}]}}`,
			[]string{`spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//9"`}},
		{"env without name", `{spec: {containers: [{name: c, image: i, env: [{value: x}]}]}}`,
			[]string{`spec.containers[0].env[0].name: Required value`}},
		{"env name", `{spec: {containers: [{name: c, image: i, env: [{name: "a=b"}]}]}}`,
			[]string{`spec.containers[0].env[0].name: Invalid value: "a=b"`}},
		{"env from nothing", `{spec: {containers: [{name: c, image: i, env: [{name: A, valueFrom: {}}]}]}}`,
			[]string{`spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of`}},
		{"env with value and source", `{spec: {containers: [{name: c, image: i, env: [{name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}}]}]}}`,
			[]string{`spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `}},
		{"env from unknown field", `{spec: {containers: [{name: c, image: i, env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.x}}}]}]}}`,
			[]string{`spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.x": supported values: "metadata.name"`}},
		{"probe without action", `{spec: {containers: [{name: c, image: i, livenessProbe: {}}]}}`,
			[]string{`spec.containers[0].livenessProbe: Required value: must specify a handler type`}},
		{"probe with two actions", `{spec: {containers: [{name: c, image: i, livenessProbe: {exec: {command: [x]}, tcpSocket: {port: 1}}}]}}`,
			[]string{`spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type`}},
		{"liveness needs one success", `{spec: {containers: [{name: c, image: i, livenessProbe: {successThreshold: 2, tcpSocket: {port: 1}}}]}}`,
			[]string{`spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1`}},
		{"readiness has no grace", `{spec: {containers: [{name: c, image: i, readinessProbe: {terminationGracePeriodSeconds: 2, tcpSocket: {port: 1}}}]}}`,
			[]string{`spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 2: must not be set for readinessProbes`}},
		{"probe by port name", `{spec: {containers: [{name: c, image: i, readinessProbe: {httpGet: {port: web}}}]}}`, nil},
		{"init container with probe", `{spec: {initContainers: [{name: i, image: i, readinessProbe: {tcpSocket: {port: 1}}}]}}`,
			[]string{`spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always`}},
		{"sidecar with probe", `{spec: {initContainers: [{name: i, image: i, restartPolicy: Always, readinessProbe: {tcpSocket: {port: 1}}}]}}`, nil},
		{"restart policy", `{spec: {restartPolicy: Maybe}}`,
			[]string{`spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"`}},
		{"DNS none without servers", `{spec: {dnsPolicy: None}}`,
			[]string{"spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"}},
		{"toleration", `{spec: {tolerations: [{operator: Equal, value: x}]}}`,
			[]string{`spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `}},
		{"toleration seconds", `{spec: {tolerations: [{key: k, operator: Exists, effect: NoSchedule, tolerationSeconds: 3}]}}`,
			[]string{`spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be 'NoExecute' when `}},
		{"node selector", `{spec: {nodeSelector: {"a b": x}}}`,
			[]string{`spec.nodeSelector: Invalid value: "a b": name part must consist of`}},
		{"empty node affinity", `{spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}}}`,
			[]string{`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term`}},
		{"affinity without topology", `{spec: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {a: b}}}]}}}}`,
			[]string{`spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty`,
				`spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: ""`,
				`spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: ""`}},
		{"node affinity without values", `{spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [x]}, {key: c, operator: Gt}, {key: d, operator: Like}]}]}}}}}`,
			[]string{`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `,
				`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values: Forbidden: may not be specified when `,
				`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[2].values: Required value: must be specified single value when `,
				`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[3].operator: Invalid value: "Like": not a valid selector operator`}},
		{"affinity weight", `{spec: {affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, preference: {matchFields: [{key: metadata.name, operator: In, values: [n1]}]}}]}}}}`,
			[]string{`spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100`}},
		{"downward files", `{spec: {volumes: [{name: v, downwardAPI: {items: [{path: a, fieldRef: {fieldPath: "metadata.labels['x']"}}, {path: ../b, fieldRef: {fieldPath: spec.nodeName}}, {path: c}, {path: d, resourceFieldRef: {resource: limits.cpu}}]}}]}}`,
			[]string{`spec.volumes[0].downwardAPI.items[1].path: Invalid value: "../b": must not contain '..'`,
				`spec.volumes[0].downwardAPI.items[1].fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"`,
				`spec.volumes[0].downwardAPI.items[2]: Required value: one of fieldRef and resourceFieldRef is required`,
				`spec.volumes[0].downwardAPI.items[3].resourceFieldRef.containerName: Required value`}},
		{"short token", `{spec: {volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 5}}]}}]}}`,
			[]string{`spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes`}},
		{"NFS", `{spec: {volumes: [{name: v, nfs: {server: s, path: x}}]}}`, []string{`spec.volumes[0].nfs.path: Invalid value: "x": must be an absolute path`}},
		{"host name", `{spec: {hostname: A.b}}`, []string{`spec.hostname: Invalid value: "A.b": a lowercase RFC 1123 label must consist of`}},
		{"host alias", `{spec: {hostAliases: [{ip: x, hostnames: [a]}]}}`, []string{`spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address`}},
		{"user", `{spec: {securityContext: {runAsUser: -1}}}`, []string{`spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive`}},
		{"privileged without escalation", `{spec: {containers: [{name: c, image: i, securityContext: {privileged: true, allowPrivilegeEscalation: false}}]}}`,
			[]string{`spec.containers[0].securityContext: Invalid value: `}},
		{"skew", `{spec: {topologySpreadConstraints: [{topologyKey: zone, maxSkew: 0, whenUnsatisfiable: DoNotSchedule}]}}`,
			[]string{`spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero`}},
		{"deadline", `{spec: {activeDeadlineSeconds: 0}}`,
			[]string{`spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive`}},
		{"sleep longer than grace", `{spec: {terminationGracePeriodSeconds: 5, containers: [{name: c, image: i, lifecycle: {preStop: {sleep: {seconds: 6}}}}]}}`,
			[]string{`spec.containers[0].lifecycle.preStop.sleep: Invalid value: 6: must be non-negative and less than terminationGracePeriodSeconds`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, core.Pod(), plainPod, c.patch), c.want...)
		})
	}
}

func TestPodUpdate(t *testing.T) {
	const forbidden = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
	for _, c := range []struct {
		name, old, patch string
		want             []string
	}{
		{"image", `{}`, `{spec: {containers: [{name: c, image: other, imagePullPolicy: Always, terminationMessagePath: /dev/termination-log}]}}`, nil},
		{"environment", `{}`, `{spec: {containers: [{name: c, image: nginx, env: [{name: A, value: b}]}]}}`, []string{forbidden}},
		{"node", `{}`, `{spec: {nodeName: n1}}`, []string{forbidden}},
		{"more containers", `{}`, `{spec: {containers: [{name: c, image: nginx}, {name: d, image: i}]}}`,
			[]string{`spec.containers: Forbidden: pod updates may not add or remove containers`}},
		{"labels", `{}`, `{metadata: {labels: {a: b}}}`, nil},
		{"deadline set", `{}`, `{spec: {activeDeadlineSeconds: 5}}`, nil},
		{"deadline shorter", `{spec: {activeDeadlineSeconds: 5}}`, `{spec: {activeDeadlineSeconds: 4}}`, nil},
		{"deadline longer", `{spec: {activeDeadlineSeconds: 5}}`, `{spec: {activeDeadlineSeconds: 6}}`,
			[]string{`spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value`}},
		{"deadline removed", `{spec: {activeDeadlineSeconds: 5}}`, `{spec: {activeDeadlineSeconds: null}}`,
			[]string{`spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value`}},
		{"toleration added", `{}`, `{spec: {tolerations: [{key: a, operator: Exists}]}}`, nil},
		{"toleration removed", `{spec: {tolerations: [{key: a, operator: Exists}]}}`, `{spec: {tolerations: []}}`,
			[]string{`spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds`}},
		{"negative grace to 1", `{spec: {terminationGracePeriodSeconds: -1}}`, `{spec: {terminationGracePeriodSeconds: 1}}`, nil},
		{"gate removed", `{spec: {schedulingGates: [{name: a}]}}`, `{spec: {schedulingGates: []}}`, nil},
		{"gate added", `{spec: {schedulingGates: [{name: a}]}}`, `{spec: {schedulingGates: [{name: a}, {name: b}]}}`,
			[]string{`spec.schedulingGates[1]: Forbidden: only deletion is allowed, but found new scheduling gate 'b'`}},
		{"gated pod narrowed", `{spec: {schedulingGates: [{name: a}]}}`, `{spec: {nodeSelector: {a: b}}}`, nil},
		{"gated pod tied to nodes", `{spec: {schedulingGates: [{name: a}]}}`, `{spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}}`, nil},
		{"gated pod widened", `{spec: {schedulingGates: [{name: a}], nodeSelector: {a: b}}}`, `{spec: {nodeSelector: {a: c}}}`, []string{forbidden}},
		{"other pod narrowed", `{}`, `{spec: {nodeSelector: {a: b}}}`, []string{forbidden}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := kindtest.Created(t, core.Pod(), plainPod, c.old)
			_, errs := kindtest.Update(t, core.Pod(), old, c.patch)
			kindtest.Check(t, errs, c.want...)
			if len(c.want) > 0 && c.want[0] == forbidden && !strings.Contains(errs[0].Detail, "\n") {
				t.Errorf("the error does not show the difference: %s", errs[0].Detail)
			}
		})
	}
}

func TestPodStatusWriterChangesStatusOnly(t *testing.T) {
	k := core.Pod()
	old := kindtest.Created(t, k, plainPod, `{spec: {restartPolicy: Never}}`).(*corev1.Pod)
	old.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}}}

	pod := old.DeepCopy()
	pod.Spec.NodeName = "elsewhere"
	pod.OwnerReferences = []metav1.OwnerReference{{UID: "stranger"}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "c"}}}
	k.Status.PrepareUpdate(pod, old)
	if pod.Spec.NodeName != "" || pod.OwnerReferences != nil || pod.Status.QOSClass != corev1.PodQOSBestEffort || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("prepared: %+v", pod)
	}
	kindtest.Check(t, k.Status.Validate(pod, old), `status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state`)
}

func TestPodGracePeriod(t *testing.T) {
	bound, finished := `{spec: {nodeName: n1}}`, `{spec: {nodeName: n1}, status: {phase: Succeeded}}`
	for _, c := range []struct {
		name, patch string
		requested   *int64
		want        int64
	}{
		{"from the pod", bound, nil, 30},
		{"asked for", bound, new(int64(3)), 3},
		{"negative", bound, new(int64(-1)), 1},
		{"not scheduled", `{}`, new(int64(3)), 0},
		{"finished", finished, nil, 0},
	} {
		pod := kindtest.Parse(t, core.Pod(), plainPod, c.patch)
		core.Pod().Default(pod)
		if got := core.Pod().GracePeriod(pod, c.requested); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestPodWarnings(t *testing.T) {
	pod := kindtest.Created(t, core.Pod(), `
spec:
  terminationGracePeriodSeconds: -3
  containers:
  - name: c
    image: i
    env: [{name: A, value: x}, {name: B}, {name: A, value: y}]
    ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}, {containerPort: 80}]
    resources: {limits: {memory: 128m}}
`)
	want := []string{
		`spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
		`spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply`,
		`spec.containers[0].ports[2]: duplicate port definition with spec.containers[0].ports[0]`,
		`spec.containers[0].resources.limits[memory]: fractional byte value "128m" is invalid, must be an integer`,
		`spec.containers[0].resources.requests[memory]: fractional byte value "128m" is invalid, must be an integer`,
	}
	if d := cmp.Diff(want, core.Pod().Warnings(pod)); d != "" {
		t.Error(d)
	}
	if w := core.Pod().Warnings(kindtest.Created(t, core.Pod(), plainPod)); w != nil {
		t.Errorf("a plain pod has warnings: %v", w)
	}
}
