package core_test

import (
	"strings"
	"testing"
)

func TestContainers(t *testing.T) {
	const at = `spec.containers[0].`
	refusePods(t, []podCase{
		{inSpec(`containers: []`), wants(`spec.`, `containers: Required value`)},
		{inSpec(`containers: [{name: c}]`), wants(at, `image: Required value`)},
		{inSpec(`containers: [{image: i}]`), wants(at, `name: Required value`)},
		{inSpec(`containers: [{name: c, image: "i "}]`), wants(at, `image: Invalid value: "i ": must not have leading or trailing whitespace`)},
		{inSpec(`containers: [{name: A_b, image: i}]`), wants(at, `name: Invalid value: "A_b": `+notLabel)},
		{inSpec(`containers: [{name: c, image: i}, {name: c, image: i}]`), wants(`spec.`, `containers[1].name: Duplicate value: "c"`)},
		{inSpec(`initContainers: [{name: c, image: i}]`), wants(`spec.`, `initContainers[0].name: Duplicate value: "c"`)},
		{inContainer(`imagePullPolicy: Often`), wants(at, `imagePullPolicy: Unsupported value: "Often": supported values: "Always", "IfNotPresent", "Never"`)},
		{inContainer(`terminationMessagePolicy: Mail`), wants(at, `terminationMessagePolicy: Unsupported value: "Mail": supported values: "File", "FallbackToLogsOnError"`)},
	})
}

func TestContainerPorts(t *testing.T) {
	ports := func(list string) string { return inContainer(`ports: [` + list + `]`) }
	const at = `spec.containers[0].ports`
	refusePods(t, []podCase{
		{ports(`{name: web, containerPort: 80, hostPort: 8080, protocol: SCTP}`), nil},
		{ports(`{name: web}`), wants(at, `[0].containerPort: Required value`)},
		{ports(`{containerPort: 70000}`), wants(at, `[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive`)},
		{ports(`{containerPort: 1, hostPort: 70000}`), wants(at, `[0].hostPort: Invalid value: 70000: must be between 1 and 65535, inclusive`)},
		{ports(`{containerPort: 1, protocol: ICMP}`), wants(at, `[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`)},
		{ports(`{name: Web, containerPort: 1}`), wants(at, `[0].name: Invalid value: "Web": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`)},
		{ports(`{name: web, containerPort: 1}, {name: web, containerPort: 2}`), wants(at, `[1].name: Duplicate value: "web"`)},
		{inSpec(`containers: [{name: c, image: i, ports: [{containerPort: 1, hostPort: 9}]}, {name: d, image: i, ports: [{containerPort: 1, hostPort: 9}, {containerPort: 2, hostPort: 9, hostIP: 127.0.0.1}]}]`), wants(`spec.`, `containers[1].ports[0].hostPort: Duplicate value: "TCP//9"`)},
		{inSpec(`initContainers: [{name: i, image: i, ports: [{containerPort: 1, hostPort: 9}]}, {name: j, image: i, ports: [{containerPort: 1, hostPort: 9}, {containerPort: 2, hostPort: 9}]}]`), wants(`spec.`, `initContainers[1].ports[1].hostPort: Duplicate value: "TCP//9"`)},
	})
}

