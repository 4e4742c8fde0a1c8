package backup_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sampan/store"
	"sampan/store/backup"
	"sampan/store/memory"
)

// hurried is a store whose history is compacted between two pages, unless they are large enough.
type hurried struct {
	store.Store
	enough int // a page of so many records, or 0 for all of them
	lists  []int
	err    error // of every list, if it is set
}

func (s *hurried) List(ctx context.Context, prefix string, opts store.ListOptions) (store.List, error) {
	s.lists = append(s.lists, opts.Limit)
	if s.err != nil {
		return store.List{}, s.err
	}
	if opts.After != "" && opts.Limit != 0 && (s.enough == 0 || opts.Limit < s.enough) {
		return store.List{}, fmt.Errorf("list: %w", store.ErrCompacted)
	}
	return s.Store.List(ctx, prefix, opts)
}

// A backup that is overtaken by compaction begins anew with larger pages, and nothing of the first attempts is left in
// the file.
func TestABackupThatIsOvertakenBeginsAnew(t *testing.T) {
	const keys = 20_010
	m := memory.New()
	for i := 0; i < keys; i += 100 {
		var writes []store.Write
		for j := i; j < min(i+100, keys); j++ {
			writes = append(writes, store.Write{Key: fmt.Sprintf("/a/%05d", j), Value: []byte("value")})
		}
		if _, err := m.Apply(t.Context(), writes...); err != nil {
			t.Fatal(err)
		}
	}
	down := errors.New("down")
	for name, c := range map[string]struct {
		store *hurried
		lists []int
		err   error
	}{
		"in time at once":      {&hurried{Store: m, enough: 1}, []int{2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000, 2000}, nil},
		"in time in the end":   {&hurried{Store: m, enough: 20_000}, []int{2000, 2000, 20_000, 20_000}, nil},
		"never in time":        {&hurried{Store: m}, []int{2000, 2000, 20_000, 20_000, 0}, nil},
		"cannot be read":       {&hurried{Store: m, err: down}, []int{2000}, down},
		"compacted altogether": {&hurried{Store: m, err: store.ErrCompacted}, []int{2000, 20_000, 0}, store.ErrCompacted},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "cluster.backup"))
		if err != nil {
			t.Fatal(err)
		}
		sum, err := backup.Write(t.Context(), f, c.store)
		if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), "back up to "+f.Name()) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if d := cmp.Diff(c.lists, c.store.lists); d != "" {
			t.Errorf("%s: pages %s", name, d)
		}
		if c.err == nil {
			data, err := os.ReadFile(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := backup.Check(bytes.NewReader(data)); err != nil || got != sum || got.Keys != keys {
				t.Errorf("%s: the file holds %+v, %v, written were %+v", name, got, err, sum)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// packed is a backup file of parts: texts, and numbers.
func packed(t *testing.T, sum bool, parts ...any) []byte {
	t.Helper()
	var plain, out bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			plain.WriteString(p)
		case int:
			plain.Write(binary.AppendUvarint(nil, uint64(p)))
		}
	}
	if digest := sha256.Sum256(plain.Bytes()); sum {
		plain.Write(digest[:])
	}
	zip := gzip.NewWriter(&out)
	if _, err := zip.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsWrongWithABackupIsSaid(t *testing.T) {
	const magic = "sampan backup 1\n"
	for name, c := range map[string]struct {
		file []byte
		err  string // "": it is whole
	}{
		"whole":                {packed(t, true, magic, 7, 2, "/a", 5, 1, "x", 2, "/b", 6, 0, 0, 2), ""},
		"of nothing":           {packed(t, true, magic, 7, 0, 0), ""},
		"another version":      {packed(t, true, "sampan backup 2\n", 7, 0, 0), `it begins with "sampan backup 2\n"`},
		"a key twice":          {packed(t, true, magic, 7, 2, "/a", 5, 1, "x", 2, "/a", 6, 0, 0, 2), `key "/a" follows "/a"`},
		"keys not in order":    {packed(t, true, magic, 7, 2, "/b", 5, 1, "x", 2, "/a", 6, 0, 0, 2), `key "/a" follows "/b"`},
		"a key too many":       {packed(t, true, magic, 7, 2, "/a", 5, 1, "x", 0, 2), "it has 1 keys of 2"},
		"a key that is large":  {packed(t, true, magic, 7, 4097, strings.Repeat("/", 4097), 5, 1, "x", 0, 1), "number 4097 is above 4096"},
		"the largest key":      {packed(t, true, magic, 7, 4096, strings.Repeat("/", 4096), 5, 1, "x", 0, 1), ""},
		"a value that is huge": {packed(t, true, magic, 7, 2, "/a", 5, 64<<20+1, "x"), "number 67108865 is above 67108864"},
		"another checksum":     {packed(t, false, magic, 7, 0, 0, strings.Repeat("x", 32)), "its checksum does not hold"},
		"no checksum":          {packed(t, false, magic, 7, 0, 0), "unexpected EOF"},
		"more behind its end":  {append(packed(t, true, magic, 7, 0, 0), packed(t, false, "x")...), "something follows its end"},
		"nothing":              {nil, "unexpected EOF"},
	} {
		got, err := backup.Check(bytes.NewReader(c.file))
		if (err == nil) != (c.err == "") || err != nil && (!errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, c.err)
		}
		if err == nil && got.Revision != 7 {
			t.Errorf("%s: revision %d", name, got.Revision)
		}
	}
}

// counting is a target that remembers how large its transactions were.
type counting struct {
	collector
	keys, bytes []int
	finished    bool
}

func (c *counting) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	size := 0
	for _, w := range writes {
		size += len(w.Key) + len(w.Value)
	}
	c.keys, c.bytes = append(c.keys, len(writes)), append(c.bytes, size)
	return c.collector.Apply(ctx, writes...)
}

