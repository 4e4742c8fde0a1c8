package mergeschema_test

import (
	"bytes"
	"encoding/gob"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/schema"

	"sampan/apiserver/mergeschema"
)

func TestSchemaIsThatOfTheLibrary(t *testing.T) {
	pod := &corev1.Pod{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	typed, err := applyconfigurations.NewTypeConverter(scheme.Scheme).ObjectToTyped(pod)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mergeschema.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := typed.Schema()
	if have := got.Types[:min(len(want.Types), len(got.Types))]; !bytes.Equal(encoded(t, have), encoded(t, want.Types)) {
		t.Error("the schema is not that of k8s.io/client-go: run go generate ./apiserver/mergeschema")
	}
}

// encoded returns the types as bytes. Equals of the library compares pointers.
func encoded(t *testing.T, types []schema.TypeDef) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(types); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestNamedTypesComeWithWhatTheyAreMadeOf(t *testing.T) {
	s, err := mergeschema.Load("io.k8s.api.core.v1.Pod")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"io.k8s.api.core.v1.Pod", "io.k8s.api.core.v1.Container", "io.k8s.apimachinery.pkg.apis.meta.v1.Time"} {
		if _, ok := s.FindNamedType(name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if _, ok := s.FindNamedType("io.k8s.api.apps.v1.Deployment"); ok {
		t.Error("a type is there that no pod is made of")
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := mergeschema.Load(); err != nil {
			b.Fatal(err)
		}
	}
}
