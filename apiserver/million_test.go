package apiserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"sigs.k8s.io/yaml"

	"sampan/apiserver"
)

// repeated returns a list of n items between two texts.
func repeated(before, item string, n int, after string) string {
	return before + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + after
}

// podWithContainers is a pod in protobuf with n empty containers.
func podWithContainers(n int) string {
	field := func(out []byte, number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), value)
	}
	raw := field(nil, 1, field(nil, 1, []byte("x")))          // metadata.name
	raw = field(raw, 2, bytes.Repeat([]byte{2<<3 | 2, 0}, n)) // spec.containers
	return "k8s\x00" + string(field(field(nil, 1, field(field(nil, 1, []byte("v1")), 2, []byte("Pod"))), 2, raw))
}

// configMapWithData is a ConfigMap in protobuf with n members of its data.
func configMapWithData(n int) string {
	field := func(out []byte, number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), value)
	}
	raw := field(nil, 1, field(nil, 1, []byte("x"))) // metadata.name
	for i := range n {
		raw = field(raw, 2, field(nil, 1, []byte(fmt.Sprintf("%x", i))))
	}
	return "k8s\x00" + string(field(field(nil, 1, field(field(nil, 1, []byte("v1")), 2, []byte("ConfigMap"))), 2, raw))
}

// members is a map in JSON with n members.
func members(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, `,"%x":""`, i)
	}
	return "{" + out.String()[1:] + "}"
}

