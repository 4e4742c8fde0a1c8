package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	policyv1 "k8s.io/api/policy/v1"

	"sampan/kind/kindtest"
	"sampan/kind/policy"
)

const budget = `
spec: {minAvailable: 1, selector: {matchLabels: {app: a}}}
`

func TestBudgetValidation(t *testing.T) {
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {minAvailable: null}}`, nil},
		{`{spec: {minAvailable: "50%"}}`, nil},
		{`{spec: {maxUnavailable: 1}}`, []string{"spec: Invalid value"}},
		{`{spec: {minAvailable: -1}}`, []string{"spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"}},
		{`{spec: {minAvailable: "101%"}}`, []string{`spec.minAvailable: Invalid value: "101%": must not be greater than 100%`}},
		{`{spec: {minAvailable: half}}`, []string{`spec.minAvailable: Invalid value: "half": a valid percent string must be`}},
		{`{spec: {selector: {matchLabels: {-: a}}}}`, []string{`spec.selector.matchLabels: Invalid value: "-"`}},
		{`{spec: {unhealthyPodEvictionPolicy: Odd}}`, []string{`spec.unhealthyPodEvictionPolicy: Unsupported value: "Odd": supported values: "AlwaysAllow", "IfHealthyBudget"`}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, policy.PodDisruptionBudget(), budget, c.patch), c.want...)
		})
	}
}

func TestBudgetNamesMayBeAnyPathSegment(t *testing.T) {
	k := policy.PodDisruptionBudget()
	kindtest.Check(t, kindtest.Create(t, k, budget, `{metadata: {name: My_Budget}}`))
	kindtest.Check(t, kindtest.Create(t, k, budget, `{metadata: {name: a/b}}`), `metadata.name: Invalid value: "a/b": may not contain '/'`)
}

func TestBudgetStatus(t *testing.T) {
	k := policy.PodDisruptionBudget()
	old := kindtest.Created(t, k, budget)
	next, errs := kindtest.UpdateStatus(t, k, old, `{spec: {minAvailable: 9}, status: {disruptionsAllowed: -1, currentHealthy: -1, desiredHealthy: -1, expectedPods: -1, conditions: [{type: X, status: Odd, reason: r, lastTransitionTime: "2026-05-01T10:00:00Z"}]}}`)
	kindtest.Check(t, errs, "status.disruptionsAllowed: Invalid value: -1", "status.currentHealthy: Invalid value: -1", "status.desiredHealthy: Invalid value: -1", "status.expectedPods: Invalid value: -1",
		`status.conditions[0].status: Unsupported value: "Odd"`)
	if next.(*policyv1.PodDisruptionBudget).Spec.MinAvailable.IntVal != 1 {
		t.Error("a status update changed the spec")
	}
	if next, _ := kindtest.Update(t, k, old, `{spec: {minAvailable: 2}}`); next.GetGeneration() != 2 {
		t.Errorf("generation %d after a change", next.GetGeneration())
	}
}

func TestTable(t *testing.T) {
	k := policy.PodDisruptionBudget()
	if d := cmp.Diff(`NAME   MIN AVAILABLE   MAX UNAVAILABLE   ALLOWED DISRUPTIONS   AGE
a      50%             N/A               2                     5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, budget, `{spec: {minAvailable: "50%"}, status: {disruptionsAllowed: 2}}`))); d != "" {
		t.Error(d)
	}
}
