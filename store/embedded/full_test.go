package embedded_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sampan/store"
	"sampan/store/embedded"
)

// fill writes until the store has no space, and returns the writes that were acknowledged.
func fill(t *testing.T, s store.Store, size int) map[string]int64 {
	t.Helper()
	written := make(map[string]int64)
	for i := range 100_000 {
		key := fmt.Sprintf("/full/%d", i)
		revision, err := s.Apply(t.Context(), store.Write{Key: key, Value: make([]byte, size)})
		if errors.Is(err, store.ErrNoSpace) {
			return written
		}
		if err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		written[key] = revision
	}
	t.Fatal("the store never got full")
	return nil
}

func checkAll(t *testing.T, s store.Store, written map[string]int64) {
	t.Helper()
	for key, revision := range written {
		if r, err := s.Get(t.Context(), key); err != nil || r.Revision != revision {
			t.Fatalf("get %s: %d, %v, want revision %d", key, r.Revision, err, revision)
		}
	}
}

// recovers asserts that the full store reads, and writes again when there is room.
func recovers(t *testing.T, s store.Store, makeRoom func()) {
	t.Helper()
	written := fill(t, s, 8000)
	if len(written) == 0 {
		t.Fatal("nothing fitted")
	}
	checkAll(t, s, written)
	before := s.Revision()
	if _, err := s.Apply(t.Context(), store.Write{Key: "/more", Value: make([]byte, 1<<20)}); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("second write to the full store: %v", err)
	}
	if got := s.Revision(); got != before {
		t.Errorf("a failed write moved the revision from %d to %d", before, got)
	}
	makeRoom()
	if got := put(t, s, "/again", "1", 0); got != before+1 {
		t.Errorf("revision %d after recovery, want %d", got, before+1)
	}
	checkAll(t, s, written)
}

// smallDisk returns the folder of a file system of its own, of 24 MB, of which ballast takes a part until it is removed.
func smallDisk(t *testing.T, ballast int) (dir string, makeRoom func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatal("needs root for a file system of its own")
		}
		t.Skip("needs root for a file system of its own")
	}
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("no tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	file := filepath.Join(dir, "ballast")
	if err := os.WriteFile(file, make([]byte, ballast), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullDiskReadsAndRecovers(t *testing.T) {
	dir, makeRoom := smallDisk(t, 8<<20)
	path := filepath.Join(dir, "store.db")
	s, err := embedded.Open(path, embedded.Options{History: -1})
	if err != nil {
		t.Fatal(err)
	}
	recovers(t, s, makeRoom)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	historyRecords(t, path)
}

// What is in the log is there again after a kill, without any room to take it into the file.
func TestFullDiskAfterAKill(t *testing.T) {
	dir, makeRoom := smallDisk(t, 8<<20)
	path := filepath.Join(dir, "store.db")
	s, err := embedded.Open(path, embedded.Options{History: -1})
	if err != nil {
		t.Fatal(err)
	}
	written := fill(t, s, 8000)
	// A close that cannot take in the log leaves what a kill would leave.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + ".wal"); err != nil || info.Size() == 0 {
		t.Fatalf("the log of the full store: %v", err)
	}
	s = openAt(t, path, embedded.Options{History: -1})
	checkAll(t, s, written)
	makeRoom()
	if got := put(t, s, "/again", "1", 0); got != int64(len(written))+1 {
		t.Errorf("revision %d, want %d", got, len(written)+1)
	}
	checkAll(t, s, written)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	historyRecords(t, path)
}

// A first start that found no room, or was cut off, is no obstacle for the next one.
func TestFirstStartWithoutRoom(t *testing.T) {
	for room := 0; room <= 64<<10; room += 4 << 10 {
		t.Run(fmt.Sprintf("%d bytes", room), func(t *testing.T) {
			dir, makeRoom := smallDisk(t, 24<<20-room)
			path := filepath.Join(dir, "store.db")
			s, err := embedded.Open(path, embedded.Options{})
			if err == nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			} else if !errors.Is(err, store.ErrNoSpace) || !strings.Contains(err.Error(), path) {
				t.Errorf("without room: %v", err)
			}
			makeRoom()
			put(t, openAt(t, path, embedded.Options{}), "/a", "1", 0)
			if left, err := filepath.Glob(path + ".new*"); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestFirstStartAfterOneThatWasCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	for _, size := range []int{0, 4096, 8192} {
		if err := os.WriteFile(path+".new", make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := embedded.Open(path, embedded.Options{})
		if err != nil {
			t.Fatalf("%d bytes are left: %v", size, err)
		}
		if err := errors.Join(s.Close(), os.Remove(path)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiskWithoutRoomForALog(t *testing.T) {
	dir, makeRoom := smallDisk(t, 23<<20+512<<10)
	path := filepath.Join(dir, "store.db")
	s, err := embedded.Open(path, embedded.Options{History: -1})
	if err != nil {
		t.Fatal(err)
	}
	recovers(t, s, makeRoom)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, embedded.Options{History: -1})
	if info, err := os.Stat(path + ".wal"); err != nil || info.Size() == 0 {
		t.Errorf("with room there is no log: %v", err)
	}
	put(t, s, "/more", "1", 0)
}
