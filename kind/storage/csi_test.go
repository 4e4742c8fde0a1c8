package storage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/storage"
)

func TestCSIValidation(t *testing.T) {
	const attachment = `{spec: {attacher: example.com, nodeName: n1, source: {persistentVolumeName: v}}}`
	for _, c := range []struct {
		kind            *kind.Kind
		manifest, patch string
		want            []string
	}{
		{storage.CSIDriver(), `{}`, `{spec: {tokenRequests: [{audience: ""}]}}`, nil},
		{storage.CSIDriver(), `{}`, `{spec: {fsGroupPolicy: Odd, volumeLifecycleModes: [Odd], nodeAllocatableUpdatePeriodSeconds: 5}}`, []string{
			`spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None", "ReadWriteOnceWithFSType"`,
			`spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Ephemeral", "Persistent"`,
			"spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: must be greater than or equal to 10 seconds"}},
		{storage.CSIDriver(), `{}`, `{spec: {tokenRequests: [{audience: a, expirationSeconds: 5}, {audience: a}]}}`, []string{
			"spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
			`spec.tokenRequests[1].audience: Duplicate value: "a"`}},
		{storage.CSINode(), `{spec: {drivers: [{name: d.example.com, nodeID: n1, topologyKeys: [zone], allocatable: {count: 3}}]}}`, `{}`, nil},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: ""}, {name: d, nodeID: n1, allocatable: {count: -1}}]}}`, `{}`, []string{
			"spec.drivers[0].nodeID: Required value", `spec.drivers[1].name: Duplicate value: "d"`, "spec.drivers[1].allocatable.count: Invalid value: -1"}},
		{storage.CSIStorageCapacity(), `{storageClassName: fast, capacity: 1Gi}`, `{}`, nil},
		{storage.CSIStorageCapacity(), `{storageClassName: fast, capacity: -1}`, `{}`, []string{`capacity: Invalid value: "-1": must be greater than or equal to 0`}},
		{storage.VolumeAttachment(), attachment, `{}`, nil},
		{storage.VolumeAttachment(), attachment, `{spec: {source: {persistentVolumeName: null}}}`, []string{"spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"}},
		{storage.VolumeAttachment(), attachment, `{spec: {source: {inlineVolumeSpec: {}}}}`, []string{"spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"}},
	} {
		t.Run(string(c.kind.ID)+c.manifest+c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, c.kind, c.manifest, c.patch), c.want...)
		})
	}
}

func TestCSIObjectsKeepWhatVolumesWereMadeFor(t *testing.T) {
	for _, c := range []struct {
		kind            *kind.Kind
		manifest, patch string
		want            []string
	}{
		{storage.CSIDriver(), `{}`, `{spec: {podInfoOnMount: true}}`, nil},
		{storage.CSIDriver(), `{}`, `{spec: {attachRequired: false}}`, []string{"spec.attachedRequired: Invalid value: false: field is immutable"}},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: n1}]}}`, `{spec: {drivers: [{name: d, nodeID: m}]}}`, []string{"CSINodeDriver: Invalid value"}},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: n1}]}}`, `{spec: {drivers: []}}`, nil},
		{storage.CSIStorageCapacity(), `{storageClassName: fast}`, `{storageClassName: slow}`, []string{`storageClassName: Invalid value: "slow": field is immutable`}},
		{storage.VolumeAttachment(), `{spec: {attacher: a, nodeName: n1, source: {persistentVolumeName: v}}}`, `{spec: {nodeName: m}}`, []string{"spec: Invalid value"}},
	} {
		_, errs := kindtest.Update(t, c.kind, kindtest.Created(t, c.kind, c.manifest), c.patch)
		kindtest.Check(t, errs, c.want...)
	}
}

func TestCSITable(t *testing.T) {
	k := storage.CSIDriver()
	if d := cmp.Diff(`NAME   ATTACHREQUIRED   PODINFOONMOUNT   STORAGECAPACITY   TOKENREQUESTS   REQUIRESREPUBLISH   MODES        AGE
a      true             false            false             <unset>         false               Persistent   5m
`, kindtest.Table(t, k, kindtest.Created(t, k, `{}`))); d != "" {
		t.Error(d)
	}
	k = storage.VolumeAttachment()
	if d := cmp.Diff(`NAME   ATTACHER   PV   NODE   ATTACHED   AGE
a      x          v    n1     true       5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, `{spec: {attacher: x, nodeName: n1, source: {persistentVolumeName: v}}, status: {attached: true}}`))); d != "" {
		t.Error(d)
	}
}
