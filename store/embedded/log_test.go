package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"sampan/store"
)

// fresh returns a store on a new file.
func fresh(t testing.TB, opts Options) *Store {
	t.Helper()
	return reopened(t, filepath.Join(t.TempDir(), "store.db"), opts)
}

func reopened(t testing.TB, path string, opts Options) *Store {
	t.Helper()
	s, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func write(t testing.TB, s *Store, key, value string) int64 {
	t.Helper()
	revision, err := s.Apply(t.Context(), store.Write{Key: key, Value: []byte(value), Expect: store.AnyRevision})
	if err != nil {
		t.Fatalf("write %s: %v", key, err)
	}
	return revision
}

// crashed copies the files of an open store, as a kill would leave them, and returns the copy's name.
func crashed(t testing.TB, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "crash")
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "store.db")
	for from, to := range map[string]string{path: to, logPath(path): logPath(to)} {
		if err := copySparse(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return to
}

// copySparse copies a file, but not its holes: a store file has room for much that is not there yet.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	for at := int64(0); ; {
		if at, err = unix.Seek(int(in.Fd()), at, unix.SEEK_DATA); errors.Is(err, syscall.ENXIO) {
			return out.Truncate(info.Size()) // no more of it
		} else if err != nil {
			return err
		}
		end, err := unix.Seek(int(in.Fd()), at, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, at), io.NewSectionReader(in, at, end-at)); err != nil {
			return err
		}
		at = end
	}
}

// contents returns all that a store says of itself at every revision from one on.
func contents(t testing.TB, s store.Store, from int64) []string {
	t.Helper()
	out := []string{fmt.Sprintf("revision %d", s.Revision())}
	for at := max(from, 1); at <= s.Revision(); at++ {
		list, err := s.List(t.Context(), "/", store.ListOptions{At: at})
		if err != nil {
			t.Fatalf("list at %d: %v", at, err)
		}
		for _, r := range list.Records {
			out = append(out, fmt.Sprintf("at %d: %s=%q from %d", at, r.Key, r.Value, r.Revision))
		}
	}
	events, err := s.Events(t.Context(), from, 0)
	if err != nil {
		t.Fatalf("events after %d: %v", from, err)
	}
	for _, e := range events {
		out = append(out, fmt.Sprintf("%d: %s=%q %v", e.Revision, e.Key, e.Value, e.Value == nil))
	}
	return out
}

func wantContents(t testing.TB, what string, s *Store, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, contents(t, s, 0)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestLogHoldsTheWritesAndOnlyItsOwnerReadsIt(t *testing.T) {
	s := fresh(t, Options{History: -1})
	write(t, s, "/a", "a-word")
	data, err := os.ReadFile(logPath(s.path))
	if err != nil || !strings.Contains(string(data), "a-word") {
		t.Errorf("the log does not hold the write: %v", err)
	}
	info, err := os.Stat(logPath(s.path))
	if err != nil || info.Mode() != 0o600 || info.Size() != 1<<20 {
		t.Errorf("%v of %d bytes, %v", info.Mode(), info.Size(), err)
	}
}

// The store file has the writes, and the log has them still.
func TestCrashBetweenTheFileAndTheLog(t *testing.T) {
	s := fresh(t, Options{History: -1, LogBytes: 4 * logPage})
	var left []string
	s.commitTx = func(tx *bolt.Tx) error {
		err := tx.Commit()
		left = append(left, crashed(t, s.path))
		return err
	}
	for i := range 9 {
		write(t, s, fmt.Sprintf("/%d", i), "x")
	}
	if len(left) != 1 {
		t.Fatalf("%d checkpoints", len(left))
	}
	at := reopened(t, left[0], Options{History: -1})
	if at.Revision() != 5 {
		t.Errorf("revision %d", at.Revision())
	}
	write(t, at, "/more", "x")
	again := reopened(t, crashed(t, at.path), Options{History: -1})
	wantContents(t, "reopened once more", again, contents(t, at, 0))
	wantContents(t, "after the crash", reopened(t, crashed(t, s.path), Options{History: -1}), contents(t, s, 0))
}

// faulty is a log file that fails.
type faulty struct {
	logFile
	whole int   // bytes that the next write gets to the disk
	write error // then, if not nil
	sync  error
}

func (f *faulty) WriteAt(b []byte, at int64) (int, error) {
	if f.write == nil {
		return f.logFile.WriteAt(b, at)
	}
	err := f.write
	f.write = nil
	n, _ := f.logFile.WriteAt(b[:min(f.whole, len(b))], at)
	return n, err
}

func (f *faulty) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.logFile.Sync()
}

