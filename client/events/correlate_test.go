package events

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sampan/kind"
	"sampan/view"
)

func at(d time.Duration) time.Time { return time.Unix(1_800_000_000, 0).Add(d) }

func event(name, message string) Event {
	return Event{
		About: view.Key{Kind: kind.Pods, Namespace: "default", Name: name}, UID: "uid",
		Component: "test", Reason: "Testing", Message: message,
	}
}

func TestSameEventRaisesTheCount(t *testing.T) {
	var c Correlator
	first, _ := c.Observe(event("web", "hello"), at(0))
	again, ok := c.Observe(event("web", "hello"), at(time.Minute))
	if !ok || again.Name != first.Name || again.Count != 2 || !again.First.Equal(at(0)) || !again.Last.Equal(at(time.Minute)) {
		t.Errorf("got %+v", again)
	}
	other, _ := c.Observe(event("db", "hello"), at(time.Minute))
	if other.Count != 1 || other.Name == first.Name {
		t.Errorf("another object's event is %+v", other)
	}
}

func TestNameIsTheObjectsAndSixteenDigits(t *testing.T) {
	var c Correlator
	w, _ := c.Observe(event("web", "hello"), at(0))
	if rest, ok := strings.CutPrefix(w.Name, "web."); !ok || len(rest) != 16 {
		t.Errorf("name is %s", w.Name)
	}
}

func TestTenthSimilarEventIsCombined(t *testing.T) {
	var c Correlator
	for i := range 9 {
		if w, _ := c.Observe(event("web", fmt.Sprint("message ", i)), at(0)); w.Count != 1 {
			t.Fatalf("message %d has count %d", i, w.Count)
		}
	}
	ninth, _ := c.Observe(event("web", "message 9"), at(0))
	tenth, _ := c.Observe(event("web", "message 10"), at(0))
	if ninth.Name != tenth.Name || tenth.Count != 2 || tenth.Event.Message != combinedPrefix+"message 10" {
		t.Errorf("got %+v after %+v", tenth, ninth)
	}
	later, _ := c.Observe(event("web", "message 11"), at(11*time.Minute))
	if later.Event.Message != "message 11" {
		t.Errorf("after ten quiet minutes the message is %q", later.Event.Message)
	}
}

func TestOneObjectCannotFlood(t *testing.T) {
	var c Correlator
	written := 0
	for range 1000 {
		if _, ok := c.Observe(event("web", "hello"), at(0)); ok {
			written++
		}
	}
	if written != burst {
		t.Errorf("%d of 1000 were written at once", written)
	}
	w, ok := c.Observe(event("web", "hello"), at(refill))
	if !ok || w.Count != 1001 {
		t.Errorf("after five minutes: written %v, count %d", ok, w.Count)
	}
	if _, ok := c.Observe(event("db", "hello"), at(0)); !ok {
		t.Error("another object's events are held up")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m memory[int, int]
	for i := range keysMax + 10 {
		m.set(i, i)
	}
	if _, ok := m.get(9); ok || len(m.byKey) != keysMax {
		t.Errorf("%d keys are kept, the oldest too: %v", len(m.byKey), ok)
	}
	if v, ok := m.get(keysMax); !ok || v != keysMax {
		t.Error("a young key is gone")
	}
}
