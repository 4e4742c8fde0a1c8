package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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

func TestTable(t *testing.T) {
	k := policy.PodDisruptionBudget()
	if d := cmp.Diff(`NAME   MIN AVAILABLE   MAX UNAVAILABLE   ALLOWED DISRUPTIONS   AGE
a      50%             N/A               2                     5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, budget, `{spec: {minAvailable: "50%"}, status: {disruptionsAllowed: 2}}`))); d != "" {
		t.Error(d)
	}
}
