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
		says string
	}{
		"malformed merge":     {types.MergePatchType, `{`, http.StatusBadRequest, "error decoding patch: unexpected end of JSON input"},
		"merge of a list":     {types.MergePatchType, `[]`, http.StatusBadRequest, "error decoding patch: json: cannot unmarshal array"},
		"malformed strategic": {types.StrategicMergePatchType, `{"a"`, http.StatusBadRequest, "unexpected end of JSON input"},
		"malformed json":      {types.JSONPatchType, `{}`, http.StatusBadRequest, "error decoding patch: json: cannot unmarshal object"},
		"failed test":         {types.JSONPatchType, `[{"op":"test","path":"/metadata/name","value":"x"}]`, http.StatusUnprocessableEntity, "the server rejected our request due to an error in our request"},
		"missing path":        {types.JSONPatchType, `[{"op":"remove","path":"/spec/nope"}]`, http.StatusUnprocessableEntity, "the server rejected our request due to an error in our request"},
		"wrong type":          {types.MergePatchType, `{"spec":{"containers":"x"}}`, http.StatusUnprocessableEntity, "json: cannot unmarshal string into Go struct field PodSpec.spec.containers"},
		"wrong type, map":     {types.StrategicMergePatchType, `{"spec":{"hostNetwork":"x"}}`, http.StatusUnprocessableEntity, "unrecognized type: bool"},
		"apply":               {types.ApplyPatchType, `{}`, http.StatusUnsupportedMediaType, "accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"},
		"too many operations": {types.JSONPatchType, "[" + strings.Repeat(`{"op":"test","path":"/metadata/name","value":"p"},`, 10000) + `{"op":"test","path":"/metadata/name","value":"p"}]`, http.StatusRequestEntityTooLarge, "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		"copy bomb":           {types.JSONPatchType, doubling(40), http.StatusUnprocessableEntity, "the server rejected our request due to an error in our request"},
		"merge of nothing":    {types.MergePatchType, `null`, http.StatusBadRequest, "Invalid JSON Patch"},
		"another kind":        {types.MergePatchType, `{"kind":"Node"}`, http.StatusUnprocessableEntity, "the kind of an object cannot be changed from /, Kind= to /, Kind=Node"},
		"other keys retained": {types.StrategicMergePatchType, `{"spec":{"$retainKeys":["a"],"dnsPolicy":"x"}}`, http.StatusBadRequest, "invalid patch format of retainKeys"},
		"no list of keys":     {types.StrategicMergePatchType, `{"$retainKeys":[{}]}`, http.StatusBadRequest, "the patch cannot be applied: "},
		"no merge key":        {types.StrategicMergePatchType, `{"spec":{"containers":[{"image":"x"}]}}`, http.StatusInternalServerError, "map: map[image:x] does not contain declared merge key: name"},
		"unknown directive":   {types.StrategicMergePatchType, `{"metadata":{"labels":{"$patch":"bogus"}}}`, http.StatusInternalServerError, "unknown patch type: bogus in map: map[$patch:bogus]"},
		"too many items":      {types.StrategicMergePatchType, `{"spec":{"containers":[` + strings.Repeat(`{},`, 10001) + `{}]}}`, http.StatusRequestEntityTooLarge, "the lists and maps in it have 10001 items, at most 10000 are allowed"},
	} {
		_, err := patch.Apply(test.pt, []byte(test.data), pod(), new(corev1.Pod))
		status, ok := err.(apierrors.APIStatus)
		if !ok || status.Status().Code != test.code || status.Status().Status != metav1.StatusFailure || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want code %d and %q", name, err, test.code, test.says)
		}
		if got := apierrors.ReasonForError(err); (got == metav1.StatusReasonUnsupportedMediaType) != (test.code == http.StatusUnsupportedMediaType) {
			t.Errorf("%s: reason %q", name, got)
		}
	}
}

func TestAsManyOperationsAsUpstreamAllowsAreDone(t *testing.T) {
	ops := "[" + strings.Repeat(`{"op":"test","path":"/metadata/name","value":"p"},`, 9999) + `{"op":"replace","path":"/metadata/name","value":"q"}]`
	next := new(corev1.Pod)
	if _, err := patch.Apply(types.JSONPatchType, []byte(ops), pod(), next); err != nil || next.Name != "q" {
		t.Errorf("name %s, %v", next.Name, err)
	}
}

func TestItemsAreCountedWithoutDecoding(t *testing.T) {
	for data, want := range map[string]int{ // how many commas stand in lists
		`[1,2,3]`:                   2,
		`[[1,2],[3,4]]`:             3,
		`{"a":[1,2],"b":[3,4]}`:     2,
		`{"a":1,"b":2,"c":3,"d":4}`: 0,
		`[{"a":1,"b":2},{"c":3}]`:   1,
		`["a,b,c,d,e,f,g","h"]`:     1,
		`["\",\",\",\",","i"]`:      1,
		`["\\","b","c"]`:            2,
		`["[","{",1,2]`:             3,
		`{"a[":1,"b":2,"c":3}`:      0,
		`]]}},[1,2]`:                1,
		`,,,,,,[1,2]`:               1,
		`["never closed, a, b, c`:   0,
		`["ends in a backslash\`:    0,
	} {
		if want > 0 && patch.CheckItems([]byte(data), want-1) == nil {
			t.Errorf("%s has fewer than %d", data, want)
		}
		if err := patch.CheckItems([]byte(data), want); err != nil {
			t.Errorf("%s: %v, want %d", data, err, want)
		}
	}
}

func TestMembersOfLargeMapsAreItems(t *testing.T) {
	object := func(members int) string { return "{" + strings.Repeat(`"a":1,`, members) + `"b":1}` }
	small := "[" + strings.Repeat(object(9)+",", 20_000) + "{}]"
	for name, c := range map[string]struct {
		data    string
		max     int
		refused bool
	}{
		"as many as there may be":     {object(patch.ItemsMax), 10, false},
		"one more":                    {object(patch.ItemsMax + 1), 10, true},
		"of two maps":                 {"[" + object(patch.ItemsMax/2) + "," + object(patch.ItemsMax/2) + "]", patch.ItemsMax, true}, // and the list's own
		"of small ones":               {small, 20_000, false},
		"of small ones, in a list":    {small, 19_999, true},
		"in a list that is too short": {"[" + object(1000) + "]", 0, false},
	} {
		if err := patch.CheckItems([]byte(c.data), c.max); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
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
