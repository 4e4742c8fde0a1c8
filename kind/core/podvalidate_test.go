package core_test

import (
	"strings"
	"testing"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

// podCase is a change of a plain pod, and the errors of creating it.
type podCase struct {
	patch string
	want  []string
}

// refusePods creates pods that differ from plainPod by one patch each.
func refusePods(t *testing.T, cases []podCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, core.Pod(), plainPod, c.patch), c.want...)
		})
	}
}

// refuseUsed is refusePods for the fields of features that are off: they are checked where they have been before, here in
// the template of pods.
func refuseUsed(t *testing.T, cases []podCase) {
	t.Helper()
	const used = `{spec: {schedulingGroup: {podGroupName: g}, tolerations: [{key: a, operator: Gt, value: "1"}],
		volumes: [{name: e, emptyDir: {mode: 0}}, {name: s, secret: {secretName: s, defaultUser: 1}}],
		containers: [{name: c, image: i, volumeMounts: [{name: e, mountPath: /e, bindMountOptions: [nodev]}], lifecycle: {stopSignal: SIGTERM},
			livenessProbe: {grpc: {port: 1, mode: TLS}}, readinessProbe: {httpGet: {port: 1, protocol: HTTP2}}}]}}`
	k := core.PodTemplate()
	old := kindtest.Parse(t, k, `{template: `+used+`}`)
	k.Default(old)
	for _, c := range cases {
		t.Run("used before/"+c.patch, func(t *testing.T) {
			template := kindtest.Parse(t, k, `{template: {spec: {containers: [{name: c, image: nginx}]}}}`, `{template: `+c.patch+`}`)
			k.Default(template)
			k.PrepareUpdate(template, old)
			kindtest.Check(t, k.ValidateUpdate(template, old), wants("template.", c.want...)...)
		})
	}
}

// inSpec, inContainer and inVolume make a patch of the fields of a spec, of its container or of a volume that is
// mounted nowhere.
func inSpec(fields string) string { return `{spec: {` + fields + `}}` }

func inContainer(fields string) string {
	return inSpec(`containers: [{name: c, image: i, ` + fields + `}]`)
}

func inVolume(fields string) string { return inSpec(`volumes: [{name: v, ` + fields + `}]`) }

// wants puts a prefix, which is the path that all errors have in common, before each error.
func wants(prefix string, errors ...string) []string {
	for i := range errors {
		errors[i] = prefix + errors[i]
	}
	return errors
}

const notLabel = `a lowercase RFC 1123 label must consist of`
const notSubdomain = `a lowercase RFC 1123 subdomain must consist of`

func TestPodPolicies(t *testing.T) {
	refusePods(t, []podCase{
		{`{}`, nil},
		{inSpec(`restartPolicy: Maybe`), wants(`spec.`, `restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"`)},
		{inSpec(`dnsPolicy: Mine`), wants(`spec.`, `dnsPolicy: Unsupported value: "Mine": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"`)},
		{inSpec(`preemptionPolicy: Sometimes`), wants(`spec.`, `preemptionPolicy: Unsupported value: "Sometimes": supported values: "PreemptLowerPriority", "Never"`)},
		{inSpec(`preemptionPolicy: ""`), wants(`spec.`, `preemptionPolicy: Required value`)},
		{inSpec(`preemptionPolicy: Never`), nil},
		{inSpec(`activeDeadlineSeconds: 0`), wants(`spec.`, `activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive`)},
		{inSpec(`activeDeadlineSeconds: 2147483648`), wants(`spec.`, `activeDeadlineSeconds: Invalid value: 2147483648: must be between 1 and 2147483647, inclusive`)},
		{inSpec(`terminationGracePeriodSeconds: -1`), nil}, // with a warning
		{inSpec(`readinessGates: [{conditionType: a b}]`), wants(`spec.`, `readinessGates[0].conditionType: Invalid value: "a b": name part must consist of`)},
		{inSpec(`schedulingGates: [{name: a}, {name: a}, {name: "b c"}]`), wants(`spec.schedulingGates`, `[1]: Duplicate value: "a"`, `[2]: Invalid value: "b c": name part must consist of`)},
		{inSpec(`nodeName: n1, schedulingGates: [{name: a}]`), wants(`spec.`, `nodeName: Forbidden: cannot be set until all schedulingGates have been cleared`)},
		{inSpec(`ephemeralContainers: [{name: e, image: i}]`), wants(`spec.`, `ephemeralContainers: Forbidden: cannot be set on create`)},
		{inSpec(`overhead: {ram: 1}`), wants(`spec.overhead.limits[ram]: Invalid value: "ram": `, `must be a standard resource type or fully qualified`, `must be a standard resource for containers`)},
	})
	refuseUsed(t, []podCase{
		{inSpec(`schedulingGroup: {}`), wants(`spec.`, "schedulingGroup.podGroupName: Invalid value: null: must specify one of: `podGroupName`")},
		{inSpec(`schedulingGroup: {podGroupName: A}`), wants(`spec.`, `schedulingGroup.podGroupName: Invalid value: "A": `+notSubdomain)},
	})
}

