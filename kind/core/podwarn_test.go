package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestPodWarnings(t *testing.T) {
	containers := func(fields string) string { return `containers: [{name: c, image: i, ` + fields + `}]` }
	projected := func(sources string) string {
		return `volumes: [{name: v, projected: {sources: [` + sources + `]}}]`
	}
	for _, c := range []struct {
		name, meta, spec string
		want             []string
	}{
		{"nothing", ``, ``, nil},
		{"name with a dot", `name: a.b`, ``, []string{`metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]`}},
		{"negative grace", ``, `terminationGracePeriodSeconds: -3`, []string{`spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`}},
		{"variables", ``, containers(`env: [{name: A, value: x}, {name: B}, {name: A, value: y}, {name: A, value: "$(A):z"}, {name: A, value: "$(A)"}, {name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]`), each(` hides previous definition of "A", which may be dropped when using apply`,
			`spec.containers[0].env[2]:`, `spec.containers[0].env[4]:`, `spec.containers[0].env[5]:`)},
		{"ports", ``, containers(`ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}, {containerPort: 80}, {containerPort: 80, hostPort: 80}]`), []string{
			`spec.containers[0].ports[2]: duplicate port definition with spec.containers[0].ports[0]`, `spec.containers[0].ports[3]: overlapping port definition with spec.containers[0].ports[0]`}},
		{"ports of several", ``, `containers: [{name: c, image: i, ports: [{containerPort: 80}]}, {name: d, image: i, ports: [{containerPort: 80}]}]`, []string{`spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]`}},
		{"host addresses", ``, containers(`ports: [{containerPort: 80, hostPort: 80}, {containerPort: 80, hostPort: 80, hostIP: 127.0.0.1}, {containerPort: 81, hostIP: 127.0.0.1}]`), []string{
			`spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]`,
			`spec.containers[0].ports[2]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:81 Protocol:TCP HostIP:127.0.0.1}`}},
		{"parts of bytes", ``, `overhead: {memory: 500m}, ` + containers(`resources: {limits: {memory: 128m}, requests: {memory: 128m, ephemeral-storage: 1500m}}`), []string{
			`spec.overhead[memory]: fractional byte value "500m" is invalid, must be an integer`,
			`spec.containers[0].resources.limits[memory]: fractional byte value "128m" is invalid, must be an integer`,
			`spec.containers[0].resources.requests[memory]: fractional byte value "128m" is invalid, must be an integer`,
			`spec.containers[0].resources.requests[ephemeral-storage]: fractional byte value "1500m" is invalid, must be an integer`}},
		{"old labels", ``, `nodeSelector: {beta.kubernetes.io/os: linux, beta.kubernetes.io/arch: amd64}, topologySpreadConstraints: [{topologyKey: failure-domain.beta.kubernetes.io/zone}],
			affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: beta.kubernetes.io/instance-type}]}]}, preferredDuringSchedulingIgnoredDuringExecution: [{preference: {matchExpressions: [{key: failure-domain.beta.kubernetes.io/region, values: ["a b"]}]}}]}}`, []string{
			`spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use "kubernetes.io/arch" instead`,
			`spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`,
			`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/instance-type is deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
			`spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key: failure-domain.beta.kubernetes.io/region is deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
			`spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values[0]: a b is invalid, a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`,
			`spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
			`spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod`}},
		{"affinity to no pod", ``, `affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a}]}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{podAffinityTerm: {topologyKey: a}}]}}`, []string{
			`spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: a null labelSelector results in matching no pod`,
			`spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod`}},
		{"old annotations", `annotations: {scheduler.alpha.kubernetes.io/critical-pod: "", security.alpha.kubernetes.io/sysctls: a, security.alpha.kubernetes.io/unsafe-sysctls: a, seccomp.security.alpha.kubernetes.io/pod: unconfined, container.seccomp.security.alpha.kubernetes.io/c: unconfined, container.apparmor.security.beta.kubernetes.io/c: unconfined}`, ``, []string{
			`metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead`,
			`metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the "sysctls" field instead`,
			`metadata.annotations[security.alpha.kubernetes.io/unsafe-sysctls]: non-functional in v1.11+; use the "sysctls" field instead`,
			`metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead`,
			`metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in v1.27+; use the "seccompProfile" field instead`,
			`metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead`}},
		{"duplicates", ``, `hostAliases: [{ip: 10.0.0.1}, {ip: 10.0.0.1}], imagePullSecrets: [{name: a}, {name: a}, {name: ""}]`, []string{
			`spec.hostAliases[1].ip: duplicate ip "10.0.0.1"`, `spec.imagePullSecrets[1].name: duplicate name "a"`, `spec.imagePullSecrets[2].name: invalid empty name ""`}},
		{"old volumes", ``, `volumes: [{name: a, photonPersistentDisk: {pdID: x}}, {name: b, gitRepo: {repository: x}}, {name: c, scaleIO: {}}, {name: d, flocker: {}}, {name: e, storageos: {}}, {name: f, quobyte: {}}, {name: g, glusterfs: {}}, {name: h, cephfs: {}}, {name: i, rbd: {}}]`, []string{
			`spec.volumes[0].photonPersistentDisk: deprecated in v1.11, non-functional in v1.16+`, `spec.volumes[1].gitRepo: deprecated in v1.11, and disabled by default in v1.33+`,
			`spec.volumes[2].scaleIO: deprecated in v1.16, non-functional in v1.22+`, `spec.volumes[3].flocker: deprecated in v1.22, non-functional in v1.25+`,
			`spec.volumes[4].storageOS: deprecated in v1.22, non-functional in v1.25+`, `spec.volumes[5].quobyte: deprecated in v1.22, non-functional in v1.25+`,
			`spec.volumes[6].glusterfs: deprecated in v1.25, non-functional in v1.26+`, `spec.volumes[7].cephfs: deprecated in v1.28, non-functional in v1.31+`, `spec.volumes[8].rbd: deprecated in v1.28, non-functional in v1.31+`}},
		{"part of a byte of a claim", ``, `volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {resources: {requests: {storage: 1500m}}}}}}]`, []string{
			`spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer`}},
		{"files in each other's place", ``, `volumes: [{name: m, configMap: {name: x, items: [{key: a, path: a/b}, {key: b, path: a/}, {key: c, path: ab}]}}, {name: s, secret: {secretName: x, items: [{key: a, path: a}, {key: b, path: a}]}}, {name: d, downwardAPI: {items: [{path: a}, {path: a/b/c}]}}]`, []string{
			`volume "m" (ConfigMap "x"): overlapping paths: "a/b" with "a"`, `volume "s" (Secret "x"): overlapping paths: "a" with "a"`, `volume "d" (DownwardAPI): overlapping paths: "a/b/c" with "a"`}},
		{"sources in each other's place", ``, projected(`{}, {secret: {name: x, items: [{key: a, path: a}]}}, {configMap: {name: w, items: [{key: a, path: a/b}]}}, {clusterTrustBundle: {name: z, path: a/c}}, {podCertificate: {keyPath: a/d}}`), []string{
			`volume "v" (Projected) has no sources provided`, `volume "v" (Projected ConfigMap "w"): overlapping paths: "a/b" with "a"`, `volume "v" (Projected ClusterTrustBundle "z"): overlapping paths: "a/c" with "a"`, `volume "v" (Projected PodCertificate): overlapping paths: "a/d" with "a"`}},
		{"token's place taken", ``, projected(`{serviceAccountToken: {path: t}}, {configMap: {name: w, items: [{key: a, path: t}]}}, {secret: {name: w, items: [{key: a, path: t}]}}, {downwardAPI: {items: [{path: t}]}}, {clusterTrustBundle: {signerName: z, path: t}}`), []string{
			`volume "v" (Projected ConfigMap "w"): overlapping paths: "t" with "t"`, `volume "v" (Projected Secret "w"): overlapping paths: "t" with "t"`, `volume "v" (Projected DownwardAPI): overlapping paths: "t" with "t"`, `volume "v" (Projected ClusterTrustBundle "z"): overlapping paths: "t" with "t"`,
			`spec.volumes[0].projected.sources.configMap[0]: has duplicated path with ServiceAccountToken "t"`, `spec.volumes[0].projected.sources.secrets[0]: has duplicated path with ServiceAccountToken "t"`,
			`spec.volumes[0].projected.sources.downwardAPI[0]: has duplicated path with ServiceAccountToken "t"`, `spec.volumes[0].projected.sources.ClusterTrustBundle: has duplicated path with ServiceAccountToken "t"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pod := kindtest.Created(t, core.Pod(), plainPod, `{metadata: {`+c.meta+`}, spec: {`+c.spec+`}}`)
			if d := cmp.Diff(c.want, core.Pod().Warnings(pod)); d != "" {
				t.Error(d)
			}
			if w := core.Pod().WarningsForUpdate(pod, pod); w != nil {
				t.Errorf("warned again: %v", w)
			}
		})
	}
}

