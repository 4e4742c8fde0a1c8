package storage_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/storage"
)

func TestCSIValidation(t *testing.T) {
	long := strings.Repeat("n", 257)
	for _, c := range []struct {
		kind            *kind.Kind
		manifest, patch string
		want            []string
	}{
		{storage.CSIDriver(), `{}`, `{metadata: {name: ` + strings.Repeat("d", 64) + `}}`, nil},
		{storage.CSIDriver(), `{}`, `{metadata: {name: A}}`, []string{`metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{storage.CSIDriver(), `{}`, `{spec: {tokenRequests: [{audience: ""}]}}`, nil},
		{storage.CSIDriver(), `{}`, `{spec: {fsGroupPolicy: Odd, volumeLifecycleModes: [Odd], nodeAllocatableUpdatePeriodSeconds: 5}}`, []string{
			`spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None", "ReadWriteOnceWithFSType"`,
			`spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Persistent", "Ephemeral"`,
			"spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: must be greater than or equal to 10 seconds"}},
		{storage.CSIDriver(), `{}`, `{spec: {fsGroupPolicy: "", volumeLifecycleModes: [""]}}`, []string{
			`spec.fsGroupPolicy: Unsupported value: "": supported values: "File", "None", "ReadWriteOnceWithFSType"`,
			`spec.volumeLifecycleModes: Unsupported value: "": supported values: "Persistent", "Ephemeral"`}},
		{storage.CSIDriver(), `{}`, `{spec: {tokenRequests: [{audience: a, expirationSeconds: 5}, {audience: a}, {audience: b, expirationSeconds: 4294967297}]}}`, []string{
			"spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
			`spec.tokenRequests[1].audience: Duplicate value: "a"`,
			"spec.tokenRequests[2].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"}},
		{storage.CSIDriver(), `{}`, `{spec: {serviceAccountTokenInSecrets: true}}`, []string{
			"spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified"}},
		{storage.CSINode(), `{spec: {drivers: [{name: D.example.com, nodeID: n1, topologyKeys: [zone], allocatable: {count: 3}}]}}`, `{}`, nil},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: ""}, {name: d, nodeID: n1, allocatable: {count: -1}}]}}`, `{}`, []string{
			"spec.drivers[0].nodeID: Required value", `spec.drivers[1].name: Duplicate value: "d"`, "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0"}},
		{storage.CSINode(), `{spec: {drivers: [{name: "", nodeID: n}, {name: a b, nodeID: ` + long + `}, {name: ` + long[:64] + `, nodeID: n}]}}`, `{}`, []string{
			`spec.drivers[0].name: Required value`,
			`spec.drivers[1].name: Invalid value: "a b": a lowercase RFC 1123 subdomain must consist of`,
			`spec.drivers[1].nodeID: Invalid value: "` + long + `": must be 256 characters or less`, `spec.drivers[2].name: Too long: may not be more than 63 bytes`}},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: n, topologyKeys: [zone, zone, "a b"]}]}}`, `{}`, []string{
			`spec.drivers[0]: Duplicate value: "zone"`, `spec.drivers[0]: Invalid value: "a b": name part must consist of`}},
		{storage.CSIStorageCapacity(), `{storageClassName: fast, capacity: 1Gi, maximumVolumeSize: 1Mi}`, `{}`, nil},
		{storage.CSIStorageCapacity(), `{storageClassName: "", capacity: -1, nodeTopology: {matchExpressions: [{key: a, operator: Odd}]}}`, `{}`, []string{
			`storageClassName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of`, `capacity: Invalid value: "-1": must be greater than or equal to 0`,
			`nodeTopology.matchExpressions[0].operator: Invalid value: "Odd": not a valid selector operator`}},
	} {
		t.Run(string(c.kind.ID)+c.manifest[:min(40, len(c.manifest))]+c.patch[:min(40, len(c.patch))], func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, c.kind, c.manifest, c.patch), c.want...)
		})
	}
}

