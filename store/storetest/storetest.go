// Package storetest is the suite that every back end of package store passes: [Run] from a test of the back
// end. Failures name the part of the contract that does not hold.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sampan/store"
)

// Run tests a back end. open returns a new, empty store that keeps history until Compact, and that nobody else
// writes to; the suite closes it. The suite counts revisions from the one that the store begins with.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Helper()
	begin := open
	open = func(t *testing.T) store.Store { return fromZero(begin(t)) }
	for name, test := range map[string]func(*testing.T, store.Store){
		"EmptyStoreIsAtRevisionZero":        testEmpty,
		"WriteIsReadBack":                   testReadBack,
		"EmptyValueIsNotADeletion":          testEmptyValue,
		"TransactionSharesOneRevision":      testTransaction,
		"ConflictWritesNothing":             testConflict,
		"ConflictIsSeenInTheEvents":         testConflictSeen,
		"CatchUpReturnsWithWhatWasWritten":  testCatchUp,
		"WithoutChangeThereIsNoRevision":    testNoChange,
		"MalformedTransactionIsRefused":     testMalformed,
		"ListIsOrderedAndLimited":           testList,
		"ListShowsAnOlderRevision":          testListAt,
		"EventsComeInOrderAndWhole":         testEvents,
		"HintTravelsWithTheEvent":           testHint,
		"WaitReturnsWhenThereIsMore":        testWait,
		"SizeIsThatOfWhatIsStored":          testSize,
		"CompactedHistoryIsAnError":         testCompact,
		"CloseEndsEverything":               testClose,
		"CancelledContextWritesNothing":     testCancelled,
		"ConcurrentCountersLoseNoIncrement": testCounters,
		"ReaderSeesEveryEventOfManyWriters": testManyWriters,
		"RandomHistoriesMatchTheNaiveModel": nil,
	} {
		t.Run(name, func(t *testing.T) {
			if test == nil {
				testModel(t, open)
				return
			}
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			test(t, s)
		})
	}
}

func put(key, value string, expect int64) store.Write {
	return store.Write{Key: key, Value: []byte(value), Expect: expect}
}

func del(key string, expect int64) store.Write { return store.Write{Key: key, Expect: expect} }

func apply(t *testing.T, s store.Store, writes ...store.Write) int64 {
	t.Helper()
	revision, err := s.Apply(t.Context(), writes...)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return revision
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// shown is a record or an event as text.
func shownList(l store.List) []string {
	out := []string{}
	for _, r := range l.Records {
		out = append(out, fmt.Sprintf("%s=%s@%d", r.Key, r.Value, r.Revision))
	}
	if l.More {
		out = append(out, "more")
	}
	return out
}

func shownEvents(events []store.Event) []string {
	out := []string{}
	for _, e := range events {
		if e.Value == nil {
			out = append(out, fmt.Sprintf("-%s@%d", e.Key, e.Revision))
			continue
		}
		out = append(out, fmt.Sprintf("%s=%s@%d", e.Key, e.Value, e.Revision))
	}
	return out
}

func list(t *testing.T, s store.Store, prefix string, opts store.ListOptions) []string {
	t.Helper()
	l, err := s.List(t.Context(), prefix, opts)
	if err != nil {
		t.Fatalf("list %q %+v: %v", prefix, opts, err)
	}
	return shownList(l)
}

func events(t *testing.T, s store.Store, after int64, limit int) []string {
	t.Helper()
	e, err := s.Events(t.Context(), after, limit)
	if err != nil {
		t.Fatalf("events after %d: %v", after, err)
	}
	return shownEvents(e)
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func testEmpty(t *testing.T, s store.Store) {
	if got := s.Revision(); got != 0 {
		t.Errorf("revision %d", got)
	}
	same(t, "list", list(t, s, "", store.ListOptions{}), []string{})
	same(t, "events", events(t, s, 0, 10), []string{})
	_, err := s.Get(t.Context(), "/a")
	wantErr(t, "get", err, store.ErrNotFound)
}

func testReadBack(t *testing.T, s store.Store) {
	first := apply(t, s, put("/a", "1", 0))
	if first != 1 {
		t.Errorf("the first revision is %d", first)
	}
	second := apply(t, s, put("/a", "2", first))
	if second != 2 || s.Revision() != 2 {
		t.Errorf("the second revision is %d, the store's is %d", second, s.Revision())
	}
	r, err := s.Get(t.Context(), "/a")
	if err != nil || string(r.Value) != "2" || r.Revision != 2 || r.Key != "/a" {
		t.Errorf("got %+v, %v", r, err)
	}
	apply(t, s, del("/a", second))
	_, err = s.Get(t.Context(), "/a")
	wantErr(t, "get of a deleted key", err, store.ErrNotFound)
	if got := apply(t, s, put("/a", "3", 0)); got != 4 {
		t.Errorf("a key made anew has revision %d", got)
	}
}

func testEmptyValue(t *testing.T, s store.Store) {
	apply(t, s, store.Write{Key: "/a", Value: []byte{}})
	r, err := s.Get(t.Context(), "/a")
	if err != nil || r.Value == nil || len(r.Value) != 0 {
		t.Errorf("get: %+v, %v", r, err)
	}
	l, err := s.List(t.Context(), "", store.ListOptions{})
	if err != nil || len(l.Records) != 1 || l.Records[0].Value == nil {
		t.Errorf("list: %+v, %v", l, err)
	}
	e, err := s.Events(t.Context(), 0, 0)
	if err != nil || len(e) != 1 || e[0].Value == nil {
		t.Errorf("events: %+v, %v", e, err)
	}
}

func testTransaction(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0), put("/b", "1", 0))
	apply(t, s, del("/a", 1), put("/c", "2", 0), put("/b", "2", store.AnyRevision))
	same(t, "list", list(t, s, "/", store.ListOptions{}), []string{"/b=2@2", "/c=2@2"})
	same(t, "events in the order of the writes", events(t, s, 1, 0), []string{"-/a@2", "/c=2@2", "/b=2@2"})
}

