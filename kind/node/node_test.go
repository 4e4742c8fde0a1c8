package node_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/kindtest"
	"sampan/kind/node"
)

func TestRuntimeClasses(t *testing.T) {
	k := node.RuntimeClass()
	for _, c := range []struct {
		manifest string
		want     []string
	}{
		{`{handler: kata, overhead: {podFixed: {memory: 10Mi}}, scheduling: {nodeSelector: {a: b}, tolerations: [{operator: Exists}]}}`, nil},
		{`{}`, []string{`handler: Required value`}},
		{`{handler: Kata}`, []string{`handler: Invalid value: "Kata"`}},
		{`{handler: kata, overhead: {podFixed: {memory: -1}}}`, []string{`overhead.limits[memory]: Invalid value: "-1"`}},
		{`{handler: kata, scheduling: {nodeSelector: {-: b}, tolerations: [{operator: Exists}, {operator: Exists}]}}`, []string{
			`scheduling.nodeSelector: Invalid value: "-"`, `scheduling.tolerations[1]: Duplicate value`}},
		{`{handler: kata, scheduling: {tolerations: [{key: a, operator: Gt, value: "5"}]}}`, []string{
			`scheduling.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"`}},
	} {
		t.Run(c.manifest, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, c.manifest), c.want...) })
	}
	c := kindtest.Created(t, k, `{handler: kata, scheduling: {nodeSelector: {node-role.kubernetes.io/master: "", beta.kubernetes.io/os: linux}}}`)
	kindtest.CheckTexts(t, k.Warnings(c), `scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead`, `scheduling.nodeSelector: use "node-role.kubernetes.io/control-plane" instead`)
	if d := cmp.Diff("NAME   HANDLER   AGE\na      kata      5m\n", kindtest.Table(t, k, c)); d != "" {
		t.Error(d)
	}
	_, errs := kindtest.Update(t, k, kindtest.Created(t, k, `{handler: kata}`), `{handler: runc}`)
	kindtest.Check(t, errs, `handler: Invalid value: null: field is immutable`)
}
