package core_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestValidation(t *testing.T) {
	for _, c := range []struct {
		name      string
		kind      *kind.Kind
		base, obj string
		want      []string
	}{
		{"key", core.ConfigMap(), `{}`, `{data: {"a b": x}}`, []string{`data[a b]: Invalid value: "a b": a valid config key must consist of`}},
		{"key twice", core.ConfigMap(), `{}`, `{data: {a: x}, binaryData: {a: eA==}}`, []string{`data[a]: Invalid value: "a": duplicate of key present in binaryData`}},
		{"tls", core.Secret(), `{}`, `{type: kubernetes.io/tls}`, []string{`data[tls.crt]: Required value`, `data[tls.key]: Required value`}},
		{"docker", core.Secret(), `{}`, `{type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "{"}}`,
			[]string{`data[.dockerconfigjson]: Invalid value: "<secret contents redacted>"`}},
		{"token", core.Secret(), `{}`, `{type: kubernetes.io/service-account-token}`, []string{`metadata.annotations[kubernetes.io/service-account.name]: Required value`}},
		{"finalizer", core.Namespace(), `{}`, `{spec: {finalizers: ["a b"]}}`, []string{
			`spec.finalizers: Invalid value: "a b": name part must consist of`, `spec.finalizers: Invalid value: "a b": name is neither a standard finalizer name nor is it fully qualified`}},
		{"taint twice", core.Node(), `{}`, `{spec: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule, value: b}]}}`,
			[]string{`metadata.taints[1]: Duplicate value: {"key":"a","value":"b","effect":"NoSchedule"}: taints must be unique by key and effect pair`}},
		{"taint effect", core.Node(), `{}`, `{spec: {taints: [{key: a, effect: Never}]}}`,
			[]string{`metadata.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`}},
		{"event elsewhere", core.Event(), `{}`, `{involvedObject: {namespace: other}}`, []string{`involvedObject.namespace: Invalid value: "other": does not match event.namespace`}},
		{"event of a node", core.Event(), `{}`, `{metadata: {namespace: default}, involvedObject: {kind: Node, name: n}}`, nil},
		{"new event", core.Event(), `{}`, `{eventTime: "2026-01-01T00:00:00.000000Z", involvedObject: {namespace: ns}}`,
			[]string{`reportingComponent: Required value`, `reportingComponent: Invalid value: "": name part must be non-empty`, `reportingComponent: Invalid value: "": name part must consist of`,
				`reportingInstance: Required value`, `action: Required value`, `reason: Required value`}},
		{"special addresses", core.Endpoints(), `{}`, `{subsets: [{addresses: [{ip: 0.0.0.0}, {ip: 169.254.1.1}, {ip: 224.0.0.1}]}]}`,
			[]string{`subsets[0].addresses[0].ip: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)`,
				`subsets[0].addresses[1].ip: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)`,
				`subsets[0].addresses[2].ip: Invalid value: "224.0.0.1": may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)`}},
		{"endpoints", core.Endpoints(), `{}`, `{subsets: [{addresses: [{ip: 127.0.0.1}], ports: [{port: 0}]}]}`,
			[]string{`subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`, `subsets[0].ports[0].port: Invalid value: 0`}},
	} {
		t.Run(string(c.kind.ID)+" "+c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, c.kind, c.base, c.obj), c.want...)
		})
	}
}

func TestDataOverOneMebibyteIsRefused(t *testing.T) {
	fits, big := strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20+1)
	cm := func(v string) kind.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": v}}
	}
	kindtest.Check(t, core.ConfigMap().Validate(cm(fits)))
	kindtest.Check(t, core.ConfigMap().Validate(cm(big)), `[]: Too long: may not be more than 1048576 bytes`)
	kindtest.Check(t, core.Secret().Validate(&corev1.Secret{Data: map[string][]byte{"k": []byte(big)}}), `data: Too long: may not be more than 1048576 bytes`)
}

