package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sampan/store"
	"sampan/store/backup"
	"sampan/store/embedded"
	"sampan/store/etcd"
	"sampan/store/etcdtest"
)

// place is where a store can be: how it is opened, and how it is filled.
type place struct {
	open    func(t *testing.T) store.Store
	restore func(ctx context.Context, revision int64) (backup.Target, error)
}

func embeddedAt(t *testing.T) place {
	path := filepath.Join(t.TempDir(), "store.db")
	return place{
		open: func(t *testing.T) store.Store {
			s, err := embedded.Open(path, embedded.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		restore: func(_ context.Context, revision int64) (backup.Target, error) {
			return embedded.Restore(path, embedded.Options{}, revision)
		},
	}
}

func etcdAt(server *etcdtest.Server, name string) place {
	opts := etcd.Options{Endpoints: []string{server.Endpoint}, Name: name}
	return place{
		open: func(t *testing.T) store.Store {
			s, err := etcd.Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		restore: func(ctx context.Context, revision int64) (backup.Target, error) {
			return etcd.Restore(ctx, opts, revision)
		},
	}
}

func put(t *testing.T, s store.Store, key, value string) int64 {
	t.Helper()
	revision, err := s.Apply(t.Context(), store.Write{Key: key, Value: []byte(value), Expect: store.AnyRevision})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func contents(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	list, err := s.List(t.Context(), "/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, r := range list.Records {
		all[r.Key] = string(r.Value)
	}
	return all
}

func write(t *testing.T, s store.Store) (*os.File, backup.Summary) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "cluster.backup"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	sum, err := backup.Write(t.Context(), f, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f, sum
}

// move backs up one place and fills another, and checks that everything is there and revisions rise.
func move(t *testing.T, from, to place) {
	t.Helper()
	s := from.open(t)
	before, revision := contents(t, s), s.Revision()
	f, sum := write(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	restored, err := backup.Restore(t.Context(), f, time.Now(), to.restore)
	if err != nil || restored != sum || sum.Keys != len(before) || sum.Revision < revision {
		t.Fatalf("restored %+v, %v; the backup has %+v, the store %d keys at %d", restored, err, sum, len(before), revision)
	}
	s = to.open(t)
	defer s.Close()
	if diff := cmp.Diff(before, contents(t, s)); diff != "" {
		t.Errorf("restored (-want +got):\n%s", diff)
	}
	list, err := s.List(t.Context(), "/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list.Records {
		if r.Revision <= sum.Revision {
			t.Errorf("%s has revision %d, the backup is of %d", r.Key, r.Revision, sum.Revision)
		}
	}
	// What a client knew of the old store is too old, not in the future, and overwrites nothing.
	if _, err := s.Events(t.Context(), sum.Revision, 0); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("events after an old revision: %v", err)
	}
	if _, err := s.List(t.Context(), "/", store.ListOptions{At: sum.Revision}); !errors.Is(err, store.ErrCompacted) {
		t.Errorf("list at an old revision: %v", err)
	}
	for old := int64(1); old <= sum.Revision; old += max(sum.Revision/50, 1) {
		_, err := s.Apply(t.Context(), store.Write{Key: "/a/1", Value: []byte("x"), Expect: old})
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) || conflict.Current <= sum.Revision {
			t.Fatalf("write that expects revision %d: %v", old, err)
		}
	}
	put(t, s, "/moved", fmt.Sprint(sum.Revision))
}

func TestClusterMovesToEtcdAndBack(t *testing.T) {
	server := etcdtest.Start(t, "http")
	first, second, third := embeddedAt(t), etcdAt(server, "a"), embeddedAt(t)
	s := first.open(t)
	for i := range 350 { // more than one transaction of a restore
		put(t, s, fmt.Sprintf("/a/%d", i), strings.Repeat("x", i*10))
	}
	put(t, s, "/b", "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	move(t, first, second)
	move(t, second, etcdAt(server, "b"))
	move(t, etcdAt(server, "b"), third)
	move(t, third, embeddedAt(t))
}

// Who has read what the old cluster wrote after the backup, or what it wrote after an earlier restore of the same one, must
// list anew, and overwrites nothing.
func TestRevisionsGivenOutAfterTheBackupAreOld(t *testing.T) {
	const later = 50
	source := embeddedAt(t).open(t)
	defer source.Close()
	put(t, source, "/a", "1")
	f, _ := write(t, source)
	goOn := func(s store.Store) {
		for i := range later {
			put(t, s, "/a", fmt.Sprint(i))
		}
	}
	check := func(t *testing.T, make func(*testing.T) place) {
		at := time.Now()
		known := []store.Store{source}
		for range 2 {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			p := make(t)
			at = at.Add(time.Second)
			if _, err := backup.Restore(t.Context(), f, at, p.restore); err != nil {
				t.Fatal(err)
			}
			s := p.open(t)
			defer s.Close()
			goOn(s)
			goOn(s)
			for _, old := range known {
				revision := old.Revision() - 1
				if _, err := s.Events(t.Context(), revision, 0); !errors.Is(err, store.ErrCompacted) {
					t.Errorf("at %d, events after revision %d of the old one: %v", s.Revision(), revision, err)
				}
				if _, err := s.List(t.Context(), "/", store.ListOptions{At: revision}); !errors.Is(err, store.ErrCompacted) {
					t.Errorf("at %d, list at revision %d of the old one: %v", s.Revision(), revision, err)
				}
				var conflict *store.ConflictError
				if _, err := s.Apply(t.Context(), store.Write{Key: "/a", Value: []byte("x"), Expect: revision}); !errors.As(err, &conflict) {
					t.Errorf("write that expects revision %d of the old one: %v", revision, err)
				}
			}
			known = append(known, s)
		}
	}
	goOn(source)
	t.Run("embedded", func(t *testing.T) { check(t, embeddedAt) })
	t.Run("etcd", func(t *testing.T) {
		check(t, func(t *testing.T) place { return etcdAt(etcdtest.Start(t, "http"), "a") })
	})
}

func TestRestoreNeedsAnEmptyStore(t *testing.T) {
	for name, make := range map[string]func(*testing.T) place{
		"embedded": embeddedAt,
		"etcd":     func(t *testing.T) place { return etcdAt(etcdtest.Start(t, "http"), "a") },
	} {
		t.Run(name, func(t *testing.T) {
			p := make(t)
			s := p.open(t)
			put(t, s, "/a", "1")
			f, _ := write(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Restore(t.Context(), f, time.Now(), p.restore); !errors.Is(err, store.ErrNotEmpty) {
				t.Error(err)
			}
			s = p.open(t)
			defer s.Close()
			if got := contents(t, s); got["/a"] != "1" {
				t.Errorf("%v is left", got)
			}
		})
	}
}

// A restore that broke off leaves nothing that could be taken for a cluster, and can be repeated.
func TestUnfinishedRestoreIsNoStore(t *testing.T) {
	source := embeddedAt(t).open(t)
	defer source.Close()
	for i := range 300 {
		put(t, source, fmt.Sprintf("/a/%d", i), "1")
	}
	f, _ := write(t, source)
	check := func(t *testing.T, p place, open func() (store.Store, error)) {
		cut := errors.New("cut")
		_, err := backup.Restore(t.Context(), f, time.Now(), func(ctx context.Context, revision int64) (backup.Target, error) {
			into, err := p.restore(ctx, revision)
			return &failing{Target: into, after: 1, err: cut}, err
		})
		if !errors.Is(err, cut) {
			t.Fatal(err)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), "a restore into it did not finish") {
			t.Errorf("open: %v", err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Restore(t.Context(), f, time.Now(), p.restore); err != nil {
			t.Fatalf("again: %v", err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		s := p.open(t)
		defer s.Close()
		if diff := cmp.Diff(contents(t, source), contents(t, s)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	t.Run("embedded", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "store.db")
		check(t, place{
			open: func(t *testing.T) store.Store {
				s, err := embedded.Open(path, embedded.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			restore: func(_ context.Context, revision int64) (backup.Target, error) {
				return embedded.Restore(path, embedded.Options{}, revision)
			},
		}, func() (store.Store, error) { return embedded.Open(path, embedded.Options{}) })
	})
	t.Run("etcd", func(t *testing.T) {
		server := etcdtest.Start(t, "http")
		check(t, etcdAt(server, "a"), func() (store.Store, error) {
			return etcd.Open(t.Context(), etcd.Options{Endpoints: []string{server.Endpoint}, Name: "a"})
		})
	})
}

// failing breaks after some transactions.
type failing struct {
	backup.Target
	after int
	err   error
}

func (f *failing) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if f.after--; f.after < 0 {
		return 0, f.err
	}
	return f.Target.Apply(ctx, writes...)
}

// Every transaction moves an amount between two of the keys: a backup that mixes revisions has another sum.
func TestBackupIsOfOneRevisionWhileWritesGoOn(t *testing.T) {
	s, err := embedded.Open(filepath.Join(t.TempDir(), "store.db"), embedded.Options{History: 50})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const keys = 5000 // several pages
	key := func(i int) string { return fmt.Sprintf("/n/%05d", i) }
	for i := 0; i < keys; i += 500 {
		var writes []store.Write
		for j := range 500 {
			writes = append(writes, store.Write{Key: key(i + j), Value: []byte("100")})
		}
		if _, err := s.Apply(t.Context(), writes...); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := w; ctx.Err() == nil; i++ {
				from, to := key(i*37%(keys/2)), key(keys/2+i*53%(keys/2))
				_, err := s.Apply(t.Context(),
					store.Write{Key: from, Value: fmt.Append(nil, 100-i%7), Expect: store.AnyRevision},
					store.Write{Key: to, Value: fmt.Append(nil, 100+i%7), Expect: store.AnyRevision})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		f, sum := write(t, s)
		got := make(map[string]string)
		into := &collector{Store: s, got: got}
		if _, err := backup.Restore(t.Context(), f, time.Now(), func(context.Context, int64) (backup.Target, error) { return into, nil }); err != nil {
			t.Fatal(err)
		}
		if len(got) != keys {
			t.Errorf("%d keys", len(got))
		}
		// What the store itself says of that revision is the reference, where it still can.
		list, err := s.List(t.Context(), "/", store.ListOptions{At: sum.Revision})
		if errors.Is(err, store.ErrCompacted) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.Records {
			if got[r.Key] != string(r.Value) {
				t.Fatalf("%s at revision %d is %q in the backup, %q in the store", r.Key, sum.Revision, got[r.Key], r.Value)
			}
		}
	}
	stop()
	writers.Wait()
}

// collector is a target that only remembers.
type collector struct {
	store.Store
	got map[string]string
}

func (c *collector) Apply(_ context.Context, writes ...store.Write) (int64, error) {
	for _, w := range writes {
		c.got[w.Key] = string(w.Value)
	}
	return 1, nil
}
func (c *collector) FinishRestore(context.Context) error { return nil }
func (c *collector) Close() error                        { return nil }

func TestDamagedBackupIsRefused(t *testing.T) {
	s := embeddedAt(t).open(t)
	defer s.Close()
	for i := range 20 {
		put(t, s, fmt.Sprintf("/a/%d", i), fmt.Sprintf("value %d", i))
	}
	f, sum := write(t, s)
	whole, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := backup.Check(bytes.NewReader(whole)); err != nil || got != sum {
		t.Fatalf("whole: %+v, %v", got, err)
	}
	for n := range whole {
		if _, err := backup.Check(bytes.NewReader(whole[:n])); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%d bytes of %d: %v", n, len(whole), err)
		}
		if n >= 3 && n < 10 {
			continue // flags and time of the gzip header, which say nothing about the content
		}
		bad := bytes.Clone(whole)
		bad[n] ^= 0x41
		if _, err := backup.Check(bytes.NewReader(bad)); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("byte %d changed: %v", n, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte("sampan backup 1\n"))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := backup.Check(bytes.NewReader(data)); err != nil && !errors.Is(err, backup.ErrDamaged) {
			t.Error(err)
		}
	})
}