// TestListsOfAMillionItemsAreRefusedBeforeTheyAreDecoded sends what fits into a body, in every form, and looks at how
// much memory that takes.
func TestListsOfAMillionItemsAreRefusedBeforeTheyAreDecoded(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), pod("p"))
	must(t, s.Client(masters()), configMap("m"))
	h := s.Handler()
	const maps = "/api/v1/namespaces/default/configmaps"
	const pods, one, million = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/p", 1_000_000
	for media, test := range map[string]struct{ method, path, body, want string }{
		"application/vnd.kubernetes.protobuf":           {"POST", pods, podWithContainers(million), "the lists and maps in it have 1000000 items"},
		"application/json":                              {"POST", pods, repeated(`{"metadata":{"name":"x"},"spec":{"containers":[`, `{}`, million, `]}}`), "the lists and maps in it have"},
		"application/yaml":                              {"POST", pods, repeated(`{"metadata":{"name":"x"},"spec":{"containers":[`, `{}`, million, `]}}`), "the lists and maps in it have"},
		"application/merge-patch+json":                  {"PATCH", one, repeated(`{"spec":{"containers":[`, `{}`, million, `]}}`), "the lists and maps in it have"},
		"application/strategic-merge-patch+json":        {"PATCH", one, repeated(`{"spec":{"containers":[`, `{"name":"a"}`, 200_000, `]}}`), "the lists and maps in it have"},
		"application/json-patch+json":                   {"PATCH", one, repeated(`[`, `{"op":"test"}`, 200_000, `]`), "The allowed maximum operations in a JSON patch is 10000"},
		"application/json; of a map":                    {"POST", maps, `{"metadata":{"name":"x"},"data":` + members(200_000) + `}`, "the lists and maps in it have"},
		"application/merge-patch+json; of a map":        {"PATCH", maps + "/m", `{"metadata":{"labels":` + members(200_000) + `}}`, "the lists and maps in it have"},
		"application/vnd.kubernetes.protobuf; of a map": {"POST", maps, configMapWithData(200_000), "the lists and maps in it have 200000 items"},
		"application/apply-patch+yaml":                  {"PATCH", one + "?fieldManager=me", repeated(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[`, `{}`, million, `]}}`), "the lists and maps in it have"},
	} {
		t.Run(media, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rec := ask(t, h, test.method, test.path, test.body, "Content-Type", strings.TrimSuffix(media, "; of a map"))
			runtime.ReadMemStats(&after)
			if rec.Code != http.StatusRequestEntityTooLarge || !strings.Contains(rec.Body.String(), test.want) || rec.Body.Len() > 1000 {
				t.Errorf("%d %.300s", rec.Code, rec.Body)
			}
			// The containers alone would be 400 MB; YAML is read into a tree first.
			if allocated := after.TotalAlloc - before.TotalAlloc; !strings.HasSuffix(media, "yaml") && allocated > 100<<20 {
				t.Errorf("%d MB were allocated", allocated>>20)
			}
		})
	}
}

// Many patches, each of which is small enough, must not make an object of any size.
func TestObjectsAreOfBoundedSize(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), configMap("m"))
	h := s.Handler()
	const path = "/api/v1/namespaces/default/configmaps/m"
	// labels is a merge patch with a thousand labels of 300 bytes, or without them.
	labels := func(round int, value string) string {
		var out strings.Builder
		for i := range 1000 {
			label := strings.Repeat(strings.Repeat("a", 60)+".", 3) + fmt.Sprintf("r%d.x%d/k", round, i)
			fmt.Fprintf(&out, `,%q:%s`, label, value)
		}
		return `{"metadata":{"labels":{` + out.String()[1:] + `}}}`
	}
	patch := func(body string) *httptest.ResponseRecorder {
		return ask(t, h, "PATCH", path, body, "Content-Type", "application/merge-patch+json")
	}
	full := `"` + strings.Repeat("v", 63) + `"`
	rounds := 0
	for ; rounds < 20; rounds++ {
		rec := patch(labels(rounds, full))
		if rec.Code == http.StatusRequestEntityTooLarge {
			if text := rec.Body.String(); !strings.Contains(text, "bytes in the store, at most 1568768 are allowed") {
				t.Error(text)
			}
			break
		}
		if rec.Code != http.StatusOK {
			t.Fatalf("%d %.300s", rec.Code, rec.Body)
		}
	}
	if rounds < 2 || rounds == 20 {
		t.Fatalf("%d patches of 300 KB were taken", rounds)
	}
	if rec := patch(labels(0, "null")); rec.Code != http.StatusOK {
		t.Errorf("becoming smaller: %d %.300s", rec.Code, rec.Body)
	}
	if rec := patch(labels(0, full)); rec.Code != http.StatusOK {
		t.Errorf("becoming as large as it was: %d %.300s", rec.Code, rec.Body)
	}
	if rec := ask(t, h, "DELETE", path, ""); rec.Code != http.StatusOK {
		t.Errorf("deletion: %d %.300s", rec.Code, rec.Body)
	}
	var whole strings.Builder
	for i := range 6 {
		whole.WriteString("," + labels(i, full)[len(`{"metadata":{"labels":{`):len(labels(i, full))-3])
	}
	rec := ask(t, h, "POST", "/api/v1/namespaces/default/configmaps", `{"metadata":{"name":"n","labels":{`+whole.String()[1:]+`}}}`)
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a new one: %d %.300s", rec.Code, rec.Body)
	}
}

func TestManyErrorsAreCut(t *testing.T) {
	h := newMemory(t).Handler()
	for media, body := range map[string]string{
		"application/json":                    repeated(`{"metadata":{"name":"x"},"spec":{"containers":[`, `{}`, 90_000, `]}}`),
		"application/vnd.kubernetes.protobuf": podWithContainers(90_000),
	} {
		rec := ask(t, h, "POST", "/api/v1/namespaces/default/pods", body, "Content-Type", media)
		text := rec.Body.String()
		if rec.Code != http.StatusUnprocessableEntity || !strings.Contains(text, "spec.containers[0].name: Required value") || !strings.Contains(text, "more") || len(text) > 1<<20 {
			t.Errorf("%s: %d, %d bytes: %.300s", media, rec.Code, len(text), text)
		}
	}
}

// TestAMillionObjectsAreListedInLittleMemory asks for all of many objects, in every form, in the limit that a client
// can think of; see also TestListsOfEverythingDoNotCopyEverything.
func TestAMillionObjectsAreListedInLittleMemory(t *testing.T) {
	s := newMemory(t, func(c *apiserver.Config) { c.EncodedBytesMax = 1 << 20 })
	const n, size = 300, 100 << 10
	for i := range n {
		cm := configMap("c" + string(rune('a'+i/26%26)) + string(rune('a'+i%26)))
		cm.Data["payload"] = strings.Repeat("x", size)
		must(t, s.Client(masters()), cm)
	}
	h := s.Handler()
	for _, accept := range []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"} {
		for _, limit := range []string{"1000000", "9223372036854775807"} {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			writes := 0
			d := &discarder{header: http.Header{}, each: func() {
				if writes++; writes%200 == 0 {
					var now runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&now)
					after.HeapAlloc = max(after.HeapAlloc, now.HeapAlloc)
				}
			}}
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/configmaps?limit="+limit, nil)
			r.Header.Set("Accept", accept)
			h.ServeHTTP(d, r)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); d.size < n*size || grown > n*size/5 {
				t.Errorf("%s, limit %s: %d MB were written, and the heap grew by %d MB", accept, limit, d.size>>20, grown>>20)
			}
		}
	}
}

func TestYAMLListsAreTheSameAsJSONLists(t *testing.T) {
	s := newMemory(t)
	for i, text := range []string{"", "plain", "two\nlines", "\n\n  indented\n\n", "trailing \nspaces  \n\n", "- a: b\n# no comment", "\ttab: \"x\"", strings.Repeat("long words ", 100), "ü\u2028\x01", "yes", "0x1"} {
		cm := configMap(fmt.Sprintf("c%02d", i))
		cm.Data["text"], cm.Labels = text, map[string]string{"n": fmt.Sprint(i)}
		must(t, s.Client(masters()), cm)
	}
	h := s.Handler()
	for _, path := range []string{"/api/v1/configmaps", "/api/v1/configmaps?limit=3", "/api/v1/namespaces/none/configmaps"} {
		for _, shape := range []string{"", ";as=Table;g=meta.k8s.io;v=v1", ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"} {
			want := ask(t, h, "GET", path, "", "Accept", "application/json"+shape).Body.Bytes()
			got, err := yaml.YAMLToJSON(ask(t, h, "GET", path, "", "Accept", "application/yaml"+shape).Body.Bytes())
			if err != nil {
				t.Fatalf("%s%s: %v", path, shape, err)
			}
			var a, b any
			if err := errors.Join(json.Unmarshal(want, &a), json.Unmarshal(got, &b)); err != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%s%s: %v: %s\nwant %s", path, shape, err, got, want)
			}
		}
	}
}