func TestUpdates(t *testing.T) {
	const immutable = "Forbidden: field is immutable when `immutable` is set"
	for _, c := range []struct {
		name             string
		kind             *kind.Kind
		old, state, next string
		want             []string
	}{
		{"open", core.ConfigMap(), `{data: {a: b}}`, `{}`, `{data: {a: c}}`, nil},
		{"sealed", core.ConfigMap(), `{immutable: true, data: {a: b}}`, `{}`, `{immutable: false, data: {a: c}}`, []string{`immutable: ` + immutable, `data: ` + immutable}},
		{"sealed", core.Secret(), `{immutable: true, stringData: {a: b}}`, `{}`, `{stringData: {a: c}}`, []string{`data: ` + immutable}},
		{"type", core.Secret(), `{}`, `{}`, `{type: other}`, []string{`type: Invalid value: "other": field is immutable`}},
		{"cordoned", core.Node(), `{}`, `{}`, `{spec: {unschedulable: true, taints: [{key: a, effect: NoSchedule}]}}`, nil},
		{"addresses given", core.Node(), `{}`, `{}`, `{spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24]}}`, nil},
		{"addresses changed", core.Node(), `{spec: {podCIDRs: [10.1.0.0/24]}}`, `{}`, `{spec: {podCIDR: 10.2.0.0/24, podCIDRs: [10.2.0.0/24]}}`,
			[]string{`spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid`}},
	} {
		t.Run(string(c.kind.ID)+" "+c.name, func(t *testing.T) {
			// The state is what the cluster wrote into the object since.
			old := kindtest.Parse(t, c.kind, kindtest.YAML(t, kindtest.Created(t, c.kind, c.old)), c.state)
			_, errs := kindtest.Update(t, c.kind, old, c.next)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestNamespaceIsHeldByItsFinalizer(t *testing.T) {
	ns := kindtest.Created(t, core.Namespace(), `{metadata: {name: blue}, spec: {finalizers: [example.com/x]}}`).(*corev1.Namespace)
	if d := cmp.Diff([]corev1.FinalizerName{"example.com/x", "kubernetes"}, ns.Spec.Finalizers); d != "" {
		t.Error(d)
	}
	if ns.Labels["kubernetes.io/metadata.name"] != "blue" || ns.Status.Phase != corev1.NamespaceActive {
		t.Errorf("%+v", ns)
	}
	next, errs := kindtest.Update(t, core.Namespace(), ns, `{spec: {finalizers: []}}`)
	kindtest.Check(t, errs)
	if len(next.(*corev1.Namespace).Spec.Finalizers) != 2 {
		t.Error("an update took the finalizers")
	}
}

func TestSecretStringsBecomeData(t *testing.T) {
	s := kindtest.Created(t, core.Secret(), `{data: {a: eA==, b: eA==}, stringData: {b: "y"}}`).(*corev1.Secret)
	if s.Type != corev1.SecretTypeOpaque || s.StringData != nil || string(s.Data["a"]) != "x" || string(s.Data["b"]) != "y" {
		t.Errorf("%+v", s)
	}
}

func TestTables(t *testing.T) {
	for _, c := range []struct {
		kind *kind.Kind
		obj  string
		want string
	}{
		{core.Namespace(), `{status: {phase: Active}}`, "NAME   STATUS   AGE\na      Active   5m\n"},
		{core.ConfigMap(), `{data: {a: b}, binaryData: {c: eA==}}`, "NAME   DATA   AGE\na      2      5m\n"},
		{core.Secret(), `{type: Opaque, data: {c: eA==}}`, "NAME   TYPE     DATA   AGE\na      Opaque   1      5m\n"},
		{core.ServiceAccount(), `{}`, "NAME   SECRETS   AGE\na      0         5m\n"},
		{core.Endpoints(), `{subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 10.0.0.2}], ports: [{port: 80}, {port: 81}]}]}`,
			"NAME   ENDPOINTS                                         AGE\na      10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...   5m\n"},
		{core.Node(), `{metadata: {labels: {node-role.kubernetes.io/worker: "", node-role.kubernetes.io/control-plane: ""}}, spec: {unschedulable: true},
			status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}], nodeInfo: {kubeletVersion: v1.37.0, osImage: Debian, kernelVersion: "6.1", containerRuntimeVersion: "sampan://1"}}}`,
			"NAME   STATUS                     ROLES                  AGE   VERSION   [INTERNAL-IP]   [EXTERNAL-IP]   [OS-IMAGE]   [KERNEL-VERSION]   [CONTAINER-RUNTIME]\n" +
				"a      Ready,SchedulingDisabled   control-plane,worker   5m    v1.37.0   10.0.0.1        <none>          Debian       6.1                sampan://1\n"},
		{core.Node(), `{status: {conditions: [{type: Ready, status: Unknown}]}}`,
			"NAME   STATUS     ROLES    AGE   VERSION   [INTERNAL-IP]   [EXTERNAL-IP]   [OS-IMAGE]   [KERNEL-VERSION]   [CONTAINER-RUNTIME]\n" +
				"a      NotReady   <none>   5m              <none>          <none>          <unknown>    <unknown>          <unknown>\n"},
		{core.Event(), `{type: Warning, reason: BackOff, message: "again \n", count: 4, source: {component: sampan, host: n1}, involvedObject: {kind: Pod, name: p, fieldPath: "spec.containers{c}"}, firstTimestamp: "2026-05-01T11:00:00Z", lastTimestamp: "2026-05-01T11:59:50Z"}`,
			"LAST SEEN   TYPE      REASON    OBJECT   [SUBOBJECT]          [SOURCE]     MESSAGE   [FIRST SEEN]   [COUNT]   [NAME]\n" +
				"10s         Warning   BackOff   pod/p    spec.containers{c}   sampan, n1   again     60m            4         a\n"},
	} {
		if d := cmp.Diff(c.want, kindtest.Table(t, c.kind, kindtest.Parse(t, c.kind, c.obj))); d != "" {
			t.Errorf("%s: %s", c.kind.ID, d)
		}
	}
}

func TestSelectableFields(t *testing.T) {
	for _, c := range []struct {
		kind            *kind.Kind
		obj, key, value string
	}{
		{core.Pod(), `{spec: {nodeName: n1}}`, "spec.nodeName", "n1"},
		{core.Pod(), `{status: {podIPs: [{ip: 10.0.0.1}]}}`, "status.podIP", "10.0.0.1"},
		{core.Pod(), `{}`, "spec.hostNetwork", "false"},
		{core.Event(), `{involvedObject: {uid: x}}`, "involvedObject.uid", "x"},
		{core.Event(), `{reportingComponent: x}`, "source", "x"},
		{core.Namespace(), `{status: {phase: Active}}`, "status.phase", "Active"},
		{core.Secret(), `{type: t}`, "type", "t"},
		{core.Node(), `{spec: {unschedulable: true}}`, "spec.unschedulable", "true"},
	} {
		if got := c.kind.Fields(kindtest.Parse(t, c.kind, c.obj))[c.key]; got != c.value {
			t.Errorf("%s %s: %q, want %q", c.kind.ID, c.key, got, c.value)
		}
	}
}
