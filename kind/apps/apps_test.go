package apps_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"

	"sampan/kind"
	"sampan/kind/apps"
	"sampan/kind/kindtest"
)

const workload = `
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: c, image: "i:1"}]}
`

const templateDefaults = `  template:
    metadata:
      labels:
        app: a
    spec:
      containers:
      - image: i:1
        imagePullPolicy: IfNotPresent
        name: c
        resources: {}
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      dnsPolicy: ClusterFirst
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      terminationGracePeriodSeconds: 30
`

func TestWorkloadDefaults(t *testing.T) {
	for _, c := range []struct {
		kind        *kind.Kind
		patch, want string
	}{
		{apps.Deployment(), `{}`, `  progressDeadlineSeconds: 600
  replicas: 1
  revisionHistoryLimit: 10
  selector:
    matchLabels:
      app: a
  strategy:
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 25%
    type: RollingUpdate
` + templateDefaults + "status: {}\n"},
		{apps.Deployment(), `{spec: {replicas: 0, strategy: {type: Recreate}}}`, `  progressDeadlineSeconds: 600
  replicas: 0
  revisionHistoryLimit: 10
  selector:
    matchLabels:
      app: a
  strategy:
    type: Recreate
` + templateDefaults + "status: {}\n"},
		{apps.ReplicaSet(), `{}`, `  replicas: 1
  selector:
    matchLabels:
      app: a
` + templateDefaults + "status:\n  replicas: 0\n"},
		{apps.StatefulSet(), `{spec: {serviceName: db, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`,
			`  persistentVolumeClaimRetentionPolicy:
    whenDeleted: Retain
    whenScaled: Retain
  podManagementPolicy: OrderedReady
  replicas: 1
  revisionHistoryLimit: 10
  selector:
    matchLabels:
      app: a
  serviceName: db
` + templateDefaults + `  updateStrategy:
    rollingUpdate:
      maxUnavailable: 1
      partition: 0
    type: RollingUpdate
  volumeClaimTemplates:
  - apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: data
    spec:
      accessModes:
      - ReadWriteOnce
      resources:
        requests:
          storage: 1Gi
      volumeMode: Filesystem
    status:
      phase: Pending
status:
  availableReplicas: 0
  replicas: 0
`},
	} {
		const head = "metadata:\n  generation: 1\n  name: a\n  namespace: ns\nspec:\n"
		if d := cmp.Diff(head+c.want, kindtest.YAML(t, kindtest.Created(t, c.kind, workload, c.patch))); d != "" {
			t.Errorf("%s: %s", c.kind.ID, d)
		}
	}
}

func TestWorkloadValidation(t *testing.T) {
	deployment, set, stateful := apps.Deployment(), apps.ReplicaSet(), apps.StatefulSet()
	for _, c := range []struct {
		name  string
		kind  *kind.Kind
		patch string
		want  []string
	}{
		{"no selector", deployment, `{spec: {selector: null}}`, []string{`spec.selector: Required value`,
			"spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"}},
		{"empty selector", deployment, `{spec: {selector: {matchLabels: null}}}`, []string{`spec.selector: Invalid value: {}: empty selector is invalid for deployment`}},
		{"empty selector", set, `{spec: {selector: {matchLabels: null}}}`, []string{`spec.selector: Invalid value: {}: empty selector is invalid for deployment`}},
		{"empty selector", stateful, `{spec: {selector: {matchLabels: null}}}`, []string{`spec.selector: Invalid value: {}: empty selector is invalid for statefulset`}},
		{"selector misses", deployment, `{spec: {selector: {matchLabels: {app: b}}}}`,
			[]string{"spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"}},
		{"bad operator", deployment, `{spec: {selector: {matchExpressions: [{key: app, operator: Like, values: [a]}]}}}`,
			[]string{`spec.selector.matchExpressions[0].operator: Invalid value: "Like": not a valid selector operator`, `spec.selector: Invalid value: {`}},
		{"negative replicas", deployment, `{spec: {replicas: -1}}`, []string{`spec.replicas: Invalid value: -1: must be greater than or equal to 0`}},
		{"restart policy", deployment, `{spec: {template: {spec: {restartPolicy: Never}}}}`,
			[]string{`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`}},
		{"deadline of pods", stateful, `{spec: {template: {spec: {activeDeadlineSeconds: 5}}}}`,
			[]string{`spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in StatefulSet is not Supported`}},
		{"template is checked", set, `{spec: {template: {spec: {containers: []}}}}`, []string{`spec.template.spec.containers: Required value`}},
		{"no movement", deployment, `{spec: {strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}}}`,
			[]string{"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"}},
		{"no movement in percent", deployment, `{spec: {strategy: {rollingUpdate: {maxSurge: 0%, maxUnavailable: 0}}}}`,
			[]string{"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"}},
		{"above all", deployment, `{spec: {strategy: {rollingUpdate: {maxUnavailable: 101%}}}}`,
			[]string{`spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%`}},
		{"no percentage", deployment, `{spec: {strategy: {rollingUpdate: {maxSurge: many}}}}`,
			[]string{`spec.strategy.rollingUpdate.maxSurge: Invalid value: "many": a valid percent string must be`}},
		{"recreate with parameters", deployment, `{spec: {strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}}}`,
			[]string{"spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"}},
		{"strategy", deployment, `{spec: {strategy: {type: Slowly}}}`,
			[]string{`spec.strategy: Unsupported value: {"type":"Slowly"}: supported values: "Recreate", "RollingUpdate"`}},
		{"deadline", deployment, `{spec: {minReadySeconds: 10, progressDeadlineSeconds: 10}}`,
			[]string{`spec.progressDeadlineSeconds: Invalid value: 10: must be greater than minReadySeconds`}},
		{"pod management", stateful, `{spec: {podManagementPolicy: Any}}`,
			[]string{`spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel'`}},
		{"partition", stateful, `{spec: {updateStrategy: {rollingUpdate: {partition: -1}}}}`,
			[]string{`spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0`}},
		{"retention", stateful, `{spec: {persistentVolumeClaimRetentionPolicy: {whenScaled: Burn}}}`,
			[]string{`spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Burn": supported values: "Retain", "Delete"`}},
		{"claim is mounted", stateful, `{spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}],
			template: {spec: {containers: [{name: c, image: i, volumeMounts: [{name: data, mountPath: /d}]}]}}}}`, nil},
		{"claim without size", stateful, `{spec: {volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]}}`,
			[]string{`spec.volumeClaimTemplates[0].spec.resources[storage]: Required value`}},
		{"service name", stateful, `{spec: {serviceName: A}}`, []string{`spec.serviceName: Invalid value: "A": a lowercase RFC 1123 label must consist of`}},
	} {
		t.Run(string(c.kind.ID)+" "+c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, c.kind, workload, c.patch), c.want...)
		})
	}
}

