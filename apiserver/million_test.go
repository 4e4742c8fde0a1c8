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

// TestListsOfAMillionItemsAreRefusedBeforeTheyAreDecoded sends what fits into a body, in every form, and looks at how
// much memory that takes.
func TestListsOfAMillionItemsAreRefusedBeforeTheyAreDecoded(t *testing.T) {
	s := newMemory(t)
	must(t, s.Client(masters()), pod("p"))
	h := s.Handler()
	const pods, one, million = "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/pods/p", 1_000_000
	for media, test := range map[string]struct{ method, path, body, want string }{
		"application/vnd.kubernetes.protobuf":    {"POST", pods, podWithContainers(million), "the lists in it have 1000000 items"},
		"application/json":                       {"POST", pods, repeated(`{"metadata":{"name":"x"},"spec":{"containers":[`, `{}`, million, `]}}`), "the lists in it have"},
		"application/yaml":                       {"POST", pods, repeated(`{"metadata":{"name":"x"},"spec":{"containers":[`, `{}`, million, `]}}`), "the lists in it have"},
		"application/merge-patch+json":           {"PATCH", one, repeated(`{"spec":{"containers":[`, `{}`, million, `]}}`), "the lists in it have"},
		"application/strategic-merge-patch+json": {"PATCH", one, repeated(`{"spec":{"containers":[`, `{"name":"a"}`, 200_000, `]}}`), "the lists in it have"},
		"application/json-patch+json":            {"PATCH", one, repeated(`[`, `{"op":"test"}`, 200_000, `]`), "The allowed maximum operations in a JSON patch is 10000"},
		"application/apply-patch+yaml":           {"PATCH", one + "?fieldManager=me", repeated(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[`, `{}`, million, `]}}`), "the lists in it have"},
	} {
		t.Run(media, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rec := ask(t, h, test.method, test.path, test.body, "Content-Type", media)
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