func TestEnvironment(t *testing.T) {
	env := func(v string) string { return inContainer(`env: [{` + v + `}]`) }
	from := func(source string) string { return env(`name: A, valueFrom: {` + source + `}`) }
	const at = `spec.containers[0].env[0]`
	refusePods(t, []podCase{
		{env(`value: x`), wants(at, `.name: Required value`)},
		{env(`name: "a=b"`), wants(at, `.name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`)},
		{env(`name: "a b", value: x`), nil},
		{from(``), wants(at, ".valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`")},
		{env(`name: A, value: x, valueFrom: {secretKeyRef: {name: s, key: k}}`), wants(at, ".valueFrom: Invalid value: \"\": may not be specified when `value` is not empty")},
		{from(`secretKeyRef: {name: s, key: k}, configMapKeyRef: {name: s, key: k}`), wants(at, `.valueFrom: Invalid value: "": may not have more than one field specified at a time`)},
		{from(`secretKeyRef: {key: k}`), wants(at, `.valueFrom.secretKeyRef.name: Invalid value: "": `+notSubdomain)},
		{from(`secretKeyRef: {name: s}`), wants(at, `.valueFrom.secretKeyRef.key: Required value`)},
		{from(`configMapKeyRef: {name: s, key: a/b}`), wants(at, `.valueFrom.configMapKeyRef.key: Invalid value: "a/b": a valid config key must consist of`)},
		{from(`fieldRef: {fieldPath: status.podIPs}`), nil},
		{from(`fieldRef: {fieldPath: "metadata.annotations['Example.com/A']"}`), nil},
		{from(`fieldRef: {}`), wants(at, `.valueFrom.fieldRef.fieldPath: Required value`)},
		{from(`fieldRef: {apiVersion: v2, fieldPath: metadata.name}`), wants(at, `.valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name": error converting fieldPath: unsupported pod version: v2`)},
		{from(`fieldRef: {fieldPath: spec.x}`), wants(at, `.valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x`)},
		{from(`fieldRef: {fieldPath: metadata.labels}`), wants(at, `.valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"`)},
		{from(`fieldRef: {fieldPath: spec.restartPolicy}`), wants(at, `.valueFrom.fieldRef.fieldPath: Unsupported value: "spec.restartPolicy"`)},
		{from(`fieldRef: {fieldPath: "metadata.name['a']"}`), wants(at, `.valueFrom.fieldRef.fieldPath: Invalid value: "metadata.name['a']": error converting fieldPath: field label does not support subscript: metadata.name['a']`)},
		{from(`fieldRef: {fieldPath: "metadata.labels['a b']"}`), wants(at, `.valueFrom.fieldRef: Invalid value: "a b": name part must consist of`)},
		{from(`resourceFieldRef: {}`), wants(at, `.valueFrom.resourceFieldRef.resource: Required value`)},
		{from(`resourceFieldRef: {resource: limits.ram}`), wants(at, `.valueFrom.resourceFieldRef.resource: Unsupported value: "limits.ram": supported values: "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"`)},
		{from(`resourceFieldRef: {resource: limits.hugepages-2Mi, divisor: 1Mi}`), nil},
		{from(`resourceFieldRef: {resource: limits.cpu, divisor: 1k}`), wants(at, `.valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource`)},
		{from(`resourceFieldRef: {resource: requests.memory, divisor: 1m}`), wants(at, `.valueFrom.resourceFieldRef.divisor: Invalid value: "requests.memory": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource`)},
		{from(`resourceFieldRef: {resource: requests.ephemeral-storage, divisor: 2}`), wants(at, `.valueFrom.resourceFieldRef.divisor: Invalid value: "requests.ephemeral-storage": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the local ephemeral storage resource`)},
		{from(`resourceFieldRef: {resource: limits.hugepages-2Mi, divisor: 2}`), wants(at, `.valueFrom.resourceFieldRef.divisor: Invalid value: "limits.hugepages-2Mi": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the hugepages resource`)},
		{from(`fileKeyRef: {}`), wants(at+`.valueFrom.fileKeyRef.`, `key: Required value`, `volumeName: Required value`, `path: Required value`, `volumeName: Not found: ""`)},
		{from(`fileKeyRef: {key: "a=b", volumeName: A, path: ../x}`), wants(at+`.valueFrom.fileKeyRef.`, `key: Invalid value: "a=b"`, `volumeName: Invalid value: "A": `+notLabel, `path: Invalid value: "../x": must not contain '..'`, `volumeName: Not found: "A"`)},
		{inSpec(`volumes: [{name: v, configMap: {name: m}}], containers: [{name: c, image: i, env: [{name: A, valueFrom: {fileKeyRef: {key: k, volumeName: v, path: p}}}]}]`), wants(at, `.valueFrom.fileKeyRef.volumeName: Invalid value: "v": referenced volume must be of type emptyDir`)},
		{inSpec(`volumes: [{name: v, emptyDir: {}}], containers: [{name: c, image: i, env: [{name: A, valueFrom: {fileKeyRef: {key: k, volumeName: v, path: p}}}]}]`), nil},
	})
}

