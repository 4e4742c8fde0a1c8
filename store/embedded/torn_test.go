package embedded_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan/store"
	"sampan/store/embedded"
)

// A power loss in the middle of a commit leaves any of the pages that it was writing, in any order, some of them
// in part. Whatever is left, the store opens, and has every write before that commit; those of the log too, which
// that commit was taking in.
func TestTornLastCommitIsAsIfItHadNotBeen(t *testing.T) {
	t.Run("without a log", func(t *testing.T) { testTornCommit(t, -1) })
	t.Run("with a log", func(t *testing.T) { testTornCommit(t, 8*os.Getpagesize()) })
}

func testTornCommit(t *testing.T, logBytes int) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	image := func() []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	s := openAt(t, path, embedded.Options{History: 40, LogBytes: logBytes})
	kept := make(map[string]int64)
	for i := range 60 {
		key := fmt.Sprintf("/a/%d", i%40)
		kept[key] = put(t, s, key, strings.Repeat("x", i*40), store.AnyRevision)
	}
	before := image()
	log, err := os.ReadFile(path + ".wal")
	if (err == nil) != (logBytes > 0) {
		t.Fatalf("the log: %v", err)
	}
	var last []store.Write
	for i := range 30 {
		last = append(last, store.Write{Key: fmt.Sprintf("/a/%d", i*2), Value: []byte(strings.Repeat("y", 900)), Expect: store.AnyRevision})
	}
	if _, err := s.Apply(t.Context(), last...); err != nil {
		t.Fatal(err)
	}
	after := image()
	before = append(before, make([]byte, max(0, len(after)-len(before)))...)
	page := os.Getpagesize()
	random := rand.New(rand.NewPCG(1, 2))
	tear := func(name string, metaWritten int) {
		torn := bytes.Clone(before)
		for at := 2 * page; at < len(after); at += page {
			if old, new := before[at:at+page], after[at:at+page]; metaWritten > 0 {
				copy(torn[at:], new) // data are synced before the meta page is written
			} else if !bytes.Equal(old, new) {
				copy(torn[at:], new[:random.IntN(3)*page/2])
			}
		}
		for at := 0; at < 2*page; at += page {
			if old, new := before[at:at+page], after[at:at+page]; !bytes.Equal(old, new) {
				copy(torn[at:], new[:metaWritten])
			}
		}
		file := filepath.Join(dir, "torn.db")
		if err := os.WriteFile(file, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if logBytes > 0 {
			if err := os.WriteFile(file+".wal", log, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		opened, err := embedded.Open(file, embedded.Options{History: 40, LogBytes: logBytes})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		for key, revision := range kept {
			if r, err := opened.Get(t.Context(), key); err != nil || r.Revision != revision {
				t.Errorf("%s: %s has revision %d, %v, want %d", name, key, r.Revision, err, revision)
				break
			}
		}
		if revision, err := opened.Apply(t.Context(), store.Write{Key: "/new", Value: []byte("1")}); err != nil || revision != 61 {
			t.Errorf("%s: the next write: %d, %v", name, revision, err)
		}
		if err := opened.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		historyRecords(t, file)
	}
	for i := range 50 {
		tear(fmt.Sprintf("data pages %d", i), 0)
	}
	// 16 bytes of page header, and 64 of meta with its checksum at the end.
	for n := 17; n < 80; n++ {
		tear(fmt.Sprintf("%d bytes of the meta page", n), n)
	}
}

// BenchmarkOpen opens a store of 100,000 objects of 1 KB; the figure to hold is 100 ms.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "store.db")
	s, err := embedded.Open(path, embedded.Options{})
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 1024)
	for i := 0; i < 100_000; i += 1000 {
		var writes []store.Write
		for j := range 1000 {
			writes = append(writes, store.Write{Key: fmt.Sprintf("/configmaps/default/cm-%06d", i+j), Value: value})
		}
		if _, err := s.Apply(b.Context(), writes...); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	var worst time.Duration
	for b.Loop() {
		began := time.Now()
		s, err := embedded.Open(path, embedded.Options{})
		worst = max(worst, time.Since(began))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "ms/worst")
}