// broken puts faults under the log of a store on which nobody writes at the moment.
func broken(s *Store) *faulty {
	f := &faulty{logFile: s.wal.file}
	s.wal.file = f
	return f
}

func TestFullLogRefusesWritesAndKeepsNothingOfThem(t *testing.T) {
	s := fresh(t, Options{History: -1, LogBytes: 64 * logPage})
	write(t, s, "/a", "1")
	f := broken(s)
	value := strings.Repeat("x", 5000)
	for whole := 0; whole <= 2*logPage; whole += 512 {
		f.whole, f.write = whole, syscall.ENOSPC
		before := contents(t, s, 0)
		if _, err := s.Apply(t.Context(), store.Write{Key: "/full", Value: []byte(value)}); !errors.Is(err, store.ErrNoSpace) {
			t.Fatalf("%d bytes fitted: %v", whole, err)
		}
		wantContents(t, "after it", s, before)
		wantContents(t, "after a crash", reopened(t, crashed(t, s.path), Options{}), before)
		if got, want := write(t, s, "/b", "1"), s.committer.stored+2+int64(whole/512); got != want {
			t.Fatalf("the next write has revision %d, want %d", got, want)
		}
	}
	if _, err := s.Apply(t.Context(), store.Write{Key: "/full", Value: []byte(value)}); err != nil {
		t.Errorf("the key that was refused: %v", err)
	}
}

func TestDiskThatFailsUnderTheLogIsNotTrusted(t *testing.T) {
	for name, breaks := range map[string]func(*faulty){
		"write":                       func(f *faulty) { f.write = syscall.EIO },
		"sync":                        func(f *faulty) { f.sync = syscall.EIO },
		"sync without space":          func(f *faulty) { f.sync = syscall.ENOSPC },
		"taking back a partial write": func(f *faulty) { f.write, f.sync = syscall.ENOSPC, syscall.EIO },
	} {
		s := fresh(t, Options{History: -1})
		write(t, s, "/a", "1")
		f := broken(s)
		breaks(f)
		for _, what := range []string{"the write that failed", "a later one"} {
			_, err := s.Apply(t.Context(), store.Write{Key: "/b", Value: []byte("1")})
			if err == nil || errors.Is(err, store.ErrNoSpace) || what == "a later one" && !strings.Contains(err.Error(), "until the server is restarted") {
				t.Errorf("%s: %s: %v", name, what, err)
			}
			f.write, f.sync = nil, nil
		}
		if r, err := s.Get(t.Context(), "/a"); err != nil || r.Revision != 1 {
			t.Errorf("%s: read: %+v, %v", name, r, err)
		}
		if _, err := s.Get(t.Context(), "/b"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: what was not acknowledged is shown: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		again := reopened(t, s.path, Options{})
		if r, err := again.Get(t.Context(), "/a"); err != nil || r.Revision != 1 {
			t.Errorf("%s: after a restart: %+v, %v", name, r, err)
		}
		write(t, again, "/c", "1")
	}
}

// While the file cannot grow, what is in the log stays there, through a close and a start too.
func TestLogOutlastsAFileWithoutSpace(t *testing.T) {
	full := func(tx *bolt.Tx) error { return errors.Join(syscall.ENOSPC, tx.Rollback()) }
	s := fresh(t, Options{History: -1, LogBytes: 4 * logPage})
	s.commitTx = full
	for i := range 4 {
		write(t, s, fmt.Sprintf("/%d", i), "x")
	}
	before := contents(t, s, 0)
	for range 2 {
		if _, err := s.Apply(t.Context(), store.Write{Key: "/5", Value: []byte("x")}); !errors.Is(err, store.ErrNoSpace) {
			t.Errorf("write to the full log: %v", err)
		}
	}
	if err := s.Compact(t.Context(), 2); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("compact: %v", err)
	}
	wantContents(t, "full", s, before)
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	s = reopened(t, s.path, Options{History: -1})
	wantContents(t, "after a restart", s, before)
	if got := write(t, s, "/5", "x"); got != 5 {
		t.Errorf("with room it is revision %d", got)
	}
	if s.committer.stored != 5 {
		t.Errorf("the file has revision %d", s.committer.stored)
	}
}

