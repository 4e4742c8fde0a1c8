package recent

import (
	"fmt"
	"testing"

	"sampan/store"
)

func event(revision int64, size int) store.Event {
	return store.Event{Key: "k", Value: make([]byte, size-1), Revision: revision}
}

func TestWindowStaysWithinItsLimits(t *testing.T) {
	for _, c := range []struct {
		name      string
		limits    Limits
		wantFirst int64 // the oldest revision that After(0…) can still tell of
	}{
		{"no limits", Limits{}, 1},
		{"events", Limits{Events: 10}, 91},
		{"bytes", Limits{Bytes: 550}, 96},
		{"both", Limits{Events: 10, Bytes: 550}, 96},
	} {
		l := New(0, c.limits)
		for r := int64(1); r <= 100; r++ {
			l.Append(r, []store.Event{event(r, 100)})
		}
		if _, ok := l.After(c.wantFirst-2, 0); ok && c.wantFirst > 1 {
			t.Errorf("%s: the window is too long", c.name)
		}
		got, ok := l.After(c.wantFirst-1, 0)
		if !ok || len(got) != int(101-c.wantFirst) || got[0].Revision != c.wantFirst {
			t.Errorf("%s: got %d events, %v", c.name, len(got), ok)
		}
		if cap(l.events) > 4*len(got)+64 {
			t.Errorf("%s: %d events are held for %d", c.name, cap(l.events), len(got))
		}
	}
}

func TestTransactionsAreDroppedWhole(t *testing.T) {
	l := New(0, Limits{Events: 3})
	l.Append(1, []store.Event{event(1, 1), event(1, 1)})
	l.Append(2, []store.Event{event(2, 1), event(2, 1)})
	if _, ok := l.After(0, 0); ok {
		t.Error("a transaction of which a half would be over the limit is still there")
	}
	if got, ok := l.After(1, 0); !ok || len(got) != 2 {
		t.Errorf("got %v, %v", got, ok)
	}
}

func TestReadersKeepWhatTheyWereGiven(t *testing.T) {
	l := New(0, Limits{Events: 4})
	l.Append(1, []store.Event{event(1, 1)})
	given, _ := l.After(0, 0)
	for r := int64(2); r < 100; r++ {
		l.Append(r, []store.Event{event(r, 1)})
	}
	if fmt.Sprint(given[0].Revision) != "1" || len(given) != 1 {
		t.Errorf("it became %+v", given)
	}
}

func TestHeldEventsStayWhateverTheLimits(t *testing.T) {
	l := New(0, Limits{Events: 2})
	l.Hold(3)
	for r := int64(1); r <= 8; r++ {
		l.Append(r, []store.Event{event(r, 1)})
	}
	if held, revision := l.Held(); len(held) != 5 || held[0].Revision != 4 || revision != 8 {
		t.Errorf("%d events are held, up to %d", len(held), revision)
	}
	if _, ok := l.After(2, 0); ok {
		t.Error("what need not be held is kept beyond the limits")
	}
	l.Hold(8)
	l.Append(9, []store.Event{event(9, 1)})
	if held, _ := l.Held(); len(held) != 1 || held[0].Revision != 9 {
		t.Errorf("%d events are held", len(held))
	}
	if got, ok := l.After(7, 0); !ok || len(got) != 2 {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := l.After(6, 0); ok {
		t.Error("what is no longer held is kept beyond the limits")
	}
}