func TestCSIObjectsKeepWhatVolumesWereMadeFor(t *testing.T) {
	for _, c := range []struct {
		kind            *kind.Kind
		manifest, patch string
		generation      int64
		want            []string
	}{
		{storage.CSIDriver(), `{}`, `{spec: {podInfoOnMount: true, storageCapacity: true, tokenRequests: [{audience: a}]}}`, 1, nil},
		{storage.CSIDriver(), `{}`, `{metadata: {labels: {a: b}}}`, 0, nil},
		{storage.CSIDriver(), `{}`, `{spec: {attachRequired: false}}`, 1, []string{"spec.attachedRequired: Invalid value: false: field is immutable"}},
		{storage.CSIDriver(), `{}`, `{spec: {volumeLifecycleModes: [Ephemeral]}}`, 1, []string{`spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable`}},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: n1}]}}`, `{spec: {drivers: [{name: d, nodeID: m}]}}`, 0, []string{`spec.drivers: Invalid value: {"name":"d","nodeID":"m","topologyKeys":null}: field is immutable`}},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: n1}]}}`, `{spec: {drivers: [{name: d, nodeID: n1, allocatable: {count: 5}}, {name: e, nodeID: n1}]}}`, 0, nil},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: n1}]}}`, `{spec: {drivers: []}}`, 0, nil},
		{storage.CSIStorageCapacity(), `{storageClassName: fast}`, `{capacity: 5}`, 0, nil},
		{storage.CSIStorageCapacity(), `{storageClassName: fast}`, `{storageClassName: slow, nodeTopology: {matchLabels: {a: b}}}`, 0, []string{
			`storageClassName: Invalid value: "slow": field is immutable`, `nodeTopology: Invalid value: {"matchLabels":{"a":"b"}}: field is immutable`}},
	} {
		next, errs := kindtest.Update(t, c.kind, kindtest.Created(t, c.kind, c.manifest), c.patch)
		kindtest.Check(t, errs, c.want...)
		if next.GetGeneration() != c.generation {
			t.Errorf("%s %s: generation %d, want %d", c.kind.ID, c.patch, next.GetGeneration(), c.generation)
		}
	}
}

func TestCapacityWarnings(t *testing.T) {
	got := storage.CSIStorageCapacity().Warnings(kindtest.Parse(t, storage.CSIStorageCapacity(),
		`{storageClassName: a, nodeTopology: {matchLabels: {beta.kubernetes.io/os: linux}, matchExpressions: [{key: beta.kubernetes.io/arch, operator: Exists}]}}`))
	if want := []string{
		`nodeTopology.matchExpressions[0]: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead`,
		`nodeTopology.matchLabels.beta.kubernetes.io/os: deprecated since v1.14; use "kubernetes.io/os" instead`,
	}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := storage.CSIStorageCapacity().Warnings(kindtest.Parse(t, storage.CSIStorageCapacity(), `{storageClassName: a}`)); got != nil {
		t.Errorf("%q", got)
	}
}

func TestCSITables(t *testing.T) {
	for _, c := range []struct {
		kind      *kind.Kind
		obj, want string
	}{
		{storage.CSIDriver(), `{}`, `NAME   ATTACHREQUIRED   PODINFOONMOUNT   STORAGECAPACITY   TOKENREQUESTS   REQUIRESREPUBLISH   MODES        AGE
a      true             false            false             <unset>         false               Persistent   5m
`},
		{storage.CSIDriver(), `{spec: {attachRequired: false, podInfoOnMount: true, storageCapacity: true, tokenRequests: [{audience: a}, {audience: b}], requiresRepublish: true, volumeLifecycleModes: [Persistent, Ephemeral]}}`,
			`NAME   ATTACHREQUIRED   PODINFOONMOUNT   STORAGECAPACITY   TOKENREQUESTS   REQUIRESREPUBLISH   MODES                  AGE
a      false            true             true              a,b             true                Persistent,Ephemeral   5m
`},
		{storage.CSINode(), `{spec: {drivers: [{name: d, nodeID: n}]}}`, "NAME   DRIVERS   AGE\na      1         5m\n"},
		{storage.CSIStorageCapacity(), `{storageClassName: fast, capacity: 1Gi}`, "NAME   STORAGECLASSNAME   CAPACITY\na      fast               1Gi\n"},
		{storage.CSIStorageCapacity(), `{storageClassName: fast}`, "NAME   STORAGECLASSNAME   CAPACITY\na      fast               <unset>\n"},
	} {
		if d := cmp.Diff(c.want, kindtest.Table(t, c.kind, kindtest.Created(t, c.kind, c.obj))); d != "" {
			t.Errorf("%s: %s", c.kind.ID, d)
		}
	}
}