func TestOpenSaysWhatToDoAboutALog(t *testing.T) {
	s := fresh(t, Options{History: -1})
	for i := range 5 {
		write(t, s, fmt.Sprintf("/%d", i), "x")
	}
	want := contents(t, s, 0)
	log, err := os.ReadFile(logPath(s.path))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(path string) error
		want   string // "" if it opens as if nothing had happened
	}{
		{"untouched", func(string) error { return nil }, ""},
		{"missing", func(path string) error { return os.Remove(logPath(path)) }, "put it back beside store.db"},
		{"damaged", func(path string) error {
			bad := append([]byte(nil), log...)
			bad[logPage+45] ^= 1
			return os.WriteFile(logPath(path), bad, 0o600)
		}, "is damaged (it has revisions 3 to 3 at byte 8192, but not 2): move it and store.db away"},
		{"a directory", func(path string) error {
			return errors.Join(os.Remove(logPath(path)), os.Mkdir(logPath(path), 0o700))
		}, "is damaged"},
		{"of a store file that is away", func(path string) error { return os.Remove(path) }, "belongs to another store file"},
		{"of another store", func(path string) error {
			other := fresh(t, Options{})
			write(t, other, "/x", "1")
			if err := other.Close(); err != nil {
				return err
			}
			return os.Rename(other.path, path)
		}, "belongs to another store file"},
		{"gone with the close of the store, its name not yet", func(path string) error {
			whole := reopened(t, path, Options{LogBytes: -1})
			if err := whole.Compact(t.Context(), 1); err != nil {
				return err
			}
			return os.Truncate(logPath(path), 0)
		}, ""},
		{"an empty one that nobody names", func(path string) error {
			if err := reopened(t, path, Options{}).Close(); err != nil {
				return err
			}
			return os.WriteFile(logPath(path), nil, 0o600)
		}, ""},
	} {
		path := crashed(t, s.path)
		if err := c.change(path); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if c.name == "gone with the close of the store, its name not yet" {
			path = crashed(t, path) // the other one is still open
		}
		got, err := Open(path, Options{History: -1})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == "":
			if c.name == "untouched" {
				wantContents(t, c.name, got, want)
			}
			if revision := write(t, got, "/new", "x"); revision != 6 || got.wal.end == 0 {
				t.Errorf("%s: the next write has revision %d, and the log ends at %d", c.name, revision, got.wal.end)
			}
			got.Close()
		case err == nil:
			got.Close()
			t.Errorf("%s: no error", c.name)
		case !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), logPath(path)):
			t.Errorf("%s: got %q, want it to say %q and the file", c.name, err, c.want)
		}
	}
}

// A store of which everything is still in the log is not empty.
func TestRestoreSeesWhatIsOnlyInTheLog(t *testing.T) {
	s := fresh(t, Options{})
	write(t, s, "/a", "1")
	path := crashed(t, s.path)
	if _, err := Restore(path, Options{}, 10); !errors.Is(err, store.ErrNotEmpty) {
		t.Errorf("got %v", err)
	}
	wantContents(t, "afterwards", reopened(t, path, Options{}), contents(t, s, 0))
}