func testConflict(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0))
	for _, c := range []struct {
		name    string
		write   store.Write
		current int64
	}{
		{"create of what exists", put("/a", "2", 0), 1},
		{"update at an old revision", put("/a", "2", 7), 1},
		{"update of what does not exist", put("/x", "2", 1), 0},
		{"delete at another revision", del("/a", 3), 1},
	} {
		_, err := s.Apply(t.Context(), put("/b", "1", 0), c.write)
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) {
			t.Errorf("%s: got error %v", c.name, err)
			continue
		}
		want := store.ConflictError{Key: c.write.Key, Expect: c.write.Expect, Current: c.current}
		if *conflict != want {
			t.Errorf("%s: got %+v, want %+v", c.name, *conflict, want)
		}
	}
	if s.Revision() != 1 {
		t.Errorf("revision %d after conflicts", s.Revision())
	}
	same(t, "list", list(t, s, "", store.ListOptions{}), []string{"/a=1@1"})
}

// What was in the way can be read by the loser, also if it is a deletion.
func testConflictSeen(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0))
	apply(t, s, del("/a", 1))
	var conflict *store.ConflictError
	if _, err := s.Apply(t.Context(), put("/a", "2", 1)); !errors.As(err, &conflict) || conflict.Current != 0 {
		t.Errorf("update of what is deleted: %v", err)
	}
	same(t, "events", events(t, s, 1, 0), []string{"-/a@2"})
}

func testCatchUp(t *testing.T, s store.Store) {
	if err := s.CatchUp(t.Context()); err != nil {
		t.Errorf("in an empty store: %v", err)
	}
	apply(t, s, put("/a", "1", 0))
	apply(t, s, del("/x", store.AnyRevision), del("/y", 0)) // no change
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			if err := s.CatchUp(t.Context()); err != nil || s.Revision() != 1 {
				t.Errorf("at revision %d: %v", s.Revision(), err)
			}
		})
	}
	readers.Wait()
	apply(t, s, del("/x", store.AnyRevision), del("/a", store.AnyRevision))
	if err := s.CatchUp(t.Context()); err != nil || s.Revision() != 2 {
		t.Errorf("after a deletion at revision %d: %v", s.Revision(), err)
	}
	if err := s.CatchUp(expired(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}

func testNoChange(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0))
	for _, writes := range [][]store.Write{nil, {del("/x", 0)}, {del("/x", store.AnyRevision)}} {
		if got := apply(t, s, writes...); got != 1 {
			t.Errorf("%v: revision %d", writes, got)
		}
	}
	if got := apply(t, s, del("/x", 0), put("/b", "1", 0)); got != 2 {
		t.Errorf("revision %d", got)
	}
	same(t, "events", events(t, s, 0, 0), []string{"/a=1@1", "/b=1@2"})
}

func testMalformed(t *testing.T, s store.Store) {
	for _, writes := range [][]store.Write{
		{put("", "1", 0)},
		{put("a", "1", 0)},
		{put("/a", "1", -2)},
		{put("/a", "1", 0), put("/b", "1", 0), del("/a", store.AnyRevision)},
	} {
		if _, err := s.Apply(t.Context(), writes...); err == nil {
			t.Errorf("%v: no error", writes)
		}
	}
	if s.Revision() != 0 {
		t.Errorf("revision %d", s.Revision())
	}
}