func TestStatusWarnings(t *testing.T) {
	for _, c := range []struct {
		kind   *kind.Kind
		object string
		want   []string
	}{
		{core.Pod(), `{status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00:0::1"}], hostIPs: [{ip: 010.0.0.1}]}}`, []string{
			`status.podIPs[1].ip: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")`,
			`status.hostIPs[0].ip: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1"`}},
		{core.Service(), `{status: {loadBalancer: {ingress: [{hostname: a}, {ip: 010.0.0.1}]}}}`, []string{
			`status.loadBalancer.ingress[1]: non-standard IP address "010.0.0.1" is invalid: use "10.0.0.1"`}},
	} {
		obj := kindtest.Parse(t, c.kind, c.object)
		kindtest.CheckTexts(t, c.kind.Status.Warnings(obj, obj), c.want...)
	}
}

func TestPodTemplateWarnings(t *testing.T) {
	template := &corev1.PodTemplateSpec{}
	template.Annotations = map[string]string{"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}
	template.Spec.TerminationGracePeriodSeconds = new(int64(-1))
	template.Spec.Containers = []corev1.Container{{Name: "c"}}
	want := []string{
		`spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead`,
		`spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
	}
	if d := cmp.Diff(want, core.PodTemplateWarnings(template, field.NewPath("spec", "template"))); d != "" {
		t.Error(d)
	}
	template.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}}
	if d := cmp.Diff(want[1:], core.PodTemplateWarnings(template, field.NewPath("spec", "template"))); d != "" {
		t.Errorf("with the field: %s", d)
	}

	kind := core.PodTemplate()
	pt := kindtest.Created(t, kind, `{template: {spec: {terminationGracePeriodSeconds: -1, containers: [{name: c, image: i}]}}}`)
	if d := cmp.Diff([]string{`template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`}, kind.Warnings(pt)); d != "" {
		t.Error(d)
	}
}
