package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestLimitRangeRules(t *testing.T) {
	var rules []rule
	for _, r := range []struct {
		name, items string
		want        []string
	}{
		{"good", `{type: Container, min: {cpu: 1}, max: {cpu: 2}, maxLimitRequestRatio: {cpu: 2}}`, nil},
		{"claims", `{type: PersistentVolumeClaim, max: {storage: 1Gi}}`, nil},
		{"claims without storage", `{type: PersistentVolumeClaim}`, []string{"spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided"}},
		{"type of another domain", `{type: example.com/thing, max: {example.com/a: 1}}`, nil},
		{"unknown type", `{type: Thing}`, []string{`spec.limits[0].type: Invalid value: "Thing": must be a standard limit type or fully qualified`}},
		{"no type", `{max: {cpu: 1}}`, []string{`spec.limits[0].type: Invalid value: "": name part must be non-empty`, `spec.limits[0].type: Invalid value: "": name part must consist of`}},
		{"type twice", `{type: Pod}, {type: Pod}`, []string{`spec.limits[1].type: Duplicate value: "Pod"`}},
		{"pods have no defaults", `{type: Pod, default: {"a b": 1}, defaultRequest: {cpu: 1}}`, []string{
			"spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'", "spec.limits[0].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'"}},
		{"unknown resource", `{type: Pod, max: {bananas: 1}}`, []string{
			`spec.limits[0].max[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified`, `spec.limits[0].max[bananas]: Invalid value: "bananas": must be a standard resource for containers`}},
		{"unknown resource of claims", `{type: PersistentVolumeClaim, min: {storage: 1, bananas: 1}}`, []string{`spec.limits[0].min[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified`}},
		{"negative amounts are for their writer", `{type: Pod, min: {cpu: -1}}`, nil},

		{"min above max", `{type: Pod, min: {cpu: 2}, max: {cpu: 1}}`, []string{`spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1`}},
		{"min above request", `{type: Container, min: {cpu: 2}, defaultRequest: {cpu: 1}}`, []string{`spec.limits[0].defaultRequest[cpu]: Invalid value: "1": min value 2 is greater than default request value 1`}},
		{"request above max", `{type: Container, defaultRequest: {cpu: 2}, max: {cpu: 1}}`, []string{`spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than max value 1`,
			`spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1`}},
		{"request above limit", `{type: Container, default: {cpu: 1}, defaultRequest: {cpu: 2}}`, []string{`spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1`}},
		{"min above limit", `{type: Container, min: {cpu: 2}, default: {cpu: 1}, defaultRequest: {cpu: 2}}`, []string{`spec.limits[0].default[cpu]: Invalid value: "2": min value 2 is greater than default value 1`,
			`spec.limits[0].defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1`}},
		{"limit above max", `{type: Container, default: {cpu: 3}, defaultRequest: {cpu: 1}, max: {cpu: 2}}`, []string{`spec.limits[0].default[cpu]: Invalid value: "2": default value 3 is greater than max value 2`}},
		{"device of two amounts", `{type: Container, default: {example.com/gpu: 2}, defaultRequest: {example.com/gpu: 1}}`, []string{
			`spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu`}},
		{"ratio of devices", `{type: Container, maxLimitRequestRatio: {example.com/gpu: 2}}`, nil},
		{"ratio below one", `{type: Pod, maxLimitRequestRatio: {cpu: 500m}}`, []string{`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1`}},
		{"ratio beyond the bounds", `{type: Container, min: {cpu: 1}, max: {cpu: 2}, maxLimitRequestRatio: {cpu: 3}}`, []string{`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000`}},
		{"ratio beyond small bounds", `{type: Pod, min: {cpu: 100m}, max: {cpu: 250m}, maxLimitRequestRatio: {cpu: 2600m}}`, []string{`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "2600m": ratio 2600m is greater than max/min = 2.500000`}},
		{"ratio of nothing", `{type: Pod, min: {cpu: 0}, max: {cpu: 1}, maxLimitRequestRatio: {cpu: 9}}`, nil},
	} {
		rules = append(rules, rule{r.name, `{spec: {limits: [` + r.items + `]}}`, r.want})
	}
	checkRules(t, core.LimitRange(), `{}`, rules)
}

func TestLimitRangeDefaults(t *testing.T) {
	l := kindtest.Created(t, core.LimitRange(), `{spec: {limits: [{type: Container, max: {cpu: "2", memory: 1Gi}, min: {cpu: 100m}, defaultRequest: {memory: 1Mi}}]}}`).(*corev1.LimitRange)
	item := l.Spec.Limits[0]
	if item.Default.Cpu().String() != "2" || item.DefaultRequest.Cpu().String() != "2" || item.DefaultRequest.Memory().String() != "1Mi" {
		t.Errorf("defaults: %+v", item)
	}
}

func TestLimitRangeTable(t *testing.T) {
	l := kindtest.Parse(t, core.LimitRange(), `{}`)
	if d := cmp.Diff("NAME   CREATED AT\na      2026-05-01T11:55:00Z\n", kindtest.Table(t, core.LimitRange(), l)); d != "" {
		t.Error(d)
	}
}
