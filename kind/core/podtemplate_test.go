package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestPodTemplates(t *testing.T) {
	k := core.PodTemplate()
	const template = `{template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: "i:1"}]}}}`
	kindtest.Check(t, kindtest.Create(t, k, template))
	kindtest.Check(t, kindtest.Create(t, k, template, `{template: {spec: {containers: []}}}`), "template.spec.containers: Required value")
	if d := cmp.Diff("NAME   CONTAINERS   IMAGES   POD LABELS\na      c            i:1      app=a\n",
		kindtest.Table(t, k, kindtest.Parse(t, k, template))); d != "" {
		t.Error(d)
	}
}
