package controller

import (
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// Loop is the state of all controllers' queues. It has no goroutine and no clock; it belongs to one
// goroutine or one lock. A round is [Loop.Offer], then for each task of [Loop.Next]: [Task.Decide],
// [Carry], [Loop.Done]. Tasks of different keys may be decided and carried out at the same time.
type Loop struct {
	controllers []plan.Controller
	watchers    map[kind.ID][]watcher
	snap        *view.Snapshot

	items  map[itemKey]*item
	ready  []*item // in the order of their wakes
	fenced []*item // due, but the view is not new enough
	flying []*item // in flight
	timers timers
	seq    uint64
	counts []counts // of each controller
}

// counts is what has happened to the keys of a controller.
type counts struct{ adds, retries int64 }

type watcher struct {
	controller int
	keys       func(*view.Snapshot, view.Change) []view.Key
}

type itemKey struct {
	controller int
	key        view.Key
}

// item is one key of one controller. It is in at most one of ready, fenced and "in flight"; when it is due
// but backs off, it is in none of them and its timer brings it back.
type item struct {
	itemKey
	dirty    bool // must be decided
	queued   bool // is in ready or fenced
	inFlight bool
	due      time.Time // since when it is dirty; of one that backs off, when that is over
	began    time.Time // when the task in flight was given out

	fence     int64     // not before the view is here
	gone      Gone      // not before the view shows that this is gone
	notBefore time.Time // not before this time (back-off) ...
	lift      int64     // ... unless the view is here; 0: nothing lifts it
	failures  int       // in a row
	wakeAt    time.Time // as the last plan asked
	mem       any

	timer *timer
	last  *Report
}

// Task is one key that must be decided now.
type Task struct {
	Controller string
	Key        view.Key
	Waited     time.Duration // since the key became due

	controller *plan.Controller
	item       *item
	snap       *view.Snapshot
	mem        any
}

// Snapshot returns the view that the decision is taken on.
func (t Task) Snapshot() *view.Snapshot { return t.snap }

// Decide takes the decision. It is pure.
func (t Task) Decide(now time.Time) (plan.Plan, any) {
	return t.controller.Decide(t.snap, t.Key, now, t.mem)
}

// NewLoop makes a loop over an empty view.
func NewLoop(controllers []plan.Controller) *Loop {
	l := &Loop{
		controllers: controllers,
		watchers:    make(map[kind.ID][]watcher),
		snap:        new(view.Snapshot),
		items:       make(map[itemKey]*item),
		counts:      make([]counts, len(controllers)),
	}
	for i, c := range controllers {
		for _, w := range c.Watches {
			l.watchers[w.Kind] = append(l.watchers[w.Kind], watcher{i, w.Keys})
		}
	}
	return l
}

// Revision returns the revision of the view that the loop decides on.
func (l *Loop) Revision() int64 { return l.snap.Revision() }

// Offer moves the loop's view to snap, and wakes what the changes between the two views concern.
func (l *Loop) Offer(changes []view.Change, snap *view.Snapshot, now time.Time) {
	l.snap = snap
	for _, c := range changes {
		l.wake(c, now)
	}
	l.unfence()
}

// Reset moves the loop's view to snap without knowing what changed: every watched object wakes its keys,
// and so do the keys known so far. The first view is given to a loop this way.
func (l *Loop) Reset(snap *view.Snapshot, now time.Time) {
	l.snap = snap
	for i := range l.controllers {
		for _, w := range l.controllers[i].Watches {
			for obj := range snap.All(w.Kind, "") {
				c := view.Change{Key: view.KeyOf(w.Kind, obj), New: obj, Revision: snap.Revision()}
				for _, k := range w.Keys(snap, c) {
					l.mark(itemKey{i, k}, now)
				}
			}
		}
	}
	// A known key whose objects are gone is woken too; the order of a map must not show.
	for _, it := range l.sorted() {
		l.queue(it, now)
	}
	l.unfence()
}

func (l *Loop) wake(c view.Change, now time.Time) {
	for _, w := range l.watchers[c.Key.Kind] {
		for _, k := range w.keys(l.snap, c) {
			l.mark(itemKey{w.controller, k}, now)
		}
	}
}

func (l *Loop) mark(k itemKey, now time.Time) {
	it := l.items[k]
	if it == nil {
		it = &item{itemKey: k}
		l.items[k] = it
	}
	l.queue(it, now)
}

// queue makes an item due.
func (l *Loop) queue(it *item, now time.Time) {
	if !it.dirty {
		it.dirty, it.due = true, now
		l.counts[it.controller].adds++
	}
	if !it.queued && !it.inFlight {
		it.queued = true
		l.ready = append(l.ready, it)
	}
}

// unfence lets the items through whose fence the view has reached.
func (l *Loop) unfence() {
	kept := l.fenced[:0]
	for _, it := range l.fenced {
		if !l.blind(it) && it.lift <= l.snap.Revision() {
			l.ready = append(l.ready, it)
		} else {
			kept = append(kept, it)
		}
	}
	clear(l.fenced[len(kept):])
	l.fenced = kept
}

// blind reports whether the view lacks writes of the item's own.
func (l *Loop) blind(it *item) bool {
	if it.fence > l.snap.Revision() {
		return true
	}
	if it.gone.UID == "" {
		return false
	}
	obj := l.snap.Get(it.gone.Key)
	return obj != nil && obj.GetUID() == it.gone.UID
}

// Next returns a key that must be decided now, if there is one. It must be given to [Loop.Done].
func (l *Loop) Next(now time.Time) (Task, bool) {
	l.fire(now)
	for len(l.ready) > 0 {
		it := l.ready[0]
		l.ready[0] = nil
		l.ready = l.ready[1:]
		rev := l.snap.Revision()
		backsOff := it.notBefore.After(now) && (it.lift == 0 || it.lift > rev)
		switch {
		case l.blind(it), backsOff && it.lift != 0:
			l.fenced = append(l.fenced, it)
			continue
		case backsOff:
			it.queued = false
			continue
		}
		it.queued, it.dirty, it.inFlight, it.began = false, false, true, now
		l.flying = append(l.flying, it)
		c := &l.controllers[it.controller]
		return Task{Controller: c.Name, Key: it.key, Waited: max(0, now.Sub(it.due)), controller: c, item: it, snap: l.snap, mem: it.mem}, true
	}
	l.ready = nil
	return Task{}, false
}

// Done notes what became of a task.
func (l *Loop) Done(t Task, o Outcome, now time.Time) {
	it := t.item
	it.inFlight = false
	n := slices.Index(l.flying, it)
	l.flying = slices.Delete(l.flying, n, n+1)
	it.mem = o.Mem
	it.wakeAt = o.Plan.WakeAt
	it.fence = max(it.fence, o.Revision)
	it.gone = o.Gone
	it.last = report(t, o, now)
	if o.Err == nil {
		it.failures, it.notBefore, it.lift = 0, time.Time{}, 0
	} else {
		l.fail(t, o, now)
	}
	l.arm(it)
	switch {
	case it.dirty:
		it.queued = true
		l.ready = append(l.ready, it)
	case it.mem == nil && it.wakeAt.IsZero() && !l.blind(it) && (it.last == nil || t.snap.Get(it.key) == nil):
		delete(l.items, it.itemKey) // nothing is left to know about it
	}
}

// fail arranges the next decision after a failed plan.
func (l *Loop) fail(t Task, o Outcome, now time.Time) {
	it := t.item
	it.failures++
	it.notBefore = now.Add(backOff(it.failures))
	l.counts[it.controller].retries++
	if !it.dirty {
		it.dirty = true
		l.counts[it.controller].adds++
	}
	it.due = it.notBefore
	it.lift = 0
	_, create := o.Failed.(plan.Create)
	if apierrors.IsConflict(o.Err) || apierrors.IsNotFound(o.Err) && !create {
		// The API server knows something newer than the view: a newer view is reason enough to try again,
		// and if none comes the back-off is.
		it.lift = t.snap.Revision() + 1
		return
	}
	if f := t.controller.Failed; f != nil && o.Failed != nil {
		it.mem = f(it.mem, plan.Failure{Action: o.Failed, Err: o.Err})
	}
}

const (
	backOffMin = 5 * time.Millisecond
	backOffMax = time.Minute
)

// backOff returns how long to wait after the n-th failure in a row.
func backOff(n int) time.Duration {
	if n > 14 { // 5 ms * 2^14 is above a minute
		return backOffMax
	}
	return min(backOffMin<<(n-1), backOffMax)
}

// WakeAt returns the time at which Next must be called again although nothing changed; ok is false if there
// is none.
func (l *Loop) WakeAt() (at time.Time, ok bool) {
	if len(l.timers) == 0 {
		return time.Time{}, false
	}
	return l.timers[0].at, true
}

// Idle reports whether no key is due or in flight; keys may still wait for a time.
func (l *Loop) Idle() bool {
	return len(l.ready)+len(l.fenced)+len(l.flying) == 0
}
