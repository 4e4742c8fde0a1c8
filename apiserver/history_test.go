package apiserver

import (
	"testing"
	"time"

	"sampan/view"
)

func TestHistoryKeepsTheLastMinuteAndAFewMore(t *testing.T) {
	start := time.Unix(0, 0)
	h := newHistory(10)
	revision := int64(10)
	add := func(n int, at time.Time) {
		for range n {
			revision++
			h.append(view.Change{Revision: revision}, at)
		}
	}
	add(5000, start)
	if changes, ok := h.since(10); !ok || len(changes) != 5000 {
		t.Errorf("a burst is kept: %d changes, %v", len(changes), ok)
	}
	if _, ok := h.since(9); ok {
		t.Errorf("what was before the start is known")
	}
	add(1, start.Add(2*time.Minute))
	changes, ok := h.since(revision - historyMin)
	if !ok || len(changes) != historyMin {
		t.Errorf("the newest %d: %d changes, %v", historyMin, len(changes), ok)
	}
	if _, ok := h.since(revision - historyMin - 1); ok {
		t.Errorf("old changes are kept for ever")
	}
	if changes[0].Revision != revision-historyMin+1 || changes[len(changes)-1].Revision != revision {
		t.Errorf("changes from %d to %d", changes[0].Revision, changes[len(changes)-1].Revision)
	}
	add(2*historyMax, start.Add(2*time.Minute))
	if n := len(h.changes); n != historyMax {
		t.Errorf("%d changes are kept, want %d", n, historyMax)
	}
	if changes[0].Revision != revision-2*historyMax-historyMin+1 {
		t.Errorf("a part that was handed out has changed")
	}
	if changes, ok := h.since(revision); !ok || len(changes) != 0 {
		t.Errorf("nothing is new: %d, %v", len(changes), ok)
	}
}

func TestEncodedFormsAreMadeOnceAndBounded(t *testing.T) {
	e := newEncodings(64 << 10)
	obj := testObject("a", 1000)
	first, err := e.json(obj)
	if err != nil {
		t.Fatal(err)
	}
	if second, _ := e.json(obj); &first[0] != &second[0] {
		t.Errorf("the same object was encoded twice")
	}
	for range 1000 {
		if _, err := e.proto(testObject("b", 1000)); err != nil {
			t.Fatal(err)
		}
		e.json(obj) // in use: stays
	}
	if again, _ := e.json(obj); &first[0] != &again[0] {
		t.Errorf("what is in use was dropped")
	}
	size := 0
	for _, x := range e.young {
		size += len(x.proto) + len(x.json)
	}
	for _, x := range e.old {
		size += len(x.proto) + len(x.json)
	}
	if size > 64<<10 {
		t.Errorf("%d bytes are kept", size)
	}
	e.forget(obj)
	if third, _ := e.json(obj); &first[0] == &third[0] {
		t.Errorf("a forgotten form is still there")
	}
}

func TestHistoryGivesTheMemoryOfABurstBack(t *testing.T) {
	start := time.Unix(0, 0)
	h := newHistory(0)
	for revision := range int64(20000) {
		h.append(view.Change{Revision: revision + 1}, start)
	}
	h.trim(start.Add(2 * historyAge))
	if len(h.changes) != historyMin || cap(h.changes) > 2*historyMin || cap(h.times) > 2*historyMin {
		t.Errorf("%d changes and %d times are held for %d", cap(h.changes), cap(h.times), len(h.changes))
	}
	if changes, ok := h.since(20000 - historyMin); !ok || len(changes) != historyMin {
		t.Errorf("%d changes are left, %v", len(changes), ok)
	}
}
