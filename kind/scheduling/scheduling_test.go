package scheduling_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/kindtest"
	"sampan/kind/scheduling"
)

func TestPriorityClasses(t *testing.T) {
	k := scheduling.PriorityClass()
	for _, c := range []struct {
		manifest string
		want     []string
	}{
		{`{value: 1000000000}`, nil},
		{`{value: -5, preemptionPolicy: Never}`, nil},
		{`{value: 1000000001}`, []string{"value: Forbidden: maximum allowed value of a user defined priority is 1000000000"}},
		{`{preemptionPolicy: Odd}`, []string{`preemptionPolicy: Unsupported value: "Odd"`}},
		{`{metadata: {name: system-mine}}`, []string{"metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-mine is not a known system priority class"}},
		{`{metadata: {name: system-node-critical}, value: 2000001000}`, nil},
		{`{metadata: {name: system-node-critical}, value: 5}`, []string{"metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: value of system-node-critical PriorityClass must be 2000001000"}},
	} {
		t.Run(c.manifest, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, c.manifest), c.want...) })
	}
	old := kindtest.Created(t, k, `{value: 5}`)
	_, errs := kindtest.Update(t, k, old, `{value: 6, preemptionPolicy: Never}`)
	kindtest.Check(t, errs, "value: Forbidden: may not be changed in an update.", `preemptionPolicy: Invalid value: "Never": field is immutable`)
	_, errs = kindtest.Update(t, k, old, `{globalDefault: true, description: d}`)
	kindtest.Check(t, errs)
	if d := cmp.Diff(`NAME   VALUE   GLOBAL-DEFAULT   AGE   PREEMPTIONPOLICY
a      5       false            5m    PreemptLowerPriority
`, kindtest.Table(t, k, old)); d != "" {
		t.Error(d)
	}
}
