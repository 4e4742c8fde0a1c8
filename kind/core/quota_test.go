package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestResourceQuotas(t *testing.T) {
	k := core.ResourceQuota()
	const quota = `{spec: {hard: {pods: "2", requests.cpu: "1", limits.memory: 1Gi}}}`
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {hard: {count/jobs.batch: "3", example.com/gpu: "1", hugepages-2Mi: 4Mi}}}`, nil},
		{`{spec: {hard: {bananas: "1"}}}`, []string{`spec.hard[bananas]: Invalid value: "bananas": must be a standard resource for quota`}},
		{`{spec: {hard: {pods: "-1"}}}`, []string{`spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0`}},
		{`{spec: {hard: {pods: 500m}}}`, []string{`spec.hard[pods]: Invalid value: "500m": must be an integer`}},
		{`{spec: {scopes: [Odd]}}`, []string{`spec.scopes: Invalid value: ["Odd"]: unsupported scope`}},
		{`{spec: {scopes: [BestEffort]}}`, []string{`spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource`}},
		{`{spec: {hard: {requests.cpu: null, limits.memory: null}, scopes: [BestEffort, NotBestEffort]}}`, []string{`spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes`}},
		{`{spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}}}`, nil},
		{`{spec: {scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}]}}}`, []string{
			"spec.scopeSelector.matchExpressions[0].values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"}},
		{`{spec: {scopeSelector: {matchExpressions: [{scopeName: Terminating, operator: In, values: [a]}]}}}`, []string{
			`spec.scopeSelector.matchExpressions[0].operator: Invalid value: "In": must be 'Exist' when scope is any of`}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, quota, c.patch), c.want...) })
	}
	_, errs := kindtest.Update(t, k, kindtest.Created(t, k, `{spec: {hard: {pods: "1"}}}`), `{spec: {scopes: [Terminating]}}`)
	kindtest.Check(t, errs, `spec.scopes: Invalid value: ["Terminating"]: field is immutable`)
	if d := cmp.Diff(`NAME   REQUEST                           LIMIT                  AGE
a      pods: 1/2, requests.cpu: 500m/1   limits.memory: 0/1Gi   5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, `{status: {hard: {pods: "2", requests.cpu: "1", limits.memory: 1Gi}, used: {pods: "1", requests.cpu: 500m}}}`))); d != "" {
		t.Error(d)
	}
}

func TestLimitRanges(t *testing.T) {
	k := core.LimitRange()
	l := kindtest.Created(t, k, `{spec: {limits: [{type: Container, max: {cpu: "2", memory: 1Gi}, min: {cpu: 100m}, defaultRequest: {memory: 1Mi}}]}}`).(*corev1.LimitRange)
	item := l.Spec.Limits[0]
	if item.Default.Cpu().String() != "2" || item.DefaultRequest.Cpu().String() != "2" || item.DefaultRequest.Memory().String() != "1Mi" {
		t.Errorf("defaults: %+v", item)
	}
	for _, c := range []struct {
		item string
		want []string
	}{
		{`{type: Container, min: {cpu: 1}, max: {cpu: 2}, maxLimitRequestRatio: {cpu: 2}}`, nil},
		{`{type: PersistentVolumeClaim, max: {storage: 1Gi}}`, nil},
		{`{type: PersistentVolumeClaim}`, []string{"spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided"}},
		{`{type: Pod, default: {cpu: 1}}`, []string{"spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"}},
		{`{max: {cpu: 1}}`, []string{"spec.limits[0].type: Required value"}},
		{`{type: Pod, min: {cpu: 2}, max: {cpu: 1}}`, []string{`spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1`}},
		{`{type: Pod, max: {bananas: 1}}`, []string{`spec.limits[0].max[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified`,
			`spec.limits[0].max[bananas]: Invalid value: "bananas": must be a standard resource for containers`}},
		{`{type: Container, min: {cpu: 1}, max: {cpu: 2}, maxLimitRequestRatio: {cpu: 3}}`, []string{`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000`}},
		{`{type: Pod, maxLimitRequestRatio: {cpu: 500m}}`, []string{`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1`}},
		{`{type: Container, default: {cpu: 1}, defaultRequest: {cpu: 2}}`, []string{`spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default value 1`}},
	} {
		t.Run(c.item, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, k, `{spec: {limits: [`+c.item+`]}}`), c.want...)
		})
	}
	kindtest.Check(t, kindtest.Create(t, k, `{spec: {limits: [{type: Pod}, {type: Pod}]}}`), `spec.limits[1].type: Duplicate value: "Pod"`)
}

func TestReplicationControllers(t *testing.T) {
	k := core.ReplicationController()
	const rc = `{spec: {template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: "i:1"}]}}}}`
	have := kindtest.Created(t, k, rc).(*corev1.ReplicationController)
	if have.Spec.Selector["app"] != "a" || have.Labels["app"] != "a" || *have.Spec.Replicas != 1 {
		t.Errorf("defaults: %+v", have)
	}
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {replicas: -1}}`, []string{"spec.replicas: Invalid value: -1"}},
		{`{spec: {template: null}}`, []string{"spec.selector: Required value", "spec.template: Required value"}},
		{`{spec: {selector: {app: b}}}`, []string{"spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"}},
		{`{spec: {template: {spec: {restartPolicy: Never}}}}`, []string{`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, rc, c.patch), c.want...) })
	}
	if d := cmp.Diff(`NAME   DESIRED   CURRENT   READY   AGE   [CONTAINERS]   [IMAGES]   [SELECTOR]
a      1         2         0       5m    c              i:1        app=a
`, kindtest.Table(t, k, func() *corev1.ReplicationController { c := have.DeepCopy(); c.Status.Replicas = 2; return c }())); d != "" {
		t.Error(d)
	}
}

func TestPodTemplates(t *testing.T) {
	k := core.PodTemplate()
	const template = `{template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: "i:1"}]}}}`
	kindtest.Check(t, kindtest.Create(t, k, template))
	kindtest.Check(t, kindtest.Create(t, k, template, `{template: {spec: {containers: []}}}`), "template.spec.containers: Required value")
	if d := cmp.Diff("NAME   CONTAINERS   IMAGES   POD LABELS\na      c            i:1      app=a\n",
		kindtest.Table(t, k, kindtest.Parse(t, k, template))); d != "" {
		t.Error(d)
	}
}
