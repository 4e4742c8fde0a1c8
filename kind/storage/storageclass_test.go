package storage_test

import (
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
		{"bad provisioner", `{provisioner: "a b"}`, []string{`provisioner: Invalid value: "a b": name part must consist of`}},
		{"recycled", `{reclaimPolicy: Recycle}`, []string{`reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"`}},
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
		{`{parameters: {type: hdd}}`, []string{`parameters: Forbidden: updates to parameters are forbidden.`}},
		{`{provisioner: example.com/other}`, []string{`provisioner: Forbidden: updates to provisioner are forbidden.`}},
		{`{reclaimPolicy: Retain}`, []string{`reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.`}},
		{`{volumeBindingMode: WaitForFirstConsumer}`, []string{`volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable`}},
	} {
		_, errs := kindtest.Update(t, k, kindtest.Created(t, k, class), c.patch)
		kindtest.Check(t, errs, c.want...)
	}
}

func TestStorageClassTable(t *testing.T) {
	const want = `NAME             PROVISIONER        RECLAIMPOLICY   VOLUMEBINDINGMODE   ALLOWVOLUMEEXPANSION   AGE
fast (default)   example.com/disk   Delete          Immediate           true                   5m
`
	k := storage.StorageClass()
	obj := kindtest.Created(t, k, `{metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: example.com/disk, allowVolumeExpansion: true}`)
	if d := cmp.Diff(want, kindtest.Table(t, k, obj)); d != "" {
		t.Error(d)
	}
}
