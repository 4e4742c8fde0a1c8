package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"sampan/store"
	"sampan/store/embedded"
)

func put(t testing.TB, s store.Store, key, value string, expect int64) int64 {
	t.Helper()
	revision, err := s.Apply(t.Context(), store.Write{Key: key, Value: []byte(value), Expect: expect})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func TestHistorySurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path, embedded.Options{})
	put(t, s, "/a", "1", 0)
	put(t, s, "/b", "2", 0)
	put(t, s, "/a", "3", 1)
	if err := s.Compact(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, embedded.Options{})
	if got := s.Revision(); got != 3 {
		t.Errorf("revision %d", got)
	}
	old, err := s.List(t.Context(), "/", store.ListOptions{At: 2})
	if err != nil || len(old.Records) != 2 || string(old.Records[0].Value) != "1" {
		t.Errorf("list at 2: %+v, %v", old, err)
	}
	events, err := s.Events(t.Context(), 2, 0)
	if err != nil || len(events) != 1 || string(events[0].Value) != "3" {
		t.Errorf("events after 2: %+v, %v", events, err)
	}
	if _, err := s.Events(t.Context(), 1, 0); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("events after 1: %v", err)
	}
	if got := put(t, s, "/c", "4", 0); got != 4 {
		t.Errorf("the next revision is %d", got)
	}
}

func TestOldHistoryGoesAwayByItself(t *testing.T) {
	const history, writes = 50, 1000
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path, embedded.Options{History: history})
	var group sync.WaitGroup
	for w := range 10 {
		group.Go(func() {
			key, revision := fmt.Sprintf("/k/%d", w), int64(0)
			for i := range writes / 10 {
				write := store.Write{Key: key, Value: []byte("v"), Expect: revision}
				if i%5 == 4 {
					write.Value = nil
				}
				at, err := s.Apply(t.Context(), write)
				if err != nil {
					t.Error(err)
					return
				}
				if revision = at; write.Value == nil {
					revision = 0
				}
			}
		})
	}
	group.Wait()
	if _, err := s.Events(t.Context(), writes-2*history, 0); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("events before the history: %v", err)
	}
	if events, err := s.Events(t.Context(), writes-history, 0); err != nil || len(events) != history {
		t.Errorf("%d events, %v", len(events), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := historyRecords(t, path); n > 2*history+10 {
		t.Errorf("%d records are left of %d", n, writes)
	}
}

// historyRecords counts the records of a closed store, and checks the file.
func historyRecords(t testing.TB, path string) int {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("the file is inconsistent: %v", err)
		}
		n = tx.Bucket([]byte("history")).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const childFile = "SAMPAN_TEST_STORE_FILE"

// TestMain is also the child of TestKillLosesNoAcknowledgedWrite, which writes until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		if err := writeForever(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func writeForever(path string) error {
	s, err := embedded.Open(path, embedded.Options{History: 100})
	if err != nil {
		return err
	}
	first := s.Revision()
	errs := make(chan error)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				// A line is written by one call, so the kill cuts none.
				key := fmt.Sprintf("/%d/%d/%d", first, w, i)
				revision, err := s.Apply(context.Background(), store.Write{Key: key, Value: []byte(key)})
				if err != nil {
					errs <- err
					return
				}
				os.Stdout.WriteString(fmt.Sprintf("%s %d\n", key, revision))
			}
		}()
	}
	return <-errs
}

func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	acknowledged := make(map[string]int64)
	for kill := range 5 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFile+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var key string
			var revision int64
			if _, err := fmt.Sscan(lines.Text(), &key, &revision); err != nil {
				t.Fatalf("line %q: %v", lines.Text(), err)
			}
			acknowledged[key] = revision
			if n == 50*kill {
				child.Process.Signal(syscall.SIGKILL)
			}
		}
		child.Wait()
		s := openAt(t, path, embedded.Options{History: 100})
		for key, revision := range acknowledged {
			r, err := s.Get(t.Context(), key)
			if err != nil || r.Revision != revision || string(r.Value) != key {
				t.Fatalf("after kill %d: %s was written at revision %d, got %+v, %v", kill, key, revision, r, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		historyRecords(t, path)
	}
	if len(acknowledged) < 500 {
		t.Errorf("only %d writes were acknowledged", len(acknowledged))
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := filepath.Join(dir, "whole.db")
	s := openAt(t, whole, embedded.Options{})
	for i := range 300 {
		put(t, s, fmt.Sprintf("/%d", i), strings.Repeat("x", 1000), 0)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "foreign.db")
	db, err := bolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err }); err != nil {
		t.Fatal(err)
	}
	db.Close()
	newer := file("newer.db", data)
	if db, err = bolt.Open(newer, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("3")) }); err != nil {
		t.Fatal(err)
	}
	db.Close()
	locked := filepath.Join(dir, "locked.db")
	openAt(t, locked, embedded.Options{})
	directory := filepath.Join(dir, "directory.db")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	zeroed := append([]byte(nil), data...)
	clear(zeroed[:8192])
	for _, c := range []struct{ name, path, want string }{
		{"in use", locked, "in use by another running server"},
		{"not a store", file("garbage.db", []byte(strings.Repeat("garbage ", 4096))), "is damaged"},
		{"cut to a page", file("page.db", data[:4096]), "is damaged"},
		{"cut behind its meta pages", file("cut.db", data[:16384]), "is damaged"},
		{"cut in the middle", file("half.db", data[:200_000]), "is damaged"},
		{"without its meta pages", file("zeroed.db", zeroed), "is damaged"},
		{"of a newer version", newer, "is of another version of Sampan (it has format \"3\""},
		{"of another program", foreign, "not one of a Sampan store"},
		{"a directory", directory, "is a directory"},
	} {
		s, err := embedded.Open(c.path, embedded.Options{})
		if err == nil {
			s.Close()
			t.Errorf("%s: no error", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: got %q, want it to say %q and the file", c.name, err, c.want)
		}
	}
}

func TestForeignOwnerIsNamed(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read every file")
	}
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, nil, 0o000); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.Open(path, embedded.Options{})
	if err == nil || !strings.Contains(err.Error(), "permission denied: run as its owner (user ") {
		t.Errorf("got %v", err)
	}
}
