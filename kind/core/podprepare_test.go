package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestGatedPodSaysSo(t *testing.T) {
	pod := kindtest.Created(t, core.Pod(), plainPod, inSpec(`schedulingGates: [{name: a}]`)).(*corev1.Pod)
	want := []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, LastTransitionTime: pod.CreationTimestamp,
		Reason: "SchedulingGated", Message: "Scheduling is blocked due to non-empty scheduling gates"}}
	if d := cmp.Diff(want, pod.Status.Conditions); d != "" {
		t.Error(d)
	}
	pod = kindtest.Created(t, core.Pod(), plainPod, `{status: {phase: Running, conditions: [{type: Ready, status: "True"}]}}`).(*corev1.Pod)
	if pod.Status.Phase != corev1.PodPending || pod.Status.Conditions != nil {
		t.Errorf("a writer gave a new pod a status: %+v", pod.Status)
	}
}

func TestSelectorsTakeTheValuesOfThePod(t *testing.T) {
	const term = `topologyKey: zone, labelSelector: {matchLabels: {a: b}}, matchLabelKeys: [app, none], mismatchLabelKeys: [tenant]`
	const terms = `{requiredDuringSchedulingIgnoredDuringExecution: [{` + term + `}], preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {` + term + `}}]}`
	pod := kindtest.Created(t, core.Pod(), plainPod, `{metadata: {labels: {app: x, tenant: t}}, spec: {affinity: {podAffinity: `+terms+`, podAntiAffinity: `+terms+`}, topologySpreadConstraints: [{topologyKey: zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, labelSelector: {}, matchLabelKeys: [app]}, {topologyKey: host, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, matchLabelKeys: [app]}]}}`).(*corev1.Pod)
	core.Pod().PrepareCreate(pod) // a second time, as for a name that was taken

	app := metav1.LabelSelectorRequirement{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"x"}}
	tenant := metav1.LabelSelectorRequirement{Key: "tenant", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"t"}}
	a := pod.Spec.Affinity
	for i, selector := range []*metav1.LabelSelector{
		a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm.LabelSelector,
		a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm.LabelSelector,
	} {
		if d := cmp.Diff([]metav1.LabelSelectorRequirement{app, tenant}, selector.MatchExpressions); d != "" {
			t.Errorf("term %d: %s", i, d)
		}
	}
	spread := pod.Spec.TopologySpreadConstraints
	if d := cmp.Diff([]metav1.LabelSelectorRequirement{app}, spread[0].LabelSelector.MatchExpressions); d != "" {
		t.Errorf("spread: %s", d)
	}
	if spread[1].LabelSelector != nil {
		t.Error("a constraint got a selector")
	}
}

