package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const quota = `{spec: {hard: {pods: "2", requests.cpu: "1", limits.memory: 1Gi}}}`

func TestResourceQuotaRules(t *testing.T) {
	const unfit = "unsupported scope applied to resource"
	const one = `hard: {requests.cpu: null, limits.memory: null}`
	checkRules(t, core.ResourceQuota(), quota, []rule{
		{"good", `{}`, nil},
		{"counts, devices and pages", `{spec: {hard: {count/jobs.batch: "3", example.com/gpu: "1", hugepages-2Mi: 4Mi, requests.hugepages-2Mi: 4Mi}}}`, nil},
		{"unknown", `{spec: {hard: {bananas: "1"}}}`, []string{
			`spec.hard[bananas]: Invalid value: "bananas": must be a standard resource type or fully qualified`, `spec.hard[bananas]: Invalid value: "bananas": must be a standard resource for quota`}},
		{"of claims", `{spec: {hard: {storage: "1"}}}`, []string{`spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota`}},
		{"name", `{spec: {hard: {"a b": "1"}}}`, []string{`spec.hard[a b]: Invalid value: "a b": name part must consist of`, `spec.hard[a b]: Invalid value: "a b": must be a standard resource for quota`}},
		{"negative", `{spec: {hard: {pods: "-1"}}}`, []string{`spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0`}},
		{"half a pod", `{spec: {hard: {pods: 500m}}}`, []string{`spec.hard[pods]: Invalid value: "500m": must be an integer`}},
		{"half a device", `{spec: {hard: {example.com/gpu: 500m}}}`, []string{`spec.hard[example.com/gpu]: Invalid value: "500m": must be an integer`}},

		{"scopes", `{spec: {scopes: [Terminating, NotBestEffort]}}`, nil},
		{"unknown scope", `{spec: {scopes: [Odd]}}`, []string{`spec.scopes: Invalid value: ["Odd"]: unsupported scope`}},
		{"scope of other resources", `{spec: {scopes: [BestEffort]}}`, []string{`spec.scopes: Invalid value: ["BestEffort"]: ` + unfit, `spec.scopes: Invalid value: ["BestEffort"]: ` + unfit}},
		{"scope of pods", `{spec: {hard: {services: "1"}, scopes: [Terminating]}}`, []string{`spec.scopes: Invalid value: ["Terminating"]: ` + unfit}},
		{"scopes that exclude each other", `{spec: {` + one + `, scopes: [BestEffort, NotBestEffort]}}`, []string{`spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes`}},
		{"times that exclude each other", `{spec: {scopes: [NotTerminating, Terminating]}}`, []string{`spec.scopes: Invalid value: ["NotTerminating","Terminating"]: conflicting scopes`}},

		{"selector", selecting(`{scopeName: PriorityClass, operator: In, values: [high]}`), nil},
		{"selector of an unknown scope", selecting(`{scopeName: Odd, operator: Exists}`), []string{`spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Odd": unsupported scope`}},
		{"selector of other resources", selecting(`{scopeName: VolumeAttributesClass, operator: Exists}`), []string{
			`spec.scopeSelector.matchExpressions: Invalid value: {"matchExpressions":[{"scopeName":"VolumeAttributesClass","operator":"Exists"}]}: ` + unfit,
			`spec.scopeSelector.matchExpressions: Invalid value: {`, `spec.scopeSelector.matchExpressions: Invalid value: {`}},
		{"selector without values", selecting(`{scopeName: PriorityClass, operator: NotIn}`), []string{
			"spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"}},
		{"selector with values", selecting(`{scopeName: PriorityClass, operator: DoesNotExist, values: [a]}`), []string{
			"spec.scopeSelector.matchExpressions.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"}},
		{"selector of what is or is not", selecting(`{scopeName: Terminating, operator: In, values: [a]}`), []string{
			`spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating`}},
		{"operator", selecting(`{scopeName: PriorityClass, operator: Odd}`), []string{`spec.scopeSelector.matchExpressions.operator: Invalid value: "Odd": not a valid selector operator`}},
		{"selectors that exclude each other", selecting(`{scopeName: Terminating, operator: Exists}, {scopeName: NotTerminating, operator: Exists}`), []string{
			`spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes`}},
	})
	checkUpdateRules(t, core.ResourceQuota(), `{spec: {hard: {pods: "1"}, scopes: [NotBestEffort, Terminating]}}`, `{}`, []rule{
		{"amounts", `{spec: {hard: {pods: "2"}}}`, nil},
		{"order of scopes", `{spec: {scopes: [Terminating, NotBestEffort]}}`, nil},
		{"scopes", `{spec: {scopes: [Terminating]}}`, []string{`spec.scopes: Invalid value: ["Terminating"]: field is immutable`}},
	})
	checkStatusRules(t, core.ResourceQuota(), quota, []rule{
		{"good", `{status: {hard: {pods: "2"}, used: {pods: "1"}}}`, nil},
		{"used", `{status: {hard: {bananas/: "2"}, used: {pods: 1500m}}}`, []string{`status.hard[bananas/]: Invalid value: "bananas/": name part must be non-empty`,
			`status.hard[bananas/]: Invalid value: "bananas/": name part must consist of`, `status.used[pods]: Invalid value: "1500m": must be an integer`}},
	})
}

func selecting(expressions string) string {
	return `{spec: {scopeSelector: {matchExpressions: [` + expressions + `]}}}`
}

func TestResourceQuotaTable(t *testing.T) {
	q := kindtest.Parse(t, core.ResourceQuota(), `{status: {hard: {pods: "2", requests.cpu: "1", limits.memory: 1Gi}, used: {pods: "1", requests.cpu: 500m}}}`)
	const want = "NAME   REQUEST                           LIMIT                  AGE\na      pods: 1/2, requests.cpu: 500m/1   limits.memory: 0/1Gi   5m\n"
	if d := cmp.Diff(want, kindtest.Table(t, core.ResourceQuota(), q)); d != "" {
		t.Error(d)
	}
}
