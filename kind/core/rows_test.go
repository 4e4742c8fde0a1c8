package core_test

import (
	"testing"

	"sampan/kind"
	"sampan/kind/kindtest"
)

// A rule is a change to a good object, and what is said of it.
type rule struct {
	name, patch string
	want        []string
}

// checkRules creates base with each change.
func checkRules(t *testing.T, k *kind.Kind, base string, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, k, base, r.patch), r.want...)
		})
	}
}

// checkStatusRules writes each change into the status of base.
func checkStatusRules(t *testing.T, k *kind.Kind, base string, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			old := kindtest.Created(t, k, base)
			next := kindtest.Parse(t, k, kindtest.YAML(t, old), r.patch)
			k.Status.PrepareUpdate(next, old)
			kindtest.Check(t, k.Status.Validate(next, old), r.want...)
		})
	}
}

// checkUpdateRules changes old, into which the cluster has written state since it was created.
func checkUpdateRules(t *testing.T, k *kind.Kind, old, state string, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			was := kindtest.Parse(t, k, kindtest.YAML(t, kindtest.Created(t, k, old)), state)
			_, errs := kindtest.Update(t, k, was, r.patch)
			kindtest.Check(t, errs, r.want...)
		})
	}
}
