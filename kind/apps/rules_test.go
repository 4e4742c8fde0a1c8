package apps_test

import (
	"testing"

	"sampan/kind"
	"sampan/kind/apps"
	"sampan/kind/kindtest"
)

const claims = `{spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`

func TestStatefulSetRules(t *testing.T) {
	const strategy = "spec.updateStrategy"
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{spec: {updateStrategy: {type: Odd}}}`, []string{strategy + `: Invalid value: {"type":"Odd"}: must be 'RollingUpdate' or 'OnDelete'`}},
		{`{spec: {updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}}}`, []string{strategy + `.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy 'RollingUpdate'`}},
		{`{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}}`, []string{strategy + `.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0`}},
		{`{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 101%}}}}`, []string{strategy + `.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%`}},
		{`{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: many}}}}`, []string{
			strategy + `.rollingUpdate.maxUnavailable: Invalid value: "many": a valid percent string must be`, strategy + `.rollingUpdate.maxUnavailable: Invalid value: "many": cannot be 0`}},
		{`{spec: {replicas: -1, minReadySeconds: -1, ordinals: {start: -1}}}`, []string{
			"spec.replicas: Invalid value: -1", "spec.minReadySeconds: Invalid value: -1", "spec.ordinals.start: Invalid value: -1"}},
		{`{spec: {revisionHistoryLimit: -1}}`, nil}, // warned of
		{`{spec: {persistentVolumeClaimRetentionPolicy: {whenDeleted: Odd}}}`, []string{
			`spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Odd": supported values: "Retain", "Delete"`}},
		{`{spec: {template: {spec: {hostname: Bad!, subdomain: Bad!}}}}`, nil}, // the controller writes over them
		{`{spec: {template: {spec: {restartPolicy: Never}}}}`, []string{`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`}},
		{`{spec: {template: {metadata: {labels: {"-": x}}}}}`, []string{
			`spec.template.labels: Invalid value: "-"`, `spec.template.labels: Invalid value: "-"`}},
		{`{spec: {selector: {matchExpressions: [{key: "", operator: In, values: [a]}]}}}`, []string{
			`spec.selector.matchExpressions[0].key: Invalid value`, `spec.selector.matchExpressions[0].key: Invalid value`, `spec.selector: Invalid value`}},
		{`{spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [], resources: {requests: {storage: 1Gi}}}}]}}`, []string{
			"spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required"}},
		{`{spec: {volumeClaimTemplates: [{metadata: {name: B}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`, []string{
			`spec.template.spec.volumes[0].name: Invalid value: "B"`}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, apps.StatefulSet(), workload, c.patch), c.want...)
		})
	}
}

