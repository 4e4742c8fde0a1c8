package node_test

import (
	"testing"

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
		{`{}`, []string{`handler: Invalid value: ""`}},
		{`{handler: Kata}`, []string{`handler: Invalid value: "Kata"`}},
		{`{handler: kata, overhead: {podFixed: {memory: -1}}}`, []string{`overhead.podFixed.limits[memory]: Invalid value: "-1"`}},
		{`{handler: kata, scheduling: {nodeSelector: {-: b}, tolerations: [{operator: Exists}, {operator: Exists}]}}`, []string{
			`scheduling.nodeSelector: Invalid value: "-"`, `scheduling.tolerations[1]: Duplicate value`}},
	} {
		t.Run(c.manifest, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, c.manifest), c.want...) })
	}
	_, errs := kindtest.Update(t, k, kindtest.Created(t, k, `{handler: kata}`), `{handler: runc}`)
	kindtest.Check(t, errs, `handler: Invalid value: "runc": field is immutable`)
}