func TestPodNames(t *testing.T) {
	refusePods(t, []podCase{
		{inSpec(`nodeName: A`), wants(`spec.`, `nodeName: Invalid value: "A": `+notSubdomain)},
		{inSpec(`serviceAccountName: A`), wants(`spec.`, `serviceAccountName: Invalid value: "A": `+notSubdomain)},
		{inSpec(`priorityClassName: A`), wants(`spec.`, `priorityClassName: Invalid value: "A": `+notSubdomain)},
		{inSpec(`runtimeClassName: ""`), wants(`spec.`, `runtimeClassName: Invalid value: "": `+notSubdomain)},
		{inSpec(`hostname: a.b`), wants(`spec.`, `hostname: Invalid value: "a.b": must not contain dots`)},
		{inSpec(`subdomain: a.b`), wants(`spec.`, `subdomain: Invalid value: "a.b": must not contain dots`)},
		{inSpec(`hostAliases: [{ip: x, hostnames: [A]}]`), wants(`spec.hostAliases[0].`, `ip: Invalid value: "x": must be a valid IP address`, `hostnames[0]: Invalid value: "A": `+notSubdomain)},
		{inSpec(`hostAliases: [{ip: "fe80:0::1"}]`), nil},
		{inSpec(`hostAliases: [{ip: "010.0.0.1"}]`), wants(`spec.`, `hostAliases[0].ip: Invalid value: "010.0.0.1": must not have leading 0s`)},
		{inSpec(`hostnameOverride: a.b`), nil},
		{inSpec(`hostnameOverride: A`), wants(`spec.`, `hostnameOverride: Invalid value: "A": `+notSubdomain)},
		{inSpec(`hostnameOverride: ` + strings.Repeat("a", 65)), wants(`spec.`, `hostnameOverride: Too long: may not be more than 64 bytes`)},
		{inSpec(`hostnameOverride: a, hostNetwork: true`), wants(`spec.`, `hostnameOverride: Forbidden: may not be specified when hostNetwork is true`)},
		{inSpec(`hostnameOverride: a, setHostnameAsFQDN: true`), wants(`spec.`, `hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true`)},
	})
}

func TestPodDNS(t *testing.T) {
	refusePods(t, []podCase{
		{inSpec(`dnsPolicy: None`), wants(`spec.`, "dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None")},
		{inSpec(`dnsPolicy: None, dnsConfig: {searches: [a]}`), wants(`spec.`, "dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None")},
		{inSpec(`dnsPolicy: None, dnsConfig: {nameservers: [10.0.0.1], searches: [".", a_b., c], options: [{name: ndots, value: "5"}]}`), nil},
		{inSpec(`dnsConfig: {nameservers: [10.0.0.1, 10.0.0.2, 10.0.0.3, x]}`), wants(`spec.dnsConfig.nameservers`, `: Invalid value: ["10.0.0.1","10.0.0.2","10.0.0.3","x"]: must not have more than 3 nameservers`, `[3]: Invalid value: "x": must be a valid IP address`)},
		{inSpec(`dnsConfig: {searches: [` + strings.TrimSuffix(strings.Repeat("a,", 33), ",") + `]}`), wants(`spec.`, `dnsConfig.searches: Invalid value: ["a",`)},
		{inSpec(`dnsConfig: {searches: ["` + strings.TrimSuffix(strings.Repeat(strings.Repeat("a", 60)+".", 4), ".") + `", A]}`), wants(`spec.`, `dnsConfig.searches[1]: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`)},
		{inSpec(`dnsConfig: {searches: [` + strings.TrimSuffix(strings.Repeat(`"`+strings.TrimSuffix(strings.Repeat(strings.Repeat("a", 60)+".", 4), ".")+`",`, 9), ",") + `]}`), wants(`spec.`, `dnsConfig.searches: Invalid value: `)},
		{inSpec(`dnsConfig: {options: [{value: x}]}`), wants(`spec.`, `dnsConfig.options[0]: Required value: must not be empty`)},
	})
}

