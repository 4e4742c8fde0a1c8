package embedded

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sampan/store"
	"sampan/store/memory"
)

// Whatever is done, and however the store was left in between, it is as one that was never left and has no disk.
func TestStoreWithLogIsAsOneInMemory(t *testing.T) {
	keys := rapid.SampledFrom([]string{"/a", "/a/1", "/a/2", "/b", "/c/d"})
	rapid.Check(t, func(rt *rapid.T) {
		opts := Options{
			History: rapid.SampledFrom([]int64{-1, 8}).Draw(rt, "history"), LogBytes: rapid.SampledFrom([]int{logPage, 4 * logPage, 64 * logPage}).Draw(rt, "log"),
			RecentEvents: rapid.SampledFrom([]int{1, 100}).Draw(rt, "recent"),
		}
		s := fresh(t, opts)
		plain := memory.New()
		defer func() { s.Close() }()
		floor := int64(0)
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				if opts.History > 0 {
					floor = max(floor, s.Revision()-opts.History)
				}
				if diff := cmp.Diff(contents(t, plain, floor), contents(t, s, floor)); diff != "" {
					rt.Fatalf("in memory and on disk (-memory +disk):\n%s", diff)
				}
			},
			"write": func(rt *rapid.T) {
				var writes []store.Write
				for _, key := range rapid.SliceOfNDistinct(keys, 1, 3, rapid.ID).Draw(rt, "keys") {
					w := store.Write{Key: key, Expect: store.AnyRevision}
					if rapid.IntRange(0, 3).Draw(rt, "delete") > 0 {
						w.Value = []byte(strings.Repeat("v", rapid.SampledFrom([]int{0, 1, 3000, 9000}).Draw(rt, "size")))
					}
					if rapid.IntRange(0, 5).Draw(rt, "expect") == 0 {
						w.Expect = rapid.Int64Range(0, s.Revision()).Draw(rt, "expected")
					}
					writes = append(writes, w)
				}
				got, gotErr := s.Apply(t.Context(), writes...)
				want, wantErr := plain.Apply(t.Context(), writes...)
				if got != want || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
					rt.Fatalf("revision %d, %v, want %d, %v", got, gotErr, want, wantErr)
				}
			},
			"compact": func(rt *rapid.T) {
				at := rapid.Int64Range(0, s.Revision()).Draw(rt, "at")
				if err := errors.Join(s.Compact(t.Context(), at), plain.Compact(t.Context(), at)); err != nil {
					rt.Fatal(err)
				}
				floor = max(floor, at)
			},
			"crash": func(rt *rapid.T) {
				path := crashed(t, s.path)
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = reopened(t, path, opts)
			},
			"close": func(rt *rapid.T) {
				path := s.path
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if _, err := os.Stat(logPath(path)); !errors.Is(err, os.ErrNotExist) {
					rt.Fatalf("the log of a closed store: %v", err)
				}
				s = reopened(t, path, opts)
			},
		})
	})
}