func TestAppArmorAnnotationsBecomeFields(t *testing.T) {
	for _, c := range []struct {
		name, annotation, spec string
		want                   *corev1.AppArmorProfile
	}{
		{"runtime's", "runtime/default", ``, &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}},
		{"none", "unconfined", ``, &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}},
		{"node's", "localhost/a", ``, &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: new("a")}},
		{"node's without a name", "localhost/", ``, nil},
		{"unknown", "strict", ``, nil},
		{"as the pod's", "unconfined", `securityContext: {appArmorProfile: {type: Unconfined}}`, nil},
		{"field goes first", "unconfined", `containers: [{name: c, image: i, securityContext: {appArmorProfile: {type: RuntimeDefault}}}]`, &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}},
		{"on Windows", "unconfined", `os: {name: windows}`, nil},
	} {
		pod := kindtest.Created(t, core.Pod(), plainPod, `{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/c: "`+c.annotation+`"}}, spec: {`+c.spec+`}}`).(*corev1.Pod)
		var got *corev1.AppArmorProfile
		if sc := pod.Spec.Containers[0].SecurityContext; sc != nil {
			got = sc.AppArmorProfile
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestPodLevelResourcesAreFilled(t *testing.T) {
	for _, c := range []struct{ name, pod, container, want string }{
		{"no limits", `requests: {cpu: 1}`, `requests: {memory: 1Gi}`, `requests: {cpu: "1"}`},
		{"requests of containers", `limits: {cpu: 4, memory: 2Gi}`, `requests: {cpu: 1}`, `limits: {cpu: "4", memory: 2Gi}, requests: {cpu: "1", memory: 2Gi}`},
		{"what cannot be asked for", `limits: {cpu: 4}`, `requests: {ephemeral-storage: 1Gi}`, `limits: {cpu: "4"}, requests: {cpu: "4"}`},
		{"huge pages of containers", `requests: {cpu: 1}`, `limits: {hugepages-2Mi: 4Mi, cpu: 1}`, `limits: {hugepages-2Mi: 4Mi}, requests: {cpu: "1", hugepages-2Mi: 4Mi}`},
		{"nothing", ``, `limits: {hugepages-2Mi: 4Mi, cpu: 1}`, ``},
	} {
		pod := kindtest.Created(t, core.Pod(), plainPod, inSpec(`resources: {`+c.pod+`}, containers: [{name: c, image: i, resources: {`+c.container+`}}]`)).(*corev1.Pod)
		want := kindtest.Parse(t, core.Pod(), plainPod, inSpec(`resources: {`+c.want+`}`)).(*corev1.Pod)
		if d := cmp.Diff(want.Spec.Resources.Limits, pod.Spec.Resources.Limits); d != "" {
			t.Errorf("%s: limits: %s", c.name, d)
		}
		if d := cmp.Diff(want.Spec.Resources.Requests, pod.Spec.Resources.Requests); d != "" {
			t.Errorf("%s: requests: %s", c.name, d)
		}
	}
}

func TestVolumesOfOldDriversAreFilled(t *testing.T) {
	pod := kindtest.Created(t, core.Pod(), plainPod, inSpec(`volumes: [{name: a, iscsi: {targetPortal: p, iqn: q, lun: 0}}, {name: b, rbd: {monitors: [m], image: i}}, {name: c, scaleIO: {gateway: g, system: s, secretRef: {name: s}}}, {name: d, azureDisk: {diskName: d, diskURI: u}}, {name: e, image: {reference: i}}]`)).(*corev1.Pod)
	v := pod.Spec.Volumes
	got := []any{v[0].ISCSI.ISCSIInterface, v[1].RBD.RBDPool, v[1].RBD.RadosUser, v[1].RBD.Keyring, v[2].ScaleIO.StorageMode, v[2].ScaleIO.FSType,
		*v[3].AzureDisk.CachingMode, *v[3].AzureDisk.FSType, *v[3].AzureDisk.ReadOnly, *v[3].AzureDisk.Kind, v[4].Image.PullPolicy}
	want := []any{"default", "rbd", "admin", "/etc/ceph/keyring", "ThinProvisioned", "xfs", corev1.AzureDataDiskCachingReadWrite, "ext4", false, corev1.AzureSharedBlobDisk, corev1.PullAlways}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPodFields(t *testing.T) {
	pod := kindtest.Parse(t, core.Pod(), plainPod, `{spec: {nodeName: n1, restartPolicy: Never, schedulerName: s, serviceAccountName: a, hostNetwork: true}, status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}], nominatedNodeName: m}}`)
	want := map[string]string{"spec.nodeName": "n1", "spec.host": "n1", "spec.restartPolicy": "Never", "spec.schedulerName": "s", "spec.serviceAccountName": "a", "spec.hostNetwork": "true",
		"status.phase": "Running", "status.podIP": "10.0.0.1", "status.podIPs": "", "status.nominatedNodeName": "m"}
	if d := cmp.Diff(want, map[string]string(core.Pod().Fields(pod))); d != "" {
		t.Error(d)
	}
	for _, k := range []struct {
		kind       *kind.Kind
		short, all []string
	}{{core.Pod(), []string{"po"}, []string{"all"}}, {core.PodTemplate(), nil, nil}} {
		if d := cmp.Diff(k.short, k.kind.ShortNames); d != "" {
			t.Errorf("%s: short names: %s", k.kind.ID, d)
		}
		if d := cmp.Diff(k.all, k.kind.Categories); d != "" {
			t.Errorf("%s: categories: %s", k.kind.ID, d)
		}
	}
}

func TestPodTemplateRules(t *testing.T) {
	k := core.PodTemplate()
	template := func(meta, spec string) string {
		return `{template: {metadata: {` + meta + `}, spec: {containers: [{name: c, image: " i "}], ` + spec + `}}}`
	}
	for _, c := range []struct {
		manifest string
		want     []string
	}{
		{template(`labels: {a: b}`, `hostNetwork: true`), nil}, // what is only a pod's is not looked into
		{template(`labels: {"a b": c}, annotations: {"d e": f}`, ``), []string{`template.labels: Invalid value: "a b": name part must consist of`, `template.annotations: Invalid value: "d e": name part must consist of`}},
		{template(``, `ephemeralContainers: [{name: e, image: i}]`), []string{`template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template`}},
		{template(`annotations: {controller.kubernetes.io/pod-deletion-cost: x}`, ``), []string{`template.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "x": must be a 32bit integer`}},
		{template(`annotations: {seccomp.security.alpha.kubernetes.io/pod: unconfined}`, `securityContext: {seccompProfile: {type: RuntimeDefault}}`), []string{`template.spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match`}},
		{`{template: {spec: {hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 1, hostPort: 2}]}]}}}`, []string{"template.spec.containers[0].ports[0].hostPort: Invalid value: 2: must match `containerPort` when `hostNetwork` is true"}},
		{`{template: {spec: {hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 1}]}], volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}}}`, nil},
	} {
		t.Run(c.manifest, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, k, c.manifest), c.want...)
		})
	}
}
