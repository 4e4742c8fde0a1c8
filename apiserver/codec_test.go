package apiserver

import (
	"bytes"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
	"sampan/kind/apps"
	"sampan/kind/core"
)

func testObject(name string, size int) kind.Object {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Data:       map[string]string{"k": strings.Repeat("x", size)},
	}
}

func TestObjectThatCannotBeEncodedIsNamed(t *testing.T) {
	broken := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{Name: "broken", Namespace: "default"}, Data: runtime.RawExtension{Raw: []byte("{")},
	}
	for name, v := range map[string]*viewer{
		"shared": {keep: true},
		"own":    {},
		"table":  {accepts: accepted{as: asTable}, kind: apps.ControllerRevision(), now: time.Now, include: "Object"},
	} {
		v.forms = newEncodings(1 << 20)
		if _, err := v.json(broken); err == nil || !strings.Contains(err.Error(), "encode *v1.ControllerRevision default/broken: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEnvelopeIsTheOneOfKubernetes compares our envelope with the one that apimachinery's own types write.
func TestEnvelopeIsTheOneOfKubernetes(t *testing.T) {
	for _, gvk := range []schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}, {Group: "apps", Version: "v1", Kind: "ConfigMapList"}} {
		for _, size := range []int{0, 1, 100, 127, 128, 20000} {
			m := testObject("x", size).(*corev1.ConfigMap)
			raw, err := m.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			apiVersion, kindName := gvk.ToAPIVersionAndKind()
			u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: apiVersion, Kind: kindName}, Raw: raw}
			want, err := u.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			got, err := marshalEnvelope(gvk, m)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, append([]byte(protoMagic), want...)) {
				t.Errorf("%v, %d bytes: envelopes differ", gvk, size)
			}
		}
	}
}

func TestStoredBytesComeBackWithTheirRevision(t *testing.T) {
	k := core.ConfigMap()
	obj := testObject("x", 10)
	obj.SetResourceVersion("7")
	data, err := encodeStored(k, obj)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeStored(k, data, 42)
	if err != nil {
		t.Fatal(err)
	}
	if got.GetResourceVersion() != "42" || got.GetObjectKind().GroupVersionKind() != k.GVK || got.(*corev1.ConfigMap).Data["k"] != "xxxxxxxxxx" {
		t.Errorf("decoded %+v", got)
	}
	if _, err := decodeStored(k, []byte("k8s\x00rubbish"), 1); err == nil {
		t.Errorf("rubbish was decoded")
	}
}

// FuzzDecodeBody looks for bodies that panic.
func FuzzDecodeBody(f *testing.F) {
	f.Add(uint8(0), []byte(`{"metadata":{"name":"x"},"data":{"a":"b"}}`))
	f.Add(uint8(1), []byte("k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x00"))
	f.Add(uint8(2), []byte("a: &a [*a]\nb: 1\nb: 2"))
	media := []string{mediaJSON, mediaProto, mediaYAML}
	k := core.ConfigMap()
	f.Fuzz(func(t *testing.T, n uint8, data []byte) {
		err := decodeBody(media[int(n)%len(media)], data, k.GVK, k.New(), metav1.FieldValidationWarn, func(string) {})
		if err != nil && err.Error() == "" {
			t.Errorf("error without a text")
		}
	})
}