func testList(t *testing.T, s store.Store) {
	for _, key := range []string{"/p/b", "/p/a", "/q/a", "/p/ab", "/p", "/o/z"} {
		apply(t, s, put(key, "v", 0))
	}
	same(t, "prefix", list(t, s, "/p/", store.ListOptions{}), []string{"/p/a=v@2", "/p/ab=v@4", "/p/b=v@1"})
	same(t, "limit", list(t, s, "/p/", store.ListOptions{Limit: 2}), []string{"/p/a=v@2", "/p/ab=v@4", "more"})
	same(t, "limit that is just enough", list(t, s, "/p/", store.ListOptions{Limit: 3}), []string{"/p/a=v@2", "/p/ab=v@4", "/p/b=v@1"})
	same(t, "after", list(t, s, "/p/", store.ListOptions{After: "/p/a"}), []string{"/p/ab=v@4", "/p/b=v@1"})
	same(t, "after a key that is not there", list(t, s, "/p/", store.ListOptions{After: "/p/aa"}), []string{"/p/ab=v@4", "/p/b=v@1"})
	same(t, "after the last", list(t, s, "/p/", store.ListOptions{After: "/p/b"}), []string{})
	same(t, "after what lies before the prefix", list(t, s, "/p/", store.ListOptions{After: "/a", Limit: 1}), []string{"/p/a=v@2", "more"})
	same(t, "nothing under the prefix", list(t, s, "/x/", store.ListOptions{}), []string{})
}

func testListAt(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0), put("/b", "1", 0)) // 1
	apply(t, s, put("/a", "2", 1))                    // 2
	apply(t, s, del("/b", 1), put("/c", "3", 0))      // 3
	apply(t, s, put("/b", "4", 0))                    // 4
	for at, want := range map[int64][]string{
		1: {"/a=1@1", "/b=1@1"},
		2: {"/a=2@2", "/b=1@1"},
		3: {"/a=2@2", "/c=3@3"},
		4: {"/a=2@2", "/b=4@4", "/c=3@3"},
		0: {"/a=2@2", "/b=4@4", "/c=3@3"},
	} {
		same(t, fmt.Sprintf("list at %d", at), list(t, s, "/", store.ListOptions{At: at}), want)
	}
	same(t, "page at 2", list(t, s, "/", store.ListOptions{At: 2, After: "/a", Limit: 1}), []string{"/b=1@1"})
	same(t, "page at 1", list(t, s, "/", store.ListOptions{At: 1, Limit: 1}), []string{"/a=1@1", "more"})
	l, err := s.List(t.Context(), "/", store.ListOptions{At: 2})
	if err != nil || l.Revision != 2 {
		t.Errorf("list at 2 says revision %d, %v", l.Revision, err)
	}
	_, err = s.List(t.Context(), "/", store.ListOptions{At: 5})
	wantErr(t, "list at a revision to come", err, store.ErrFuture)
}

func testEvents(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0), put("/b", "1", 0), put("/c", "1", 0))
	apply(t, s, put("/a", "2", 1), del("/b", 1))
	apply(t, s, put("/a", "3", 2))
	all := []string{"/a=1@1", "/b=1@1", "/c=1@1", "/a=2@2", "-/b@2", "/a=3@3"}
	same(t, "all", events(t, s, 0, 0), all)
	same(t, "one at least", events(t, s, 0, 1), all[:3])
	same(t, "up to the limit", events(t, s, 1, 2), all[3:5])
	same(t, "after the first", events(t, s, 1, 100), all[3:])
	same(t, "after the last", events(t, s, 3, 100), []string{})
	same(t, "after what is to come", events(t, s, 9, 100), []string{})
}

func testHint(t *testing.T, s store.Store) {
	type object struct{ name string }
	hint := &object{"a"}
	apply(t, s, store.Write{Key: "/a", Value: []byte("1"), Hint: hint})
	e, err := s.Events(t.Context(), 0, 0)
	if err != nil || len(e) != 1 || e[0].Hint != any(hint) {
		t.Errorf("got %+v, %v", e, err)
	}
}

func testWait(t *testing.T, s store.Store) {
	if err := s.Wait(expired(t), 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait with nothing there: %v", err)
	}
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- s.Wait(t.Context(), 0) }()
	}
	apply(t, s, put("/a", "1", 0))
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("wait: %v", err)
		}
	}
	if err := s.Wait(t.Context(), 0); err != nil {
		t.Errorf("wait for what is there: %v", err)
	}
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	t.Cleanup(cancel)
	return ctx
}

func testSize(t *testing.T, s store.Store) {
	apply(t, s, put("/pods/a/x", "value", 0))
	if size, err := s.Size(t.Context()); err != nil || size < int64(len("value")) {
		t.Errorf("size is %d, %v", size, err)
	}
}

