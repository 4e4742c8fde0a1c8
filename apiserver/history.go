package apiserver

import (
	"slices"
	"sort"
	"sync/atomic"
	"time"

	"sampan/view"
)

// A history keeps the newest changes: always those of the last minute up to historyMax, so that a burst does not
// outrun its watchers, and historyMin whatever their age.
const (
	historyMin = 1024
	historyMax = 32768
	historyAge = time.Minute
)

// history is the newest changes, oldest first. Its fields are guarded by the cache's lock; waiting is not.
type history struct {
	changes []view.Change // only appended to and cut at the front, so parts of it may be handed out
	times   []time.Time   // when they were published
	floor   int64         // every change after this revision is here
	last    int64         // the revision of the last change

	woken atomic.Pointer[chan struct{}] // closed by the next wake; nil when nobody waits
}

func newHistory(floor int64) *history { return &history{floor: floor, last: floor} }

func (h *history) append(c view.Change, now time.Time) {
	h.changes, h.times = append(h.changes, c), append(h.times, now)
	h.last = c.Revision
	h.trim(now)
}

// trim forgets what is too old or too much.
func (h *history) trim(now time.Time) {
	drop := 0
	for n := len(h.changes); n-drop > historyMin; drop++ {
		if n-drop <= historyMax && now.Sub(h.times[drop]) <= historyAge {
			break
		}
	}
	if drop == 0 {
		return
	}
	h.floor = h.changes[drop-1].Revision
	h.changes, h.times = h.changes[drop:], h.times[drop:]
	// The array keeps what was cut off alive until append grows a new one, which copies only what is left. After
	// a burst that may be never, so what is left moves to a small array at once.
	if drop > len(h.changes) {
		h.changes, h.times = slices.Clone(h.changes), slices.Clone(h.times)
	}
}

// since returns the changes after a revision; ok is false when some are forgotten.
func (h *history) since(after int64) ([]view.Change, bool) {
	if after < h.floor {
		return nil, false
	}
	if after >= h.last {
		return nil, true
	}
	i := sort.Search(len(h.changes), func(i int) bool { return h.changes[i].Revision > after })
	return h.changes[i:len(h.changes):len(h.changes)], true
}

// waiter returns a channel that the next wake closes. Call it with the cache's lock held for reading, before
// looking at last again.
func (h *history) waiter() <-chan struct{} {
	for {
		if p := h.woken.Load(); p != nil {
			return *p
		}
		ch := make(chan struct{})
		if h.woken.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

func (h *history) wake() {
	if p := h.woken.Swap(nil); p != nil {
		close(*p)
	}
}
