package storage_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/kindtest"
	"sampan/kind/storage"
)

func TestStorageClassValidation(t *testing.T) {
	const class = `{provisioner: example.com/disk, parameters: {type: ssd}}`
	k := storage.StorageClass()
	for _, c := range []struct {
		name, patch string
		want        []string
	}{
		{"plain", `{}`, nil},
		{"no provisioner", `{provisioner: null}`, []string{`provisioner: Required value`}},
		{"provisioner in capitals", `{provisioner: Example.com/Disk}`, nil},
		{"no parameter name", `{parameters: {"": x}}`, []string{`parameters: Invalid value: "": field can not be empty.`}},
		{"long parameters", `{parameters: {a: ` + strings.Repeat("x", 256<<10) + `}}`, []string{`parameters: Too long: may not be more than 262144 bytes`}},
		{"topologies", `{allowedTopologies: [{matchLabelExpressions: [{key: zone, values: [a, b]}]}, {matchLabelExpressions: [{key: zone, values: [c]}]}]}`, nil},
		{"topology without values", `{allowedTopologies: [{matchLabelExpressions: [{key: "a b", values: []}]}]}`, []string{
			`allowedTopologies[0].matchLabelExpressions[0].values: Required value`, `allowedTopologies[0].matchLabelExpressions[0].key: Invalid value: "a b": name part must consist of`}},
		{"topology values twice", `{allowedTopologies: [{matchLabelExpressions: [{key: zone, values: [a, a]}, {key: zone, values: [b]}]}]}`, []string{
			`allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"`, `allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: "zone"`}},
		{"topology twice", `{allowedTopologies: [{matchLabelExpressions: [{key: zone, values: [a, b]}]}, {matchLabelExpressions: [{key: zone, values: [b, a]}]}]}`, []string{
			`allowedTopologies[1].matchLabelExpressions: Duplicate value: ""`}},
		{"bad provisioner", `{provisioner: "A b"}`, []string{`provisioner: Invalid value: "a b": name part must consist of`}},
		{"recycled", `{reclaimPolicy: Recycle}`, []string{`reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"`}},
		{"empty", `{reclaimPolicy: "", volumeBindingMode: ""}`, []string{`volumeBindingMode: Unsupported value: "": supported values: "Immediate", "WaitForFirstConsumer"`}},
		{"binding", `{volumeBindingMode: Later}`, []string{`volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, k, class, c.patch), c.want...)
		})
	}
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{allowVolumeExpansion: true, mountOptions: [ro]}`, nil},
		{`{parameters: {type: hdd}}`, []string{`parameters: Invalid value: null: field is immutable`}},
		{`{provisioner: example.com/other}`, []string{`provisioner: Invalid value: null: field is immutable`}},
		{`{reclaimPolicy: Retain}`, []string{`reclaimPolicy: Invalid value: null: field is immutable`}},
		{`{volumeBindingMode: WaitForFirstConsumer}`, []string{`volumeBindingMode: Invalid value: null: field is immutable`}},
	} {
		_, errs := kindtest.Update(t, k, kindtest.Created(t, k, class), c.patch)
		kindtest.Check(t, errs, c.want...)
	}
}

func TestStorageClassWarnings(t *testing.T) {
	got := storage.StorageClass().Warnings(kindtest.Parse(t, storage.StorageClass(), `{allowedTopologies: [{matchLabelExpressions: [{key: zone}, {key: failure-domain.beta.kubernetes.io/zone}]}]}`))
	if len(got) != 1 || got[0] != `allowedTopologies[0].matchLabelExpressions[1]: deprecated since v1.17; use "topology.kubernetes.io/zone" instead` {
		t.Errorf("%q", got)
	}
}

func TestStorageClassTable(t *testing.T) {
	const want = `NAME             PROVISIONER        RECLAIMPOLICY   VOLUMEBINDINGMODE   ALLOWVOLUMEEXPANSION   AGE
fast (default)   example.com/disk   Delete          Immediate           true                   5m
old (default)    example.com/disk   Delete          Immediate           false                  5m
slow             example.com/disk   Delete          Immediate           false                  5m
`
	k := storage.StorageClass()
	obj := kindtest.Created(t, k, `{metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: example.com/disk, allowVolumeExpansion: true}`)
	if d := cmp.Diff(want, kindtest.Table(t, k, obj,
		kindtest.Created(t, k, `{metadata: {name: old, annotations: {storageclass.beta.kubernetes.io/is-default-class: "true"}}, provisioner: example.com/disk}`),
		kindtest.Created(t, k, `{metadata: {name: slow, annotations: {storageclass.kubernetes.io/is-default-class: "false"}}, provisioner: example.com/disk}`))); d != "" {
		t.Error(d)
	}
}
