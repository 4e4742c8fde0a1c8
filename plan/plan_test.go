package plan

import (
	"testing"
	"time"

	"sampan/view"
)

func TestZeroMemIsForgotten(t *testing.T) {
	count := Define("test", nil,
		func(*view.Snapshot, view.Key, time.Time) int { return 0 },
		func(_ int, mem int) (Plan, int) { return Plan{}, (mem + 1) % 2 })
	_, first := count.Decide(nil, view.Key{}, time.Time{}, nil)
	if first != any(1) {
		t.Errorf("the first decision leaves %v", first)
	}
	if _, second := count.Decide(nil, view.Key{}, time.Time{}, first); second != nil {
		t.Errorf("the second decision leaves %v", second)
	}
}

func TestReasonsOfAnActionHoldAfterIt(t *testing.T) {
	var p Plan
	p.Do(Bind{})
	p.Do(Bind{}, Reason{Message: "bound"})
	p.Say(Reason{Message: "waiting"})
	if p.Reasons[0].After != 2 || p.Reasons[1].After != 0 {
		t.Errorf("reasons are %+v", p.Reasons)
	}
}

func TestEarliestWakeUpWins(t *testing.T) {
	var p Plan
	at := time.Unix(100, 0)
	p.Wake(time.Time{})
	p.Wake(at.Add(time.Second))
	p.Wake(at)
	p.Wake(at.Add(time.Minute))
	if !p.WakeAt.Equal(at) {
		t.Errorf("wakes at %v", p.WakeAt)
	}
}
