package core_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestNamespaceRules(t *testing.T) {
	const bare = "name is neither a standard finalizer name nor is it fully qualified"
	checkRules(t, core.Namespace(), `{}`, []rule{
		{"finalizer of a domain", `{spec: {finalizers: [example.com/f]}}`, nil},
		{"finalizer of none", `{spec: {finalizers: [f]}}`, []string{`spec.finalizers: Invalid value: "f": ` + bare}},
		{"name with a dot", `{metadata: {name: a.b}}`, []string{`metadata.name: Invalid value: "a.b": must not contain dots`}},
		{"finalizers of metadata", `{metadata: {finalizers: [orphan, kubernetes, f, example.com/g]}}`, []string{`metadata.finalizers[2]: Invalid value: "f": ` + bare}},
	})
	checkUpdateRules(t, core.Namespace(), `{metadata: {finalizers: [example.com/f]}}`, `{}`, []rule{
		{"another finalizer", `{metadata: {finalizers: [example.com/f, f]}}`, []string{`metadata.finalizers[1]: Invalid value: "f": ` + bare}},
		{"no finalizer", `{metadata: {finalizers: []}}`, nil},
	})
}

func TestNamespaceFinalize(t *testing.T) {
	ns := &corev1.Namespace{Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes", "f"}}}
	kindtest.Check(t, core.ValidateFinalize(ns), `spec.finalizers[1]: Invalid value: "f": name is neither a standard finalizer name nor is it fully qualified`)
}

func TestNamespacePhaseFollowsDeletion(t *testing.T) {
	checkStatusRules(t, core.Namespace(), `{}`, []rule{
		{"active", `{}`, nil},
		{"terminating, though nobody deleted it", `{status: {phase: Terminating}}`, []string{"status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"}},
		{"active, though deleted", `{metadata: {deletionTimestamp: "2026-05-01T11:00:00Z"}}`, []string{"status.Phase: Invalid value: \"Active\": may only be 'Terminating' if `deletionTimestamp` is not empty"}},
	})
}
