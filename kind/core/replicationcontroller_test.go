package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const controller = `{spec: {template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: i, terminationMessagePolicy: File, imagePullPolicy: Always}]}}}}`

func TestReplicationControllerRules(t *testing.T) {
	checkRules(t, core.ReplicationController(), controller, []rule{
		{"good", `{}`, nil},
		{"less than none", `{spec: {replicas: -1, minReadySeconds: -1}}`, []string{`spec.replicas: Invalid value: -1: must be greater than or equal to 0`, `spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0`}},
		{"no template", `{spec: {template: null, selector: {a: b}}}`, []string{`spec.template: Required value`}},
		{"nothing selected", `{spec: {template: {metadata: {labels: null}}}}`, []string{`spec.selector: Required value`}},
		{"others selected", `{spec: {selector: {app: b}}}`, []string{"spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"}},
		{"pods that end", `{spec: {template: {spec: {restartPolicy: Never}}}}`, []string{`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`}},
		{"pods with a deadline", `{spec: {template: {spec: {activeDeadlineSeconds: 5}}}}`, []string{`spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported`}},
	})
	checkStatusRules(t, core.ReplicationController(), controller, []rule{
		{"good", `{status: {replicas: 3, readyReplicas: 2, availableReplicas: 1, fullyLabeledReplicas: 3}}`, nil},
		{"negative", `{status: {replicas: -1, observedGeneration: -1}}`, []string{
			`status.replicas: Invalid value: -1: must be greater than or equal to 0`, `status.observedGeneration: Invalid value: -1: must be greater than or equal to 0`,
			`status.fullyLabeledReplicas: Invalid value: 0: cannot be greater than status.replicas`, `status.readyReplicas: Invalid value: 0: cannot be greater than status.replicas`,
			`status.availableReplicas: Invalid value: 0: cannot be greater than status.replicas`}},
		{"more than there are", `{status: {replicas: 1, readyReplicas: 2, availableReplicas: 3, fullyLabeledReplicas: 4}}`, []string{
			`status.fullyLabeledReplicas: Invalid value: 4: cannot be greater than status.replicas`, `status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas`,
			`status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas`, `status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas`}},
	})
}

func TestReplicationControllerWarnings(t *testing.T) {
	rc := kindtest.Created(t, core.ReplicationController(), controller, `{metadata: {name: a.b}}`)
	const want = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
	if got := core.ReplicationController().Warnings(rc); len(got) != 1 || got[0] != want {
		t.Errorf("%q", got)
	}
	if got := core.ReplicationController().UpdateWarnings(rc, rc); len(got) != 0 {
		t.Errorf("%q of a change that does not touch the specification", got)
	}
}

func TestReplicationControllerDefaults(t *testing.T) {
	rc := kindtest.Created(t, core.ReplicationController(), controller).(*corev1.ReplicationController)
	if rc.Spec.Selector["app"] != "a" || rc.Labels["app"] != "a" || *rc.Spec.Replicas != 1 {
		t.Errorf("%+v", rc)
	}
}

func TestReplicationControllerTable(t *testing.T) {
	rc := kindtest.Created(t, core.ReplicationController(), controller, `{metadata: {labels: {x: y}}}`)
	const want = "NAME   DESIRED   CURRENT   READY   AGE   [CONTAINERS]   [IMAGES]   [SELECTOR]\na      1         0         0       5m    c              i          app=a\n"
	if d := cmp.Diff(want, kindtest.Table(t, core.ReplicationController(), rc)); d != "" {
		t.Error(d)
	}
}
