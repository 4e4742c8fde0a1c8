package controller

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

func at(ms int) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(ms) * time.Millisecond)
}

// bench is a loop over a world of ConfigMaps, with a controller whose decisions the test gives.
type bench struct {
	*testing.T
	loop  *Loop
	world view.World
	next  func(key view.Key, mem any) (plan.Plan, any)
	told  []plan.Failure
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, next: func(view.Key, any) (plan.Plan, any) { return plan.Plan{}, nil }}
	b.loop = NewLoop([]plan.Controller{{
		Name:    "test",
		Watches: []plan.Watch{{Kind: kind.ConfigMaps, Keys: plan.Self}},
		Decide: func(_ *view.Snapshot, key view.Key, _ time.Time, mem any) (plan.Plan, any) {
			return b.next(key, mem)
		},
		Failed: func(mem any, f plan.Failure) any { b.told = append(b.told, f); return "failed" },
	}})
	return b
}

// put writes an object, of the next revision, and shows it to the loop.
func (b *bench) put(name string) view.Key {
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	revision := b.world.Revision() + 1
	old := b.world.Put(kind.ConfigMaps, obj, revision)
	key := view.KeyOf(kind.ConfigMaps, obj)
	b.loop.Offer([]view.Change{{Key: key, Old: old, New: obj, Revision: revision}}, b.world.Snapshot(), at(0))
	return key
}

// due takes the next task, which must be there.
func (b *bench) due(now time.Time) Task {
	b.Helper()
	t, ok := b.loop.Next(now)
	if !ok {
		b.Fatal("nothing is due")
	}
	return t
}

func (b *bench) idle(now time.Time) {
	b.Helper()
	if t, ok := b.loop.Next(now); ok {
		b.Fatalf("%s is due", t.Key)
	}
}

func (b *bench) done(t Task, o Outcome, now time.Time) { b.loop.Done(t, o, now) }

func TestChangeWakesItsKeyOnce(t *testing.T) {
	b := newBench(t)
	b.put("a")
	b.put("a")
	b.done(b.due(at(0)), Outcome{}, at(0))
	b.idle(at(0))
}

func TestKeyInFlightIsDecidedAgainAfterwards(t *testing.T) {
	b := newBench(t)
	b.put("a")
	task := b.due(at(0))
	b.put("a")
	b.idle(at(0))
	b.done(task, Outcome{}, at(0))
	b.due(at(0))
}

func TestKeyWaitsForItsOwnWrite(t *testing.T) {
	b := newBench(t)
	b.put("a") // revision 1
	task := b.due(at(0))
	b.put("a")                                // revision 2
	b.done(task, Outcome{Revision: 4}, at(0)) // wrote revision 4
	b.idle(at(0))                             // the view is at 2
	b.put("b")                                // 3
	b.done(b.due(at(0)), Outcome{}, at(0))    // b is not held up
	b.idle(at(0))                             //
	key := b.put("a")                         // 4
	if got := b.due(at(0)).Key; got != key {
		t.Errorf("%s is due", got)
	}
}

func TestUnknownDeletionWaitsUntilItIsSeen(t *testing.T) {
	b := newBench(t)
	key := b.put("a")
	b.world.Snapshot().Get(key).(*corev1.ConfigMap).UID = "uid"
	task := b.due(at(0))
	o := Outcome{Failed: plan.Delete{Key: key}, Err: errors.New("timeout"), Gone: Gone{key, "uid"}}
	b.done(task, o, at(0))
	b.idle(at(5)) // the back-off is over, but the view still has it
	old := b.world.Remove(kind.ConfigMaps, "ns", "a", 2)
	b.loop.Offer([]view.Change{{Key: key, Old: old, Revision: 2}}, b.world.Snapshot(), at(0))
	b.due(at(6))
}

func TestFailureBacksOff(t *testing.T) {
	b := newBench(t)
	b.put("a")
	failed := Outcome{Failed: plan.Create{}, Err: errors.New("no")}
	b.done(b.due(at(0)), failed, at(0))
	b.idle(at(4))
	b.put("a") // a change does not shorten the back-off
	b.idle(at(4))
	task := b.due(at(5))
	if task.mem != "failed" || len(b.told) != 1 {
		t.Errorf("the controller was not told: mem %v, told %v", task.mem, b.told)
	}
	b.done(task, failed, at(5))
	b.idle(at(14))
	b.done(b.due(at(15)), Outcome{}, at(15))
	b.put("a")
	b.done(b.due(at(15)), failed, at(15)) // a success forgets the failures
	b.due(at(20))
}

func TestBackOffEndsAtAMinute(t *testing.T) {
	if got := backOff(1); got != 5*time.Millisecond {
		t.Errorf("first %v", got)
	}
	for n := 1; n < 100; n++ {
		if got := backOff(n); got <= 0 || got > time.Minute {
			t.Errorf("back-off %d is %v", n, got)
		}
	}
}