func TestWorkloadUpdate(t *testing.T) {
	const other = `{spec: {selector: {matchLabels: {app: b}}, template: {metadata: {labels: {app: b}}}}}`
	for _, c := range []struct {
		name  string
		kind  *kind.Kind
		patch string
		want  []string
	}{
		{"selector", apps.Deployment(), other, []string{`spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable`}},
		{"selector", apps.ReplicaSet(), other, []string{`spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable`}},
		{"selector", apps.StatefulSet(), other, []string{`spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable`}},
		{"service", apps.StatefulSet(), `{spec: {serviceName: other}}`, []string{`spec.serviceName: Invalid value: "other": field is immutable`}},
		{"what may change", apps.StatefulSet(), `{spec: {replicas: 3, minReadySeconds: 1, revisionHistoryLimit: 2, ordinals: {start: 1}, updateStrategy: {type: OnDelete, rollingUpdate: null},
			persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}, template: {spec: {containers: [{name: c, image: "i:2"}]}}}}`, nil},
		{"image", apps.Deployment(), `{spec: {template: {spec: {containers: [{name: c, image: "i:2"}]}}}}`, nil},
	} {
		t.Run(string(c.kind.ID)+" "+c.name, func(t *testing.T) {
			_, errs := kindtest.Update(t, c.kind, kindtest.Created(t, c.kind, workload), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestWorkloadStatusMustAddUp(t *testing.T) {
	d := kindtest.Created(t, apps.Deployment(), workload).(*appsv1.Deployment)
	next := d.DeepCopy()
	next.Spec.Replicas = new(int32(9))
	next.Status = appsv1.DeploymentStatus{Replicas: 1, ReadyReplicas: 2, AvailableReplicas: 3}
	apps.Deployment().Status.PrepareUpdate(next, d)
	if *next.Spec.Replicas != 1 {
		t.Error("a status update changed the spec")
	}
	kindtest.Check(t, apps.Deployment().Status.Validate(next, d),
		`status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas`,
		`status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas`,
		`status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas`)
}

func TestControllerRevisionNeverChanges(t *testing.T) {
	k := apps.ControllerRevision()
	kindtest.Check(t, kindtest.Create(t, k, `{revision: 1}`), `data: Required value: data is mandatory`)
	old := kindtest.Created(t, k, `{revision: 1, data: {spec: {}}}`)
	_, errs := kindtest.Update(t, k, old, `{revision: 2}`)
	kindtest.Check(t, errs)
	_, errs = kindtest.Update(t, k, old, `{data: {spec: {a: b}}}`)
	kindtest.Check(t, errs, `data: Invalid value: `)
}

func TestWorkloadTables(t *testing.T) {
	for _, c := range []struct {
		kind        *kind.Kind
		patch, want string
	}{
		{apps.Deployment(), `{spec: {replicas: 3}, status: {readyReplicas: 2, updatedReplicas: 1, availableReplicas: 2}}`,
			`NAME   READY   UP-TO-DATE   AVAILABLE   AGE   [CONTAINERS]   [IMAGES]   [SELECTOR]
a      2/3     1            2           5m    c              i:1        app=a
`},
		{apps.ReplicaSet(), `{spec: {replicas: 3}, status: {replicas: 2, readyReplicas: 1}}`,
			`NAME   DESIRED   CURRENT   READY   AGE   [CONTAINERS]   [IMAGES]   [SELECTOR]
a      3         2         1       5m    c              i:1        app=a
`},
		{apps.StatefulSet(), `{spec: {replicas: 3}, status: {readyReplicas: 2}}`,
			`NAME   READY   AGE   [CONTAINERS]   [IMAGES]
a      2/3     5m    c              i:1
`},
	} {
		if d := cmp.Diff(c.want, kindtest.Table(t, c.kind, kindtest.Parse(t, c.kind, workload, c.patch))); d != "" {
			t.Errorf("%s: %s", c.kind.ID, d)
		}
	}
	const want = `NAME   CONTROLLER             REVISION   AGE
a      statefulset.apps/web   4          5m
`
	k := apps.ControllerRevision()
	revision := kindtest.Parse(t, k, `{revision: 4, metadata: {ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}]}}`)
	if d := cmp.Diff(want, kindtest.Table(t, k, revision)); d != "" {
		t.Error(d)
	}
}

func TestDaemonSets(t *testing.T) {
	k := apps.DaemonSet()
	d := kindtest.Created(t, k, workload).(*appsv1.DaemonSet)
	if r := d.Spec.UpdateStrategy.RollingUpdate; d.Spec.UpdateStrategy.Type != "RollingUpdate" || r.MaxUnavailable.IntVal != 1 || r.MaxSurge.IntVal != 0 || *d.Spec.RevisionHistoryLimit != 10 {
		t.Errorf("defaults: %+v", d.Spec)
	}
	const rolling = "spec.updateStrategy.rollingUpdate"
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {updateStrategy: {type: OnDelete}}}`, nil},
		{`{spec: {updateStrategy: {type: Odd}}}`, []string{`spec.updateStrategy: Unsupported value: {"type":"Odd"}: supported values: "RollingUpdate", "OnDelete"`}},
		{`{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}}`, []string{rolling + ".maxUnavailable: Required value: cannot be 0 when maxSurge is 0"}},
		{`{spec: {updateStrategy: {rollingUpdate: {maxSurge: 10%}}}}`, []string{rolling + `.maxSurge: Invalid value: "10%": may not be set when maxUnavailable is non-zero`}},
		{`{spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 101%}}}}`, []string{rolling + `.maxSurge: Invalid value: "101%": must not be greater than 100%`}},
		{`{spec: {selector: {matchLabels: {app: b}}}}`, []string{"spec.template.metadata.labels: Invalid value"}},
		{`{spec: {template: {spec: {restartPolicy: Never}}}}`, []string{`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`}},
		{`{spec: {minReadySeconds: -1}}`, []string{"spec.minReadySeconds: Invalid value: -1"}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, workload, c.patch), c.want...) })
	}
	next, errs := kindtest.Update(t, k, d, `{spec: {template: {spec: {nodeSelector: {a: b}}}}}`)
	kindtest.Check(t, errs)
	if next.GetGeneration() != 2 || next.GetAnnotations()[appsv1.DeprecatedTemplateGeneration] != "2" {
		t.Errorf("after a change of the template: generation %d, %v", next.GetGeneration(), next.GetAnnotations())
	}
	if next, _ := kindtest.Update(t, k, d, `{spec: {minReadySeconds: 1}}`); next.GetGeneration() != 2 || next.GetAnnotations()[appsv1.DeprecatedTemplateGeneration] != "1" {
		t.Errorf("after another change: generation %d, %v", next.GetGeneration(), next.GetAnnotations())
	}
	if d := cmp.Diff(`NAME   DESIRED   CURRENT   READY   UP-TO-DATE   AVAILABLE   NODE SELECTOR   AGE   [CONTAINERS]   [IMAGES]   [SELECTOR]
a      3         2         1       0            0           a=b             5m    c              i:1        app=a
`, kindtest.Table(t, k, kindtest.Parse(t, k, workload, `{spec: {template: {spec: {nodeSelector: {a: b}}}}, status: {desiredNumberScheduled: 3, currentNumberScheduled: 2, numberReady: 1}}`))); d != "" {
		t.Error(d)
	}
}