func testCompact(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0))
	apply(t, s, put("/a", "2", 1), put("/b", "2", 0))
	apply(t, s, del("/b", 2))
	apply(t, s, put("/a", "4", 2))
	if err := s.Compact(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(t.Context(), 2); err != nil {
		t.Errorf("compacting to less again: %v", err)
	}
	_, err := s.List(t.Context(), "/", store.ListOptions{At: 2})
	wantErr(t, "list", err, store.ErrCompacted)
	_, err = s.Events(t.Context(), 2, 0)
	wantErr(t, "events", err, store.ErrCompacted)
	same(t, "list at the compacted revision", list(t, s, "/", store.ListOptions{At: 3}), []string{"/a=2@2"})
	same(t, "newest list", list(t, s, "/", store.ListOptions{}), []string{"/a=4@4"})
	same(t, "events after the compacted revision", events(t, s, 3, 0), []string{"/a=4@4"})
	wantErr(t, "compact to a revision to come", s.Compact(t.Context(), 9), store.ErrFuture)
	if got := apply(t, s, put("/b", "5", 0)); got != 5 {
		t.Errorf("revision %d after compaction", got)
	}
	if err := s.Compact(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	same(t, "list after compacting everything", list(t, s, "/", store.ListOptions{}), []string{"/a=4@4", "/b=5@5"})
}

func testClose(t *testing.T, s store.Store) {
	apply(t, s, put("/a", "1", 0))
	waiting := make(chan error, 1)
	go func() { waiting <- s.Wait(t.Context(), 1) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "waiter", <-waiting, store.ErrClosed)
	wantErr(t, "wait", s.Wait(t.Context(), 1), store.ErrClosed)
	_, err := s.Apply(t.Context(), put("/b", "1", 0))
	wantErr(t, "apply", err, store.ErrClosed)
	_, err = s.Get(t.Context(), "/a")
	wantErr(t, "get", err, store.ErrClosed)
	_, err = s.List(t.Context(), "/", store.ListOptions{})
	wantErr(t, "list", err, store.ErrClosed)
	_, err = s.Events(t.Context(), 0, 0)
	wantErr(t, "events", err, store.ErrClosed)
	wantErr(t, "compact", s.Compact(t.Context(), 1), store.ErrClosed)
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func testCancelled(t *testing.T, s store.Store) {
	if _, err := s.Apply(expired(t), put("/a", "1", 0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if s.Revision() != 0 {
		t.Errorf("revision %d", s.Revision())
	}
}

func testCounters(t *testing.T, s store.Store) {
	const writers, each = 8, 20
	apply(t, s, put("/n", "0", 0))
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for done := 0; done < each; {
				r, err := s.Get(t.Context(), "/n")
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				fmt.Sscan(string(r.Value), &n)
				_, err = s.Apply(t.Context(), put("/n", fmt.Sprint(n+1), r.Revision))
				var conflict *store.ConflictError
				switch {
				case err == nil:
					done++
				case !errors.As(err, &conflict):
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	r, err := s.Get(t.Context(), "/n")
	if err != nil || string(r.Value) != fmt.Sprint(writers*each) {
		t.Errorf("got %s, %v", r.Value, err)
	}
	if got, want := s.Revision(), int64(1+writers*each); got != want {
		t.Errorf("revision %d, want %d: a conflict took one", got, want)
	}
}

func testManyWriters(t *testing.T, s store.Store) {
	const writers, each = 8, 25
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				key := fmt.Sprintf("/%d/%d", w, i)
				revision, err := s.Apply(t.Context(), put(key, "v", 0))
				if err != nil {
					t.Error(err)
					return
				}
				// An acknowledged write is seen by all that follows.
				if r, err := s.Get(t.Context(), key); err != nil || r.Revision != revision || s.Revision() < revision {
					t.Errorf("%s: wrote revision %d, got %d, store at %d, %v", key, revision, r.Revision, s.Revision(), err)
				}
			}
		})
	}
	var got []store.Event
	for at := int64(0); at < writers*each; {
		if err := s.Wait(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		more, err := s.Events(t.Context(), at, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(more) == 0 {
			t.Fatalf("no events after %d though Wait returned", at)
		}
		got = append(got, more...)
		at = more[len(more)-1].Revision
	}
	group.Wait()
	keys := make(map[string]bool)
	for i, e := range got {
		keys[e.Key] = true
		if e.Revision != int64(i+1) {
			t.Fatalf("event %d has revision %d", i, e.Revision)
		}
	}
	if len(keys) != writers*each {
		t.Errorf("%d keys of %d", len(keys), writers*each)
	}
	if !slices.IsSortedFunc(got, func(a, b store.Event) int { return int(a.Revision - b.Revision) }) {
		t.Error("events out of order")
	}
}