func TestConflictIsTriedAgainOnANewerView(t *testing.T) {
	conflict := Outcome{Failed: plan.Update{}, Err: apierrors.NewConflict(schema.GroupResource{}, "a", nil)}
	b := newBench(t)
	b.put("a")
	b.done(b.due(at(0)), conflict, at(0))
	b.idle(at(4))
	b.put("b") // any newer view will do
	b.done(b.due(at(4)), Outcome{}, at(4))
	b.due(at(4))
	if len(b.told) != 0 {
		t.Error("a conflict is no failure to report")
	}
}

func TestConflictIsTriedAgainAfterABackOffOtherwise(t *testing.T) {
	conflict := Outcome{Failed: plan.Update{}, Err: apierrors.NewConflict(schema.GroupResource{}, "a", nil)}
	b := newBench(t)
	b.put("a")
	b.done(b.due(at(0)), conflict, at(0))
	b.idle(at(4))
	if wake, ok := b.loop.WakeAt(); !ok || !wake.Equal(at(5)) {
		t.Errorf("wakes at %v, %v", wake, ok)
	}
	b.due(at(5))
}

func TestPlanIsWokenByTime(t *testing.T) {
	b := newBench(t)
	b.put("a")
	b.done(b.due(at(0)), Outcome{Plan: plan.Plan{WakeAt: at(100)}}, at(0))
	b.idle(at(99))
	if wake, ok := b.loop.WakeAt(); !ok || !wake.Equal(at(100)) {
		t.Errorf("wakes at %v, %v", wake, ok)
	}
	b.done(b.due(at(100)), Outcome{}, at(100))
	if wake, ok := b.loop.WakeAt(); ok {
		t.Errorf("still wakes at %v", wake)
	}
}

func TestLaterPlanReplacesTheWakeUp(t *testing.T) {
	b := newBench(t)
	b.put("a")
	b.done(b.due(at(0)), Outcome{Plan: plan.Plan{WakeAt: at(100)}}, at(0))
	b.put("a")
	b.done(b.due(at(1)), Outcome{Plan: plan.Plan{WakeAt: at(200)}}, at(1))
	b.idle(at(150))
	b.due(at(200))
}

func TestLostHistoryWakesEverything(t *testing.T) {
	b := newBench(t)
	gone := b.put("gone")
	b.done(b.due(at(0)), Outcome{Mem: "something"}, at(0))
	b.put("kept")
	b.done(b.due(at(0)), Outcome{}, at(0))
	b.world.Remove(kind.ConfigMaps, "ns", "gone", 10)
	b.loop.Reset(b.world.Snapshot(), at(0))
	woken := map[view.Key]bool{b.due(at(0)).Key: true, b.due(at(0)).Key: true}
	if !woken[gone] || len(woken) != 2 {
		t.Errorf("woken: %v", woken)
	}
}

func TestNothingIsKeptOfWhatIsGone(t *testing.T) {
	b := newBench(t)
	key := b.put("a")
	b.done(b.due(at(0)), Outcome{}, at(0))
	old := b.world.Remove(kind.ConfigMaps, "ns", "a", 5)
	b.loop.Offer([]view.Change{{Key: key, Old: old, Revision: 5}}, b.world.Snapshot(), at(0))
	b.done(b.due(at(0)), Outcome{}, at(0))
	if len(b.loop.items) != 0 {
		t.Errorf("%d items are kept", len(b.loop.items))
	}
}

func TestEventsTellWhatWasDone(t *testing.T) {
	b := newBench(t)
	key := b.put("a")
	task := b.due(at(0))
	var p plan.Plan
	p.Say(plan.Reason{About: key, EventReason: "Always"}, plan.Reason{About: key, Message: "no event"})
	p.Do(plan.Create{}, plan.Reason{About: key, EventReason: "First"})
	p.Do(plan.Create{}, plan.Reason{About: key, EventReason: "Second"})
	got := Events(task, Outcome{Plan: p, Carried: 1})
	if len(got) != 2 || got[0].Reason != "Always" || got[1].Reason != "First" || got[1].Component != "test" {
		t.Errorf("events are %+v", got)
	}
}

func TestExplainSaysWhatIsWaitedFor(t *testing.T) {
	b := newBench(t)
	key := b.put("a")
	var p plan.Plan
	p.Say(plan.Reason{About: key, Waiting: true, Message: "waiting for b"})
	b.done(b.due(at(0)), Outcome{Plan: p}, at(7))
	got := b.loop.Explain(key)
	if len(got) != 1 || got[0].Controller != "test" || !got[0].At.Equal(at(7)) || got[0].Reasons[0].Message != "waiting for b" {
		t.Errorf("reports are %+v", got)
	}
}