func (c *counting) FinishRestore(context.Context) error {
	c.finished = true
	return nil
}

func TestRestoreWritesInTransactionsThatEtcdTakes(t *testing.T) {
	for name, c := range map[string]struct {
		keys, value int
		want        []int // keys of each transaction
	}{
		"none":                       {0, 0, nil},
		"one":                        {1, 1, []int{1}},
		"a full one":                 {100, 1, []int{100}},
		"one more":                   {101, 1, []int{100, 1}},
		"large values":               {5, 200 << 10, []int{2, 2, 1}},
		"half of what fits, exactly": {4, 256<<10 - 4, []int{2, 2}}, // a key has 4 bytes
		"values larger than any":     {3, 1 << 20, []int{1, 1, 1}},
	} {
		m := memory.New()
		for i := range c.keys {
			put(t, m, fmt.Sprintf("/%03d", i), strings.Repeat("x", c.value))
		}
		f, _ := write(t, m)
		into := &counting{collector: collector{Store: m, got: make(map[string]string)}}
		var above int64
		now := time.Unix(1e9, 0)
		sum, err := backup.Restore(t.Context(), f, now, func(_ context.Context, revision int64) (backup.Target, error) {
			above = revision
			return into, nil
		})
		if err != nil || sum.Keys != c.keys || !into.finished || above != now.UnixMicro() {
			t.Errorf("%s: %+v, %v, finished %v, above %d", name, sum, err, into.finished, above)
		}
		if d := cmp.Diff(c.want, into.keys); d != "" {
			t.Errorf("%s: %s, bytes %v", name, d, into.bytes)
		}
		// A backup that breaks off, and one that cannot be opened, finish nothing.
		data, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		into.finished = false
		if _, err := backup.Restore(t.Context(), bytes.NewReader(data[:len(data)-1]), now, func(context.Context, int64) (backup.Target, error) { return into, nil }); !errors.Is(err, backup.ErrDamaged) || into.finished {
			t.Errorf("%s, broken off: %v, finished %v", name, err, into.finished)
		}
		if _, err := backup.Restore(t.Context(), bytes.NewReader(data), now, func(context.Context, int64) (backup.Target, error) { return nil, io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s, not opened: %v", name, err)
		}
	}
	if got := backup.Above(1<<60, time.Unix(1e9, 0)); got != 1<<60 {
		t.Errorf("a backup of a revision beyond all clocks is restored above %d", got)
	}
}
