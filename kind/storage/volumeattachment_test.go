package storage_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	storagev1 "k8s.io/api/storage/v1"

	"sampan/kind/kindtest"
	"sampan/kind/storage"
)

const attachment = `{spec: {attacher: example.com, nodeName: n1, source: {persistentVolumeName: v}}}`

func TestVolumeAttachmentValidation(t *testing.T) {
	k := storage.VolumeAttachment()
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {attacher: null}}`, []string{`spec.attacher: Required value`}},
		{`{spec: {attacher: Example.com}}`, nil},
		{`{spec: {attacher: "a b` + strings.Repeat("b", 61) + `"}}`, []string{`spec.attacher: Too long: may not be more than 63 characters`, `spec.attacher: Invalid value: "a b` + strings.Repeat("b", 61) + `": an RFC 1123 subdomain must consist of`}},
		{`{spec: {nodeName: "a b"}}`, []string{`spec.nodeName: Invalid value: "a b": a lowercase RFC 1123 subdomain must consist of`}},
		{`{spec: {source: {persistentVolumeName: null}}}`, []string{"spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"}},
		{`{spec: {source: {persistentVolumeName: ""}}}`, []string{"spec.source.persistentVolumeName: Required value: must specify non empty persistentVolumeName",
			`spec.source.persistentVolumeName: Invalid value: "": a lowercase RFC 1123 subdomain must consist of`}},
		{`{spec: {source: {persistentVolumeName: A}}}`, []string{`spec.source.persistentVolumeName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{`{spec: {source: {persistentVolumeName: null, inlineVolumeSpec: {accessModes: [ReadWriteOnce], csi: {driver: d, volumeHandle: h}}}}}`, nil},
		{`{spec: {source: {persistentVolumeName: null, inlineVolumeSpec: {accessModes: [ReadWriteOnce], hostPath: {path: /d}}}}}`, []string{
			"spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes"}},
		{`{spec: {source: {persistentVolumeName: null, inlineVolumeSpec: {csi: {driver: d, volumeHandle: h}, claimRef: {}, capacity: {storage: 1}, nodeAffinity: {}, storageClassName: a, persistentVolumeReclaimPolicy: Delete, volumeMode: Block}}}}`, []string{
			"spec.source.inlineVolumeSpec.accessModes: Required value",
			"spec.source.inlineVolumeSpec.claimRef: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.nodeAffinity: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes",
			"spec.source.inlineVolumeSpec.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes"}},
		{`{spec: {source: {inlineVolumeSpec: {}}}}`, []string{"spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName"}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, attachment, c.patch), c.want...) })
	}
	_, errs := kindtest.Update(t, k, kindtest.Created(t, k, attachment), `{spec: {nodeName: m}}`)
	kindtest.Check(t, errs, `spec: Invalid value: null: field is immutable`)
}

func TestVolumeAttachmentStatus(t *testing.T) {
	k := storage.VolumeAttachment()
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{status: {attached: true, attachmentMetadata: {a: b}, attachError: {message: m, errorCode: 0}}}`, nil},
		{`{status: {attachmentMetadata: {a: ` + strings.Repeat("b", 256<<10) + `}}}`, []string{"status.attachmentMetadata: Too long: may not be more than 262144 bytes"}},
		{`{status: {detachError: {message: ` + strings.Repeat("m", 1025) + `}}}`, []string{"status.detachError.message: Too long: may not be more than 262144 bytes"}},
		{`{status: {attachError: {errorCode: -1}}}`, []string{"status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"}},
	} {
		obj := kindtest.Parse(t, k, attachment, c.patch)
		kindtest.Check(t, k.Status.Validate(obj, obj), c.want...)
	}
	old := kindtest.Created(t, k, attachment)
	next := kindtest.Parse(t, k, attachment, `{metadata: {labels: {a: b}, finalizers: [example.com/x]}, spec: {nodeName: m}, status: {attached: true}}`).(*storagev1.VolumeAttachment)
	k.Status.PrepareUpdate(next, old)
	if !next.Status.Attached || next.Spec.NodeName != "n1" || next.Labels != nil || next.Finalizers != nil {
		t.Errorf("more than the status changed: %+v", next)
	}
	if got := kindtest.Created(t, k, attachment, `{status: {attached: true}}`).(*storagev1.VolumeAttachment); got.Status.Attached {
		t.Error("created with a status")
	}
}

func TestVolumeAttachmentTable(t *testing.T) {
	k := storage.VolumeAttachment()
	if d := cmp.Diff(`NAME   ATTACHER      PV   NODE   ATTACHED   AGE
a      example.com   v    n1     true       5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, attachment, `{status: {attached: true}}`))); d != "" {
		t.Error(d)
	}
}
