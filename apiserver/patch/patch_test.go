package patch_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver/patch"
)

func pod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"a": "1", "b": "2"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "one", Image: "i1"}, {Name: "two", Image: "i2"}}},
	}
}

func TestPatchesMerge(t *testing.T) {
	for name, test := range map[string]struct {
		pt   types.PatchType
		data string
		want string // labels and images of the result
	}{
		"merge removes by null": {types.MergePatchType, `{"metadata":{"labels":{"a":null,"c":"3"}}}`, "map[b:2 c:3] i1 i2"},
		"merge replaces lists":  {types.MergePatchType, `{"spec":{"containers":[{"name":"x","image":"ix"}]}}`, "map[a:1 b:2] ix"},
		"strategic merges by name": {types.StrategicMergePatchType,
			`{"spec":{"containers":[{"name":"two","image":"new"}]}}`, "map[a:1 b:2] i1 new"},
		"strategic deletes by name": {types.StrategicMergePatchType,
			`{"spec":{"containers":[{"name":"one","$patch":"delete"}]}}`, "map[a:1 b:2] i2"},
		"json": {types.JSONPatchType,
			`[{"op":"test","path":"/metadata/labels/a","value":"1"},{"op":"replace","path":"/spec/containers/0/image","value":"j"},{"op":"remove","path":"/metadata/labels/b"}]`,
			"map[a:1] j i2"},
	} {
		cur, next := pod(), new(corev1.Pod)
		strict, err := patch.Apply(test.pt, []byte(test.data), cur, next)
		if err != nil || len(strict) > 0 {
			t.Errorf("%s: %v %v", name, err, strict)
			continue
		}
		if got := shown(next); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
		if shown(cur) != shown(pod()) {
			t.Errorf("%s changed the current object", name)
		}
	}
}

func shown(p *corev1.Pod) string {
	labels, _ := json.Marshal(p.Labels)
	out := "map[" + strings.NewReplacer(`"`, "", "{", "", "}", "", ",", " ").Replace(string(labels)) + "]"
	for _, c := range p.Spec.Containers {
		out += " " + c.Image
	}
	return out
}

func TestBadPatchesAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		pt   types.PatchType
		data string
		code int32
	}{
		"malformed merge":     {types.MergePatchType, `{`, http.StatusBadRequest},
		"merge of a list":     {types.MergePatchType, `[]`, http.StatusBadRequest},
		"malformed strategic": {types.StrategicMergePatchType, `{"a"`, http.StatusBadRequest},
		"malformed json":      {types.JSONPatchType, `{}`, http.StatusBadRequest},
		"failed test":         {types.JSONPatchType, `[{"op":"test","path":"/metadata/name","value":"x"}]`, http.StatusUnprocessableEntity},
		"missing path":        {types.JSONPatchType, `[{"op":"remove","path":"/spec/nope"}]`, http.StatusUnprocessableEntity},
		"wrong type":          {types.MergePatchType, `{"spec":{"containers":"x"}}`, http.StatusUnprocessableEntity},
		"wrong type, map":     {types.StrategicMergePatchType, `{"spec":{"hostNetwork":"x"}}`, http.StatusUnprocessableEntity},
		"apply":               {types.ApplyPatchType, `{}`, http.StatusUnsupportedMediaType},
		"too many operations": {types.JSONPatchType, "[" + strings.Repeat(`{"op":"test","path":"/metadata/name","value":"p"},`, 10000) + `{"op":"test","path":"/metadata/name","value":"p"}]`, http.StatusRequestEntityTooLarge},
		"copy bomb":           {types.JSONPatchType, doubling(40), http.StatusUnprocessableEntity},
	} {
		_, err := patch.Apply(test.pt, []byte(test.data), pod(), new(corev1.Pod))
		var status apierrors.APIStatus
		status, ok := err.(apierrors.APIStatus)
		if !ok || status.Status().Code != test.code {
			t.Errorf("%s: %v, want code %d", name, err, test.code)
		}
	}
}

// doubling returns a patch that copies the spec into itself n times, which doubles it every time.
func doubling(n int) string {
	var ops []string
	for i := range n {
		ops = append(ops, fmt.Sprintf(`{"op":"copy","from":"/spec","path":"/spec/x%d"}`, i))
	}
	return "[" + strings.Join(ops, ",") + "]"
}

func TestUnknownAndDuplicateFieldsAreReported(t *testing.T) {
	for name, test := range map[string]struct {
		pt   types.PatchType
		data string
		want string
	}{
		"merge":     {types.MergePatchType, `{"spec":{"foo":1}}`, `unknown field "spec.foo"`},
		"strategic": {types.StrategicMergePatchType, `{"spec":{"foo":1}}`, `unknown field "spec.foo"`},
		"duplicate": {types.MergePatchType, `{"spec":{"hostNetwork":true,"hostNetwork":true}}`, `duplicate field "spec.hostNetwork"`},
		"operation": {types.JSONPatchType, `[{"op":"add","path":"/spec/hostNetwork","value":true,"foo":1}]`, `json patch unknown field "[0].foo"`},
	} {
		strict, err := patch.Apply(test.pt, []byte(test.data), pod(), new(corev1.Pod))
		if err != nil || len(strict) != 1 || strict[0].Error() != test.want {
			t.Errorf("%s: %v, %v", name, err, strict)
		}
	}
}

// FuzzApply looks for patches that panic, change their input, or make something that is no object.
func FuzzApply(f *testing.F) {
	for i, seed := range []string{
		`{"metadata":{"labels":{"a":null}}}`, `[{"op":"copy","from":"","path":"/x"}]`, `{"spec":{"containers":[{"$patch":"replace"}]}}`,
		`{"spec":{"$retainKeys":["x"],"containers":[{"name":"one","$patch":"delete"}]}}`, `{"$setElementOrder/containers":[{"name":1}]}`, `null`, `[[]]`,
		`{"spec":{"$deleteFromPrimitiveList/x":["a"],"tolerations":[{}]}}`,
	} {
		f.Add(uint8(i), []byte(seed))
	}
	kinds := []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType}
	before := pod()
	f.Fuzz(func(t *testing.T, n uint8, data []byte) {
		cur := pod()
		_, err := patch.Apply(kinds[int(n)%len(kinds)], data, cur, new(corev1.Pod))
		if err != nil {
			if _, ok := err.(apierrors.APIStatus); !ok {
				t.Errorf("error without a status: %v", err)
			}
		}
		if shown(cur) != shown(before) {
			t.Errorf("patch %s changed the current object", data)
		}
	})
}