func TestStatefulSetKeepsWhatItsPodsCannotFollow(t *testing.T) {
	k := apps.StatefulSet()
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{spec: {podManagementPolicy: Parallel}}`, []string{`spec.podManagementPolicy: Invalid value: "Parallel": field is immutable`}},
		{`{spec: {serviceName: Bad!}}`, []string{`spec.serviceName: Invalid value: "Bad!": field is immutable`}},
		{`{spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: []}}]}}`, []string{"spec.volumeClaimTemplates: Invalid value"}},
		{`{spec: {template: {spec: {containers: []}}}}`, []string{"spec.template.spec.containers: Required value"}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			_, errs := kindtest.Update(t, k, kindtest.Created(t, k, workload, claims), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
	// A set from an older cluster whose template would not be accepted today can still be scaled.
	old := kindtest.Created(t, k, workload, `{spec: {template: {spec: {containers: []}}}}`)
	_, errs := kindtest.Update(t, k, old, `{spec: {replicas: 0}}`)
	kindtest.Check(t, errs)
}

func TestWorkloadStatusRules(t *testing.T) {
	const tooMany = ": cannot be greater than status.replicas"
	for _, c := range []struct {
		kind      *kind.Kind
		was, next string
		want      []string
	}{
		{apps.Deployment(), `{}`, `{status: {updatedReplicas: 1, unavailableReplicas: -1, terminatingReplicas: -1, observedGeneration: -1, collisionCount: -1}}`, []string{
			"status.updatedReplicas: Invalid value: 1" + tooMany, "status.unavailableReplicas: Invalid value: -1", "status.terminatingReplicas: Invalid value: -1",
			"status.observedGeneration: Invalid value: -1", "status.collisionCount: Invalid value: -1"}},
		{apps.Deployment(), `{status: {collisionCount: 2}}`, `{status: {collisionCount: 1}}`, []string{"status.collisionCount: Invalid value: 1: cannot be decremented"}},
		{apps.Deployment(), `{status: {collisionCount: 2}}`, `{status: {collisionCount: null}}`, []string{"status.collisionCount: Invalid value: 0: cannot be decremented"}},
		{apps.ReplicaSet(), `{}`, `{status: {replicas: 1, fullyLabeledReplicas: 2, readyReplicas: 0, availableReplicas: 1}}`, []string{
			"status.fullyLabeledReplicas: Invalid value: 2" + tooMany, "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas"}},
		{apps.ReplicaSet(), `{}`, `{status: {readyReplicas: 1, terminatingReplicas: -1, observedGeneration: -1}}`, []string{
			"status.readyReplicas: Invalid value: 1" + tooMany, "status.terminatingReplicas: Invalid value: -1", "status.observedGeneration: Invalid value: -1"}},
		{apps.StatefulSet(), `{status: {collisionCount: 2}}`, `{status: {currentReplicas: 1, updatedReplicas: 1, collisionCount: 1}}`, []string{
			"status.currentReplicas: Invalid value: 1" + tooMany, "status.updatedReplicas: Invalid value: 1" + tooMany, "status.collisionCount: Invalid value: 1: cannot be decremented"}},
		{apps.StatefulSet(), `{}`, `{status: {replicas: 2, readyReplicas: 1, availableReplicas: 2}}`, []string{"status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas"}},
		{apps.DaemonSet(), `{status: {collisionCount: 2}}`, `{status: {currentNumberScheduled: -1, numberMisscheduled: -1, desiredNumberScheduled: -1, numberReady: -1, updatedNumberScheduled: -1, numberAvailable: -1, numberUnavailable: -1, collisionCount: 1}}`, []string{
			"status.currentNumberScheduled: Invalid value: -1", "status.numberMisscheduled: Invalid value: -1", "status.desiredNumberScheduled: Invalid value: -1", "status.numberReady: Invalid value: -1",
			"status.updatedNumberScheduled: Invalid value: -1", "status.numberAvailable: Invalid value: -1", "status.numberUnavailable: Invalid value: -1", "status.collisionCount: Invalid value: 1: cannot be decremented"}},
	} {
		t.Run(string(c.kind.ID)+c.next, func(t *testing.T) {
			_, errs := kindtest.UpdateStatus(t, c.kind, kindtest.Stored(t, c.kind, workload, c.was), c.next)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestWorkloadWarnings(t *testing.T) {
	const dns = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]"
	const label = `spec.template.spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead`
	const old = `{spec: {template: {spec: {nodeSelector: {beta.kubernetes.io/os: linux}}}}}`
	const dotted = `{metadata: {name: a.b}}`
	for _, c := range []struct {
		kind    *kind.Kind
		dotted  bool // names with dots are warned of
		counted bool // any change of the spec warns of the template again
	}{{apps.Deployment(), true, true}, {apps.ReplicaSet(), true, true}, {apps.StatefulSet(), false, true}, {apps.DaemonSet(), false, false}} {
		var name []string
		if c.dotted {
			name = []string{dns}
		}
		t.Run(string(c.kind.ID), func(t *testing.T) {
			obj := kindtest.Created(t, c.kind, workload, old, dotted)
			kindtest.CheckTexts(t, c.kind.Warnings(obj), append(name, label)...)
			next, _ := kindtest.Update(t, c.kind, obj, `{metadata: {labels: {x: "1"}}}`)
			kindtest.CheckTexts(t, c.kind.WarningsForUpdate(next, obj))
			next, _ = kindtest.Update(t, c.kind, obj, `{spec: {minReadySeconds: 1}}`)
			if c.counted {
				kindtest.CheckTexts(t, c.kind.WarningsForUpdate(next, obj), label)
			} else {
				kindtest.CheckTexts(t, c.kind.WarningsForUpdate(next, obj))
			}
			next, _ = kindtest.Update(t, c.kind, obj, `{spec: {template: {metadata: {annotations: {x: "1"}}}}}`)
			kindtest.CheckTexts(t, c.kind.WarningsForUpdate(next, obj), label)
		})
	}
	k := apps.StatefulSet()
	set := kindtest.Created(t, k, workload, `{spec: {revisionHistoryLimit: -1, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 100m}}}}]}}`)
	want := []string{`spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "100m" is invalid, must be an integer`,
		"spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"}
	kindtest.CheckTexts(t, k.Warnings(set), want...)
	kindtest.CheckTexts(t, k.WarningsForUpdate(set, set), want...)
}

func TestControllerRevisionData(t *testing.T) {
	k := apps.ControllerRevision()
	for _, c := range []struct {
		manifest string
		want     []string
	}{
		{`{revision: 1, data: {spec: {}}}`, nil},
		{`{revision: -1, data: {}}`, []string{"revision: Invalid value: -1: must be greater than or equal to 0"}},
		{`{revision: 1, data: null}`, []string{"data: Required value: data is mandatory"}},
		{`{revision: 1, data: [1]}`, []string{"data: Required value: data must be a valid JSON object"}},
	} {
		t.Run(c.manifest, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, c.manifest), c.want...) })
	}
}

func TestDaemonSetTemplateGeneration(t *testing.T) {
	const key = "deprecated.daemonset.template.generation"
	k := apps.DaemonSet()
	first := kindtest.Created(t, k, workload, `{metadata: {annotations: {`+key+`: "3"}}}`)
	if n := first.GetAnnotations()[key]; n != "3" {
		t.Errorf("a restored set begins at %q", n)
	}
	next, errs := kindtest.UpdateStatus(t, k, first, `{metadata: {annotations: {`+key+`: "9"}}, status: {numberReady: 1}}`)
	kindtest.Check(t, errs)
	if n := next.GetAnnotations()[key]; n != "3" {
		t.Errorf("a writer of the status set it to %q", n)
	}
	// A set without a selector selects nothing.
	kindtest.Check(t, kindtest.Create(t, k, workload, `{spec: {selector: null}}`), "spec.template.metadata.labels: Invalid value")
	kindtest.Check(t, kindtest.Create(t, k, workload, `{spec: {revisionHistoryLimit: -1, template: {spec: {activeDeadlineSeconds: 5}}}}`),
		"spec.revisionHistoryLimit: Invalid value: -1", "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported")
}

func TestDeploymentAndReplicaSetShareTheirWords(t *testing.T) {
	for _, k := range []*kind.Kind{apps.Deployment(), apps.ReplicaSet()} {
		kindtest.Check(t, kindtest.Create(t, k, workload, `{spec: {minReadySeconds: -1, template: {spec: {activeDeadlineSeconds: 5}}}}`),
			"spec.minReadySeconds: Invalid value: -1", "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported")
		kindtest.Check(t, kindtest.Create(t, k, workload, `{spec: {selector: {matchLabels: {app: "not a label"}}}}`),
			`spec.selector.matchLabels: Invalid value: "not a label"`, `spec.selector: Invalid value: {"matchLabels":{"app":"not a label"}}: invalid label selector`)
	}
	kindtest.Check(t, kindtest.Create(t, apps.Deployment(), workload, `{spec: {revisionHistoryLimit: -1, strategy: {rollingUpdate: {maxSurge: many, maxUnavailable: 0}}}}`),
		"spec.revisionHistoryLimit: Invalid value: -1", `spec.strategy.rollingUpdate.maxSurge: Invalid value: "many": a valid percent string must be`,
		"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0")
}