func TestEnvironmentFrom(t *testing.T) {
	from := func(source string) string { return inContainer(`envFrom: [{` + source + `}]`) }
	const at = `spec.containers[0].envFrom`
	refusePods(t, []podCase{
		{from(`prefix: A_, configMapRef: {name: m}`), nil},
		{from(`prefix: "=", secretRef: {name: s}`), wants(at, `[0].prefix: Invalid value: "=": a valid environment variable name must consist only of`)},
		{from(``), wants(at, ": Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`")},
		{from(`configMapRef: {name: m}, secretRef: {name: s}`), wants(at, `: Invalid value: "": may not have more than one field specified at a time`)},
		{from(`configMapRef: {}`), wants(at, `[0].configMapRef.name: Required value`)},
		{from(`secretRef: {name: A}`), wants(at, `[0].secretRef.name: Invalid value: "A": `+notSubdomain)},
	})
}

func TestProbes(t *testing.T) {
	liveness := func(fields string) string { return inContainer(`livenessProbe: {` + fields + `}`) }
	const at = `spec.containers[0].livenessProbe`
	refusePods(t, []podCase{
		{liveness(``), wants(at, `: Required value: must specify a handler type`)},
		{liveness(`exec: {}, tcpSocket: {port: 1}, grpc: {port: 1}`), wants(at, `.exec.command: Required value`, `.tcpSocket: Forbidden: may not specify more than 1 handler type`, `.grpc: Forbidden: may not specify more than 1 handler type`)},
		{liveness(`tcpSocket: {port: 0}`), wants(at, `.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive`)},
		{liveness(`tcpSocket: {port: "1-"}`), wants(at, `.tcpSocket.port: Invalid value: "1-": must contain at least one letter (a-z)`, `.tcpSocket.port: Invalid value: "1-": must not begin or end with a hyphen`)},
		{liveness(`grpc: {port: 0}`), wants(at, `.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive`)},
		{liveness(`httpGet: {port: web, scheme: FTP, httpHeaders: [{name: "a b"}]}`), wants(at, `.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"`, `.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of`)},
		{liveness(`tcpSocket: {port: 1}, initialDelaySeconds: -1, timeoutSeconds: -1, periodSeconds: -1, failureThreshold: -1`),
			wants(at+`.`, each(`: Invalid value: -1: must be greater than or equal to 0`, "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold")...)},
		{liveness(`tcpSocket: {port: 1}, successThreshold: -1`), wants(at, `.successThreshold: Invalid value: -1: must be greater than or equal to 0`, `.successThreshold: Invalid value: -1: must be 1`)},
		{liveness(`tcpSocket: {port: 1}, successThreshold: 2`), wants(at, `.successThreshold: Invalid value: 2: must be 1`)},
		{liveness(`tcpSocket: {port: 1}, terminationGracePeriodSeconds: 0`), wants(at, `.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0`)},
		{inContainer(`startupProbe: {tcpSocket: {port: 1}, successThreshold: 2}`), wants(`spec.containers[0].`, `startupProbe.successThreshold: Invalid value: 2: must be 1`)},
		{inContainer(`readinessProbe: {tcpSocket: {port: 1}, successThreshold: 2}`), nil},
		{inContainer(`readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 2}`), wants(`spec.containers[0].`, `readinessProbe.terminationGracePeriodSeconds: Invalid value: 2: must not be set for readinessProbes`)},
	})
	refuseUsed(t, []podCase{
		{liveness(`grpc: {port: 1, mode: Secret}`), wants(at, `.grpc.mode: Unsupported value: "Secret": supported values: "Plaintext", "TLS"`)},
		{liveness(`httpGet: {port: web, protocol: HTTP2}`), nil},
		{liveness(`httpGet: {port: web, protocol: HTTP9}`), wants(at, `.httpGet.protocol: Unsupported value: "HTTP9": supported values: "HTTP1", "HTTP2"`)},
		{liveness(`httpGet: {port: web, protocol: HTTP2, scheme: HTTPS}`), wants(at, `.httpGet.protocol: Invalid value: "HTTP2": is only supported with HTTP (H2C)`)},
		{liveness(`httpGet: {port: web, protocol: HTTP2, host: a}`), wants(at, ".httpGet.host: Invalid value: \"a\": must be empty when `protocol` is \"HTTP2\"")},
	})
}