func TestPodOS(t *testing.T) {
	const windows = `os: {name: windows}, `
	refusePods(t, []podCase{
		{inSpec(`os: {name: ""}`), wants(`spec.`, `os.name: Required value`)},
		{inSpec(`os: {name: plan9}`), wants(`spec.`, `os: Unsupported value: "plan9": supported values: "linux", "windows"`)},
		{inSpec(`os: {name: linux}, securityContext: {windowsOptions: {}}, containers: [{name: c, image: i, securityContext: {windowsOptions: {}}}]`),
			wants(`spec.`, `securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod`, `containers[0].securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod`)},
		{inSpec(windows + `securityContext: {appArmorProfile: {type: Unconfined}, seLinuxOptions: {}, seccompProfile: {type: Unconfined}, fsGroup: 1, fsGroupChangePolicy: Always, sysctls: [{name: a, value: b}], runAsUser: 1, runAsGroup: 1, supplementalGroups: [1], supplementalGroupsPolicy: Merge, seLinuxChangePolicy: Recursive}`),
			wants(`spec.securityContext.`, each(`: Forbidden: cannot be set for a windows pod`, "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy")...)},
		{inSpec(windows + `hostUsers: true, hostPID: true, hostIPC: true, shareProcessNamespace: false`),
			wants(`spec.`, each(`: Forbidden: cannot be set for a windows pod`, "hostUsers", "hostPID", "hostIPC", "shareProcessNamespace")...)},
		{inSpec(windows + `containers: [{name: c, image: i, securityContext: {appArmorProfile: {type: Unconfined}, seLinuxOptions: {}, seccompProfile: {type: Unconfined}, capabilities: {}, readOnlyRootFilesystem: true, privileged: false, allowPrivilegeEscalation: true, procMount: Default, runAsUser: 1, runAsGroup: 1}}]`),
			wants(`spec.containers[0].securityContext.`, each(`: Forbidden: cannot be set for a windows pod`, "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup")...)},
		{inSpec(windows + `resources: {limits: {ram: 1}}`), wants(`spec.`, `resources: Forbidden: may not be set for a windows pod`)},
		{inSpec(windows + `hostNetwork: true, securityContext: {windowsOptions: {hostProcess: true}}`), nil},
		{inSpec(windows + `securityContext: {windowsOptions: {hostProcess: true}}`), wants(`spec.`, `hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers`)},
		{inSpec(windows + `hostNetwork: true, initContainers: [{name: i, image: i}], containers: [{name: c, image: i, securityContext: {windowsOptions: {hostProcess: true}}}]`),
			wants(`spec: `, `Invalid value: "": If pod contains any hostProcess containers then all containers must be HostProcess containers`)},
		{inSpec(windows + `hostNetwork: true, securityContext: {windowsOptions: {hostProcess: true}}, containers: [{name: c, image: i, securityContext: {windowsOptions: {hostProcess: false}}}]`),
			wants(`spec.`, `containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are specified, was true`)},
	})
}

// each appends an ending to each text.
func each(ending string, texts ...string) []string {
	for i := range texts {
		texts[i] += ending
	}
	return texts
}

func TestHostNamespaces(t *testing.T) {
	refusePods(t, []podCase{
		{inSpec(`hostPID: true, shareProcessNamespace: true`), wants(`spec.`, `shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled`)},
		{inSpec(`hostUsers: false`), nil},
		{inSpec(`hostUsers: true, hostPID: true`), nil},
		{inSpec(`hostUsers: false, hostNetwork: true, hostPID: true, hostIPC: true`), wants(`spec.`, each(": Forbidden: when `hostUsers` is false", "hostNetwork", "HostPID", "HostIPC")...)},
		{inSpec(`hostUsers: false, volumes: [{name: v, persistentVolumeClaim: {claimName: v}}], containers: [{name: c, image: i, volumeDevices: [{name: v, devicePath: /dev/x}]}]`),
			wants(`spec.`, "containers[0].volumeDevices: Forbidden: when `hostUsers` is false")},
		{inSpec(`hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80}]}]`), nil},
		{inSpec(`hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 81}]}]`), wants(`spec.`, "containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true")},
	})
}
