// Package kindtest helps to test the rules of kinds with manifests, the way users meet them. For tests only.
package kindtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"sampan/kind"
)

// Now is the time at which rows are printed; objects are five minutes old unless they say otherwise.
func Now() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// Parse reads a manifest, applies JSON merge patches (in YAML) to it, and checks that the kind has all its fields.
func Parse(t *testing.T, k *kind.Kind, manifest string, patches ...string) kind.Object {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatalf("manifest: %v", err)
	}
	for _, p := range patches {
		patch, err := yaml.YAMLToJSON([]byte(p))
		if err != nil {
			t.Fatalf("patch %q: %v", p, err)
		}
		if data, err = jsonpatch.MergePatch(data, patch); err != nil {
			t.Fatalf("patch %q: %v", p, err)
		}
	}
	obj := k.New()
	if err := yaml.UnmarshalStrict(data, obj); err != nil {
		t.Fatalf("manifest: %v\n%s", err, data)
	}
	if obj.GetName() == "" {
		obj.SetName("a")
	}
	if k.Namespaced && obj.GetNamespace() == "" {
		obj.SetNamespace("ns")
	}
	if obj.GetCreationTimestamp().Time.IsZero() {
		obj.SetCreationTimestamp(metav1.NewTime(Now().Add(-5 * time.Minute)))
	}
	obj.SetUID("u")
	obj.SetResourceVersion("1")
	return obj
}

// Created is Parse, followed by what the API server does to a new object before validation.
func Created(t *testing.T, k *kind.Kind, manifest string, patches ...string) kind.Object {
	t.Helper()
	obj := Parse(t, k, manifest, patches...)
	k.Default(obj)
	k.PrepareCreate(obj)
	return obj
}

// Create returns the errors of creating an object.
func Create(t *testing.T, k *kind.Kind, manifest string, patches ...string) field.ErrorList {
	t.Helper()
	obj := Created(t, k, manifest, patches...)
	return append(kind.ValidateMeta(k, obj), k.Validate(obj)...)
}

// Update returns the errors of changing old with a patch, and the object that results.
func Update(t *testing.T, k *kind.Kind, old kind.Object, patch string) (kind.Object, field.ErrorList) {
	t.Helper()
	data, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	obj := Parse(t, k, string(data), patch)
	k.Default(obj)
	k.PrepareUpdate(obj, old)
	return obj, append(kind.ValidateMetaUpdate(k, obj, old), k.ValidateUpdate(obj, old)...)
}

// UpdateStatus returns the errors of changing the status of old with a patch, and the object that results.
func UpdateStatus(t *testing.T, k *kind.Kind, old kind.Object, patch string) (kind.Object, field.ErrorList) {
	t.Helper()
	data, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	obj := Parse(t, k, string(data), patch)
	k.Default(obj)
	k.Status.PrepareUpdate(obj, old)
	return obj, append(kind.ValidateMetaUpdate(k, obj, old), k.Status.Validate(obj, old)...)
}

// Stored is an object with defaults and with the status that the manifest gives it.
func Stored(t *testing.T, k *kind.Kind, manifest string, patches ...string) kind.Object {
	t.Helper()
	obj := Created(t, k, manifest, patches...)
	filled := Parse(t, k, manifest, patches...)
	k.Default(filled)
	k.Status.PrepareUpdate(filled, obj)
	return filled
}

// CheckTexts compares texts such as warnings, in order, with what they must begin with.
func CheckTexts(t *testing.T, have []string, want ...string) {
	t.Helper()
	for i := range max(len(have), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("unexpected\n  %s", have[i])
		case i >= len(have):
			t.Errorf("missing\n  %s", want[i])
		case !strings.HasPrefix(have[i], want[i]):
			t.Errorf("have\n  %s\nwant\n  %s", have[i], want[i])
		}
	}
}

// Check compares errors with what is wanted of them: each wanted text must begin one error, and no error may be
// left. An error's text is "field: Type: value: detail".
func Check(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	left := append(field.ErrorList(nil), errs...)
next:
	for _, w := range want {
		for i, err := range left {
			if strings.HasPrefix(err.Error(), w) {
				left = append(left[:i], left[i+1:]...)
				continue next
			}
		}
		t.Errorf("no error begins with\n  %s", w)
	}
	for _, err := range left {
		t.Errorf("unexpected error\n  %s", err)
	}
}

// YAML prints an object without the fields that Parse adds, for comparison with a golden text.
func YAML(t *testing.T, obj kind.Object) string {
	t.Helper()
	obj = obj.DeepCopyObject().(kind.Object)
	obj.SetUID("")
	obj.SetResourceVersion("")
	obj.SetCreationTimestamp(metav1.Time{})
	data, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