func TestLifecycle(t *testing.T) {
	stop := func(handler string) string {
		return inSpec(`terminationGracePeriodSeconds: 5, containers: [{name: c, image: i, lifecycle: {preStop: {` + handler + `}}}]`)
	}
	signal := func(os, signal string) string {
		return inSpec(os + `containers: [{name: c, image: i, lifecycle: {stopSignal: ` + signal + `}}]`)
	}
	const at = `spec.containers[0].lifecycle.`
	refusePods(t, []podCase{
		{stop(`sleep: {seconds: 0}`), nil},
		{stop(`sleep: {seconds: 6}`), wants(at, `preStop.sleep: Invalid value: 6: must be non-negative and less than terminationGracePeriodSeconds (5)`)},
		{stop(`sleep: {seconds: -1}`), wants(at, `preStop.sleep: Invalid value: -1: must be non-negative`)},
		{stop(``), wants(at, `preStop: Required value: must specify a handler type`)},
		{inContainer(`lifecycle: {postStart: {exec: {}}}`), wants(at, `postStart.exec.command: Required value`)},
	})
	refuseUsed(t, []podCase{
		{signal(``, `SIGTERM`), wants(at, "stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`")},
		{signal(`os: {name: linux}, `, `SIGRTMIN+15`), nil},
		{signal(`os: {name: linux}, `, `SIGNONE`), wants(at, `stopSignal: Unsupported value: "SIGNONE": supported values: "SIGABRT", "SIGALRM", `)},
		{signal(`os: {name: windows}, `, `SIGHUP`), wants(at, `stopSignal: Unsupported value: "SIGHUP": supported values: "SIGKILL", "SIGTERM"`)},
	})
}

func TestInitContainers(t *testing.T) {
	init := func(fields string) string { return inSpec(`initContainers: [{name: i, image: i, ` + fields + `}]`) }
	const at = `spec.initContainers[0].`
	refusePods(t, []podCase{
		{init(`lifecycle: {}, livenessProbe: {}, readinessProbe: {}, startupProbe: {}`), wants(at, each(`: Forbidden: may not be set for init containers without restartPolicy=Always`, "lifecycle", "livenessProbe", "readinessProbe", "startupProbe")...)},
		{init(`restartPolicy: Always, lifecycle: {postStart: {sleep: {seconds: 1}}}, readinessProbe: {tcpSocket: {port: 1}}`), nil},
		{init(`restartPolicy: Always, readinessProbe: {}`), wants(at, `readinessProbe: Required value: must specify a handler type`)},
		{init(`restartPolicy: Never, readinessProbe: {tcpSocket: {port: 1}}`), wants(at, `readinessProbe: Forbidden`)},
		{init(`resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]`), wants(at, `resizePolicy[0].restartPolicy: Invalid value: "RestartContainer": must not be set to 'RestartContainer' for non-sidecar initContainers`)},
		{init(`restartPolicy: Always, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]`), nil},
	})
}

func TestContainerRestartPolicy(t *testing.T) {
	const at = `spec.containers[0].`
	rules := func(list string) string {
		return inContainer(`restartPolicy: Never, restartPolicyRules: [` + list + `]`)
	}
	refusePods(t, []podCase{
		{rules(`{action: Restart, exitCodes: {operator: In, values: [1]}}, {action: RestartAllContainers, exitCodes: {operator: NotIn, values: [1]}}`), nil},
		{inContainer(`restartPolicy: Maybe`), wants(at, `restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", "OnFailure"`)},
		{inContainer(`restartPolicyRules: [{action: Restart, exitCodes: {operator: In}}]`), wants(at, `restartPolicy: Required value: must specify restartPolicy when restart rules are used`)},
		{rules(`{action: Stop}`), wants(at, `restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", "RestartAllContainers"`, `restartPolicyRules[0].exitCodes: Required value: must be specified`)},
		{rules(`{action: Restart, exitCodes: {operator: Is}}`), wants(at, `restartPolicyRules[0].exitCodes.operator: Unsupported value: "Is": supported values: "In", "NotIn"`)},
		{rules(`{action: Restart, exitCodes: {operator: In, values: [` + strings.Repeat("1,", 256) + `]}}`), wants(at, `restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items`)},
		{rules(strings.Repeat(`{action: Restart, exitCodes: {operator: In, values: [1]}}, `, 21)), wants(at, `restartPolicyRules: Too many: 21: must have at most 20 items`)},
	})
}
