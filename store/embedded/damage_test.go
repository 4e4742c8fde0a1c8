package embedded_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sampan/store"
	"sampan/store/embedded"
)

// leftBy closes a store and returns what its file holds then.
func leftBy(t *testing.T, s *embedded.Store, path string) []byte {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// Whatever part of the file is damaged, a server that reads all of it finds either everything, since the part was
// not in use, or that the file is damaged; never something wrong.
func TestDamagedPageIsFoundByReadingEverything(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s := openAt(t, path, embedded.Options{})
	for i := range 400 {
		put(t, s, fmt.Sprintf("/k/%d", i%300), strings.Repeat("x", i), store.AnyRevision)
	}
	want, err := s.List(t.Context(), "/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	whole := leftBy(t, s, path)
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(3, 6))
	refused := 0
	file := filepath.Join(dir, "bad.db")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	// The two pages at the front are meta pages: if the newer one is damaged, that is a torn commit.
	for at := 2 * page; at < len(whole); at += page {
		if len(bytes.Trim(whole[at:at+page], "\x00")) == 0 {
			continue // room for what is to come
		}
		damages := map[string]func([]byte){
			"zeroed":                       func(p []byte) { clear(p) },
			"garbage":                      func(p []byte) { copy(p, bytes.Repeat([]byte("garbage "), len(p)/8)) },
			"a bit flipped in its content": func(p []byte) { p[len(p)/2+random.IntN(len(p)/2)] ^= 4 },
		}
		for _, name := range slices.Sorted(maps.Keys(damages)) {
			bad := bytes.Clone(whole[at : at+page])
			damages[name](bad)
			overwrite(t, file, bad, at)
			got, err := readEverything(t, file)
			switch {
			case err != nil && strings.Contains(err.Error(), file+" is damaged") && strings.Contains(err.Error(), "move it away"):
				refused++
			case err != nil:
				t.Errorf("page %d %s: %v", at/page, name, err)
			case len(got.Records) != len(want.Records):
				t.Errorf("page %d %s: %d records of %d", at/page, name, len(got.Records), len(want.Records))
			default:
				for i, r := range got.Records {
					if w := want.Records[i]; r.Key != w.Key || r.Revision != w.Revision || !bytes.Equal(r.Value, w.Value) {
						t.Errorf("page %d %s: %s at %d is not %s at %d", at/page, name, r.Key, r.Revision, w.Key, w.Revision)
						break
					}
				}
			}
		}
		overwrite(t, file, whole[at:at+page], at)
	}
	t.Logf("%d damages were found", refused)
	if refused < 10 {
		t.Errorf("only %d damages were found", refused)
	}
}

func overwrite(t *testing.T, file string, data []byte, at int) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, int64(at)); err != nil {
		t.Fatal(err)
	}
}

func readEverything(t *testing.T, file string) (store.List, error) {
	s, err := embedded.Open(file, embedded.Options{LogBytes: -1}) // nothing is written to the file
	if err != nil {
		return store.List{}, err
	}
	defer s.Close()
	return s.List(t.Context(), "/", store.ListOptions{})
}

// A server opens the store with a log, which it names in the file. Whatever it finds, it is an error, and no panic.
func TestDamagedPageUnderALogIsAnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s := openAt(t, path, embedded.Options{})
	for i := range 100 {
		put(t, s, fmt.Sprintf("/k/%d", i), strings.Repeat("x", i*20), store.AnyRevision)
	}
	whole := leftBy(t, s, path)
	page := os.Getpagesize()
	end := len(bytes.TrimRight(whole, "\x00"))
	refused := 0
	for at := 2 * page; at < end; at += page {
		for name, damage := range map[string]byte{"zeroed": 0, "garbage": 0xaa} {
			file := filepath.Join(dir, fmt.Sprintf("%d-%s.db", at/page, name))
			bad := bytes.Clone(whole[:end+page])
			copy(bad[at:at+page], bytes.Repeat([]byte{damage}, page))
			if err := errors.Join(os.WriteFile(file, bad, 0o600), os.Truncate(file, int64(len(whole)))); err != nil {
				t.Fatal(err)
			}
			s, err := embedded.Open(file, embedded.Options{})
			if err == nil {
				_, err = s.List(t.Context(), "/", store.ListOptions{})
				err = errors.Join(err, s.Close())
			}
			if err == nil {
				continue // a page that was not in use
			}
			refused++
			if !strings.Contains(err.Error(), file+" is damaged") || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("page %d %s: %v", at/page, name, err)
			}
		}
	}
	if refused == 0 {
		t.Error("no damage was found")
	}
}
