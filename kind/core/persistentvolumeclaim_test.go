package core_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const claim = `{spec: {accessModes: [ReadWriteOnce], storageClassName: fast, resources: {requests: {storage: 2Gi}}}}`

func TestClaimRules(t *testing.T) {
	checkRules(t, core.PersistentVolumeClaim(), claim, []rule{
		{"good", `{}`, nil},
		{"no modes", `{spec: {accessModes: []}}`, []string{`spec.accessModes: Required value: at least 1 access mode is required`}},
		{"unknown mode", `{spec: {accessModes: [Write]}}`, []string{`spec.accessModes: Unsupported value: "Write": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`}},
		{"mode for one pod among others", `{spec: {accessModes: [ReadWriteOnce, ReadWriteOncePod]}}`, []string{`spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes`}},
		{"selector", `{spec: {selector: {matchLabels: {"a b": c}}}}`, []string{`spec.selector.matchLabels: Invalid value: "a b": name part must consist of`}},
		{"no size", `{spec: {resources: null}}`, []string{`spec.resources[storage]: Required value`}},
		{"nothing", `{spec: {resources: {requests: {storage: 0}}}}`, []string{`spec.resources[storage]: Invalid value: "0": must be greater than zero`}},
		{"class", `{spec: {storageClassName: A}}`, []string{`spec.storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"no class", `{spec: {storageClassName: ""}}`, nil},
		{"volume mode", `{spec: {volumeMode: Tape}}`, []string{`spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"`}},
		{"attributes class", `{spec: {volumeAttributesClassName: A}}`, []string{`spec.volumeAttributesClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},

		{"copy", `{spec: {dataSource: {kind: PersistentVolumeClaim, name: c}}}`, nil},
		{"snapshot without name", `{spec: {dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: ""}}}`, []string{`spec.dataSource.name: Required value`, `spec.dataSourceRef.name: Required value`}},
		{"unknown source of the older field is dropped", `{spec: {dataSource: {apiGroup: a.b, kind: C, name: d}}}`, nil},
		{"source of a driver", `{spec: {dataSourceRef: {apiGroup: a.b, kind: C, name: d}}}`, nil},
		{"group", `{spec: {dataSourceRef: {apiGroup: A, kind: C, name: d}}}`, []string{`spec.dataSource.apiGroup: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`,
			`spec.dataSourceRef.apiGroup: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"pod as source", `{spec: {dataSourceRef: {kind: Pod, name: d}}}`, []string{`spec.dataSource: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the default apiGroup`,
			`spec.dataSourceRef: Invalid value: "Pod": must be 'PersistentVolumeClaim' when referencing the default apiGroup`}},
		{"two sources", `{spec: {dataSource: {kind: PersistentVolumeClaim, name: c}, dataSourceRef: {kind: PersistentVolumeClaim, name: d}}}`, []string{`spec: Invalid value: {}: must match dataSourceRef`}},
		{"source of another namespace is dropped", `{spec: {dataSourceRef: {kind: PersistentVolumeClaim, name: d, namespace: other}}}`, nil},
	})
}

func TestClaimUpdateRules(t *testing.T) {
	const closed = `spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims`
	const small = `spec.resources.requests.storage: Forbidden: field can not be less than status.capacity`
	k := core.PersistentVolumeClaim()
	checkUpdateRules(t, k, claim, `{}`, []rule{
		{"bound by the controller", `{spec: {volumeName: v}}`, nil},
		{"grown before bound", `{spec: {resources: {requests: {storage: 3Gi}}}}`, []string{closed}},
		{"mode", `{spec: {volumeMode: Block}}`, []string{closed, `volumeMode: Invalid value: "Block": field is immutable`}},
		{"attributes before bound", `{spec: {volumeAttributesClassName: a}}`, []string{closed}},
		{"annotation", `{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: x}}}`, []string{`metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: "x": field is immutable`}},
	})
	checkUpdateRules(t, k, claim, `{"spec": {"volumeName": "v", "volumeAttributesClassName": "a"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}`, []rule{
		{"bound again", `{spec: {volumeName: w}}`, []string{closed}},
		{"grown", `{spec: {resources: {requests: {storage: 3Gi}}}}`, nil},
		{"grown less", `{spec: {resources: {requests: {storage: 1500Mi}}}}`, nil},
		{"shrunk", `{spec: {resources: {requests: {storage: 1Gi}}}}`, []string{small}},
		{"class", `{spec: {storageClassName: slow}}`, []string{closed}},
		{"attributes", `{spec: {volumeAttributesClassName: b}}`, nil},
		{"attributes taken back before the volume has them", `{spec: {volumeAttributesClassName: null}}`, nil},
		{"attributes emptied before the volume has them", `{spec: {volumeAttributesClassName: ""}}`, nil},
	})
	checkUpdateRules(t, k, claim, `{"spec": {"volumeName": "v", "volumeAttributesClassName": "a"}, "status": {"phase": "Bound", "currentVolumeAttributesClassName": "a"}}`, []rule{
		{"same attributes", `{metadata: {labels: {a: b}}}`, nil},
		{"other attributes", `{spec: {volumeAttributesClassName: b}}`, nil},
		{"no attributes", `{spec: {volumeAttributesClassName: null}}`, []string{`spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil`}},
		{"empty attributes", `{spec: {volumeAttributesClassName: ""}}`, []string{`spec.volumeAttributesClassName: Forbidden: update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil`}},
	})
	checkUpdateRules(t, k, claim, `{"spec": {"volumeName": "v"}, "status": {"phase": "Bound", "currentVolumeAttributesClassName": "a"}}`, []rule{
		{"attributes that are gone already", `{metadata: {labels: {a: b}}}`, nil},
	})
	checkUpdateRules(t, k, claim, `{"spec": {"storageClassName": null}}`, []rule{
		{"default class", `{spec: {storageClassName: slow}}`, nil},
	})
	checkUpdateRules(t, k, claim, `{"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "old"}}, "spec": {"storageClassName": null}}`, []rule{
		{"class of the annotation", `{metadata: {annotations: null}, spec: {storageClassName: old}}`, nil},
		{"another class than the annotation's", `{spec: {storageClassName: new}}`, []string{closed}},
		{"annotation taken away", `{metadata: {annotations: null}}`, []string{`metadata.annotations.volume.beta.kubernetes.io/storage-class: Invalid value: "": field is immutable`}},
	})
}

func TestClaimStatusRules(t *testing.T) {
	states := `: supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"`
	checkStatusRules(t, core.PersistentVolumeClaim(), claim, []rule{
		{"good", `{status: {capacity: {storage: 1Gi}, allocatedResources: {storage: 2Gi, example.com/iops: 5}, allocatedResourceStatuses: {storage: NodeResizePending}}}`, nil},
		{"capacity", `{status: {capacity: {storage: -1}}}`, []string{`status.capacity[storage]: Invalid value: -1: must be a valid resource quantity`}},
		{"state", `{status: {allocatedResourceStatuses: {storage: Odd}}}`, []string{`status.allocatedResourceStatuses: Unsupported value: "storage"` + states}},
		{"state of another", `{status: {allocatedResourceStatuses: {cpu: NodeResizePending}}}`, []string{`status.allocatedResourceStatuses: Unsupported value: "cpu": supported values: "storage"`}},
		{"state of no name", `{status: {allocatedResourceStatuses: {"a b": NodeResizePending}}}`, []string{`status.allocatedResourceStatuses: Invalid value: "a b": name part must consist of`}},
		{"given another", `{status: {allocatedResources: {kubernetes.io/x: 1}}}`, []string{`status.allocatedResources: Unsupported value: "kubernetes.io/x": supported values: "storage"`}},
		{"given less than nothing", `{status: {allocatedResources: {storage: -1}}}`, []string{`status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity`}},
	})
}

func TestClaimSourcesSayTheSame(t *testing.T) {
	older := kindtest.Created(t, core.PersistentVolumeClaim(), claim, `{spec: {dataSource: {kind: PersistentVolumeClaim, name: c}}}`).(*corev1.PersistentVolumeClaim)
	newer := kindtest.Created(t, core.PersistentVolumeClaim(), claim, `{spec: {dataSourceRef: {kind: PersistentVolumeClaim, name: c}}}`).(*corev1.PersistentVolumeClaim)
	if d := cmp.Diff(older.Spec, newer.Spec); d != "" || newer.Spec.DataSource == nil {
		t.Error(d)
	}
	dropped := kindtest.Created(t, core.PersistentVolumeClaim(), claim, `{spec: {dataSource: {apiGroup: a.b, kind: C, name: d}}}`).(*corev1.PersistentVolumeClaim)
	if dropped.Spec.DataSource != nil || dropped.Spec.DataSourceRef != nil {
		t.Errorf("%+v", dropped.Spec)
	}
}

func TestClaimWarnings(t *testing.T) {
	c := kindtest.Parse(t, core.PersistentVolumeClaim(), claim, `{metadata: {annotations: {volume.beta.kubernetes.io/storage-class: a}}, spec: {resources: {requests: {storage: 500m}, limits: {storage: 1500m}}}}`)
	want := []string{
		`metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead`,
		`spec.resources.requests[storage]: fractional byte value "500m" is invalid, must be an integer`,
		`spec.resources.limits[storage]: fractional byte value "1500m" is invalid, must be an integer`,
	}
	if got := core.PersistentVolumeClaim().Warnings(c); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestClaimTable(t *testing.T) {
	bound := kindtest.Parse(t, core.PersistentVolumeClaim(), `{spec: {volumeName: v, storageClassName: fast, volumeMode: Filesystem}, status: {phase: Bound, capacity: {storage: 1Gi}, accessModes: [ReadWriteMany, ReadWriteOnce]}}`)
	going := kindtest.Parse(t, core.PersistentVolumeClaim(), `{metadata: {name: b, deletionTimestamp: "2026-05-01T11:59:00Z"}, spec: {volumeAttributesClassName: gold}, status: {phase: Pending}}`)
	const want = "NAME   STATUS        VOLUME   CAPACITY   ACCESS MODES   STORAGECLASS   VOLUMEATTRIBUTESCLASS   AGE   [VOLUMEMODE]\n" +
		"a      Bound         v        1Gi        RWO,RWX        fast           <unset>                 5m    Filesystem\n" +
		"b      Terminating                                                     gold                    5m    <unset>\n"
	if d := cmp.Diff(want, kindtest.Table(t, core.PersistentVolumeClaim(), bound, going)); d != "" {
		t.Error(d)
	}
}
