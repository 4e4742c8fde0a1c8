package embedded

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sampan/store"
)

var testID = logID{1, 2, 3}

// transactions returns events of n revisions from first on, of one to three keys each; every fourth deletes.
func transactions(first int64, n, size int) []store.Event {
	var events []store.Event
	for r := first; r < first+int64(n); r++ {
		for i := range r%3 + 1 {
			e := store.Event{Key: fmt.Sprintf("/k/%d", (r+i)%7), Revision: r, Value: bytes.Repeat([]byte{byte(r)}, size)}
			if (r+i)%4 == 0 {
				e.Value = nil
			}
			events = append(events, e)
		}
	}
	return events
}

// logOf returns a log of the given pages with batches from its beginning on, on top of what was there before.
func logOf(before []byte, pages int, batches ...[]store.Event) (log []byte, ends []int) {
	log = make([]byte, pages*logPage)
	copy(log, before)
	at := 0
	for _, events := range batches {
		batch := appendBatch(nil, testID, events)
		at += copy(log[at:], batch)
		ends = append(ends, at)
	}
	return log, ends
}

func joined(batches ...[]store.Event) []store.Event {
	var all []store.Event
	for _, b := range batches {
		all = append(all, b...)
	}
	return all
}

func same(a, b []store.Event) bool {
	return slices.EqualFunc(a, b, func(a, b store.Event) bool {
		return a.Key == b.Key && a.Revision == b.Revision && (a.Value == nil) == (b.Value == nil) && bytes.Equal(a.Value, b.Value)
	})
}

func wantReplay(t *testing.T, what string, log []byte, stored int64, want []store.Event, wantEnd int) {
	t.Helper()
	got, end, err := replay(log, testID, stored)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !same(want, got) || end != wantEnd {
		t.Fatalf("%s: ends at %d, want %d (-want +got):\n%s", what, end, wantEnd, cmp.Diff(want, got))
	}
}

func TestBatchComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var events []store.Event
		revision := rapid.Int64Range(1, 1<<60).Draw(rt, "first")
		first := revision
		for range rapid.IntRange(1, 20).Draw(rt, "events") {
			if len(events) > 0 && rapid.Bool().Draw(rt, "next transaction") {
				revision++
			}
			e := store.Event{Key: rapid.String().Draw(rt, "key"), Revision: revision}
			if rapid.Bool().Draw(rt, "written") {
				e.Value = append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(rt, "value")...)
			}
			events = append(events, e)
		}
		b := appendBatch(nil, testID, events)
		if len(b) != batchSize(events) || len(b)%logPage != 0 {
			rt.Fatalf("%d bytes, said to be %d", len(b), batchSize(events))
		}
		got, end, err := replay(append(b, make([]byte, logPage)...), testID, first-1)
		if diff := cmp.Diff(events, got); diff != "" || end != len(b) || err != nil {
			rt.Fatalf("ends at %d of %d, %v (-want +got):\n%s", end, len(b), err, diff)
		}
	})
}

// However much of the last batch a power loss has left, and over whatever was there before, it is as if that batch had
// not been; and all before it is there.
func TestTornLastBatchIsAsIfItHadNotBeen(t *testing.T) {
	older, _ := logOf(nil, 16, transactions(1, 8, 100), transactions(9, 1, 20_000), transactions(10, 5, 3000))
	stale, _ := logOf(older, 16, transactions(15, 1, 10), transactions(16, 1, 10), transactions(17, 1, 10), transactions(18, 1, 10))
	first, second, last := transactions(19, 3, 900), transactions(22, 1, 5000), transactions(23, 2, 3500)
	for name, before := range map[string][]byte{"over zeros": nil, "over older batches": stale} {
		torn, ends := logOf(before, 16, first, second)
		whole, _ := logOf(before, 16, first, second, last)
		start, size := ends[1], batchSize(last)
		wantReplay(t, name+": whole", whole, 18, joined(first, second, last), start+size)
		content := bytes.TrimRight(appendBatch(nil, testID, last), "\x00")
		log := bytes.Clone(torn)
		for n := range content {
			wantReplay(t, fmt.Sprintf("%s: %d bytes", name, n), log, 18, joined(first, second), start)
			log[start+n] = content[n]
		}
		// Pages reach the disk in any order.
		pages := size / logPage
		for left := range 1<<pages - 1 {
			log := bytes.Clone(torn)
			for p := range pages {
				if left&(1<<p) != 0 {
					at := start + p*logPage
					copy(log[at:at+logPage], whole[at:])
				}
			}
			wantReplay(t, fmt.Sprintf("%s: pages %b", name, left), log, 18, joined(first, second), start)
		}
	}
}

