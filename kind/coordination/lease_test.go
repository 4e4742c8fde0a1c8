package coordination_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/coordination"
	"sampan/kind/kindtest"
)

func TestLeaseValidation(t *testing.T) {
	for _, c := range []struct {
		name, lease string
		want        []string
	}{
		{"empty", `{}`, nil},
		{"held", `{spec: {holderIdentity: me, leaseDurationSeconds: 40, renewTime: "2026-05-01T12:00:00.000000Z"}}`, nil},
		{"duration", `{spec: {leaseDurationSeconds: 0}}`, []string{`spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0`}},
		{"transitions", `{spec: {leaseTransitions: -1}}`, []string{`spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0`}},
		{"fields of a feature that is off", `{spec: {strategy: Odd, preferredHolder: me}}`, nil}, // they are dropped
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, coordination.Lease(), c.lease), c.want...)
		})
	}
}

func TestLeaseWithStrategy(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		want        []string
	}{
		{"strategy", `{}`, nil},
		{"own strategy", `{spec: {strategy: example.com/first}}`, nil},
		{"unknown strategy", `{spec: {strategy: Odd}}`, []string{`spec.strategy.strategy: Unsupported value: "Odd": supported values: "OldestEmulationVersion"`}},
		{"bad strategy", `{spec: {strategy: "example.com/a b"}}`, []string{`spec.strategy.strategy: Invalid value: "example.com/a b": name part must consist of`}},
		{"preferred holder", `{spec: {strategy: null}}`, []string{"spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := coordination.Lease()
			old := kindtest.Parse(t, k, `{spec: {strategy: OldestEmulationVersion, preferredHolder: me}}`)
			_, errs := kindtest.Update(t, k, old, c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestLeaseUpdateValidation(t *testing.T) {
	_, errs := kindtest.Update(t, coordination.Lease(), kindtest.Created(t, coordination.Lease(), `{spec: {leaseDurationSeconds: 40}}`), `{spec: {leaseDurationSeconds: -1}}`)
	kindtest.Check(t, errs, `spec.leaseDurationSeconds: Invalid value: -1: must be greater than 0`)
}

func TestLeaseTable(t *testing.T) {
	const want = "NAME   HOLDER   AGE\na      me       5m\n"
	if d := cmp.Diff(want, kindtest.Table(t, coordination.Lease(), kindtest.Parse(t, coordination.Lease(), `{spec: {holderIdentity: me}}`))); d != "" {
		t.Error(d)
	}
}
