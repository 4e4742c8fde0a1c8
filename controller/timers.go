package controller

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// timer wakes an item: when its plan asked for it, or when its back-off is over. An item has at most one.
type timer struct {
	at    time.Time
	seq   uint64 // ties are broken by age
	item  *item
	index int // in the heap
}

type timers []*timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	if !t[i].at.Equal(t[j].at) {
		return t[i].at.Before(t[j].at)
	}
	return t[i].seq < t[j].seq
}
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}
func (t *timers) Push(x any) {
	x.(*timer).index = len(*t)
	*t = append(*t, x.(*timer))
}
func (t *timers) Pop() any {
	old := *t
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return last
}

// arm sets the item's timer to the earliest time that it waits for, or takes it away.
func (l *Loop) arm(it *item) {
	at := it.wakeAt
	if it.dirty && !it.notBefore.IsZero() && (at.IsZero() || it.notBefore.Before(at)) {
		at = it.notBefore
	}
	switch {
	case at.IsZero():
		if it.timer != nil {
			heap.Remove(&l.timers, it.timer.index)
			it.timer = nil
		}
	case it.timer == nil:
		l.seq++
		it.timer = &timer{at: at, seq: l.seq, item: it}
		heap.Push(&l.timers, it.timer)
	case !it.timer.at.Equal(at):
		l.seq++
		it.timer.at, it.timer.seq = at, l.seq
		heap.Fix(&l.timers, it.timer.index)
	}
}

// fire queues the items whose time has come.
func (l *Loop) fire(now time.Time) {
	for len(l.timers) > 0 && !l.timers[0].at.After(now) {
		it := heap.Pop(&l.timers).(*timer).item
		it.timer = nil
		if !it.wakeAt.After(now) {
			it.wakeAt = time.Time{}
		}
		if !it.notBefore.After(now) {
			it.notBefore, it.lift = time.Time{}, 0
		}
		if i := slices.Index(l.fenced, it); i >= 0 && !l.blind(it) {
			l.fenced = slices.Delete(l.fenced, i, i+1)
			l.ready = append(l.ready, it)
		}
		l.queue(it, now)
		l.arm(it)
	}
}

// sorted returns all items in a fixed order.
func (l *Loop) sorted() []*item {
	all := make([]*item, 0, len(l.items))
	for _, it := range l.items {
		all = append(all, it)
	}
	slices.SortFunc(all, func(a, b *item) int {
		return cmp.Or(cmp.Compare(a.controller, b.controller), cmp.Compare(a.key.Kind, b.key.Kind),
			cmp.Compare(a.key.Namespace, b.key.Namespace), cmp.Compare(a.key.Name, b.key.Name))
	})
	return all
}