// A bit that flips in a batch that was durable before the last one is damage; nothing goes missing.
func TestFlippedBitBeforeTheLastBatchIsDamage(t *testing.T) {
	first, second, last := transactions(5, 2, 40), transactions(7, 1, 5000), transactions(8, 1, 10)
	log, ends := logOf(nil, 8, first, second, last)
	all := joined(first, second, last)
	found := 0
	for at := range ends[1] {
		log[at] ^= 1 << (at % 8)
		events, _, err := replay(log, testID, 4)
		switch {
		case err != nil:
			found++
		case !same(events, all): // the padding may be anything
			t.Fatalf("bit %d of byte %d: %d events of %d", at%8, at, len(events), len(all))
		}
		log[at] ^= 1 << (at % 8)
	}
	if content := len(bytes.TrimRight(log[:ends[0]], "\x00")) + 5000; found < content {
		t.Errorf("%d flips were found, want at least %d", found, content)
	}
	for at := ends[1]; at < ends[2]; at++ {
		log[at] ^= 1 << (at % 8)
		if events, _, err := replay(log, testID, 4); err != nil || !same(events, all) && !same(events, joined(first, second)) {
			t.Fatalf("byte %d of the last batch: %d events, %v", at, len(events), err)
		}
		log[at] ^= 1 << (at % 8)
	}
}

func TestReplayTakesOnlyWhatTheFileLacks(t *testing.T) {
	first, second := transactions(1, 3, 500), transactions(4, 2, 9000)
	log, ends := logOf(nil, 16, first, second)
	wantReplay(t, "nothing stored", log, 0, joined(first, second), ends[1])
	// A crash between the transaction of the file and the next batch leaves the log as it is.
	wantReplay(t, "all stored", log, 5, nil, 0)
	next := transactions(6, 1, 100)
	over, ends := logOf(log, 16, next)
	wantReplay(t, "the next batch over the older ones", over, 5, next, ends[0])
	wantReplay(t, "that stored too", over, 6, nil, 0)
	wantReplay(t, "empty", nil, 6, nil, 0)
	wantReplay(t, "zeros", make([]byte, 3*logPage), 6, nil, 0)

	for stored, what := range map[int64]string{3: "the file is older than the log", 4: "the file ends within a batch"} {
		if events, _, err := replay(log, testID, stored); err == nil {
			t.Errorf("%s: %d events and no error", what, len(events))
		}
	}
	if events, _, err := replay(over, testID, 0); err == nil {
		t.Errorf("the file has lost what the log no longer has: %d events and no error", len(events))
	}
	events, _, err := replay(log, logID{9}, 0)
	if len(events) != 0 || err != nil {
		t.Errorf("a log of another store: %d events, %v", len(events), err)
	}
	if err := checkUnused(log); err == nil || !strings.Contains(err.Error(), "another store file") {
		t.Errorf("a log that nobody names: %v", err)
	}
}

func FuzzReplay(f *testing.F) {
	log, _ := logOf(nil, 4, transactions(1, 3, 50), transactions(4, 1, 50))
	f.Add(log, int64(0))
	f.Add(log, int64(4))
	f.Fuzz(func(t *testing.T, log []byte, stored int64) {
		events, end, err := replay(log, testID, stored)
		if err != nil {
			return
		}
		if end < 0 || end > len(log)+logPage {
			t.Fatalf("the end is at %d of %d", end, len(log))
		}
		for i, e := range events {
			if e.Revision <= stored || i > 0 && e.Revision < events[i-1].Revision {
				t.Fatalf("event %d of revision %d, behind %d", i, e.Revision, stored)
			}
		}
	})
}
