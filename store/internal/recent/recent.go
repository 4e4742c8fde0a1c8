// Package recent keeps the newest events of a store in memory and wakes those who wait for the next one.
//
// It is the part that the back ends of package store share. A [Log] is safe for concurrent use and has no
// goroutine. It holds a bounded window; a reader that falls out of the window reads from the back end.
package recent

import (
	"context"
	"math"
	"slices"
	"sort"
	"sync"

	"sampan/store"
)

// Limits bound the window. Zero means no bound.
type Limits struct {
	Events int
	Bytes  int // of keys and values
}

// Log is a window of the newest events.
type Log struct {
	limits Limits

	mu sync.Mutex // guards everything below
	// events is only ever appended to; a trim moves head and now and then copies the rest into a new array.
	// So the slices that After hands out stay valid without a copy.
	events   []store.Event
	head     int
	bytes    int           // of events[head:]
	floor    int64         // events after this revision are all here
	hold     int64         // events after this revision stay, whatever the limits say
	revision int64         // newest
	wake     chan struct{} // closed and replaced by each append while someone waits; nil when nobody does
	closed   error         // what waiters get once the store is closed, or has failed
}

// New returns a log of a store whose newest revision is revision.
func New(revision int64, limits Limits) *Log {
	return &Log{limits: limits, floor: revision, revision: revision, hold: math.MaxInt64}
}

// Hold keeps the events after a revision, until it is called with a later one. Without it, none are kept.
func (l *Log) Hold(revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = revision
}

// Held returns the events after the revision that Hold was called with, and the newest revision. The slice is
// read-only.
func (l *Log) Held() (events []store.Event, revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.after(l.hold), l.revision
}

// Append adds whole transactions, up to revision, and wakes the waiters.
func (l *Log) Append(revision int64, events []store.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, events...)
	for _, e := range events {
		l.bytes += len(e.Key) + len(e.Value)
	}
	l.revision = revision
	l.trim()
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// trim drops the oldest transactions, whole ones, until the window is within its limits.
func (l *Log) trim() {
	for l.head < len(l.events) && l.over() && l.events[l.head].Revision <= l.hold {
		l.dropFirst()
	}
	l.pack()
}

func (l *Log) over() bool {
	return l.limits.Events > 0 && len(l.events)-l.head > l.limits.Events ||
		l.limits.Bytes > 0 && l.bytes > l.limits.Bytes
}

func (l *Log) dropFirst() {
	l.floor = l.events[l.head].Revision
	for l.head < len(l.events) && l.events[l.head].Revision == l.floor {
		l.bytes -= len(l.events[l.head].Key) + len(l.events[l.head].Value)
		l.head++
	}
}

// pack lets go of the dropped events once they are more than those that are kept, so its cost is shared by as
// many appends.
func (l *Log) pack() {
	if l.head > len(l.events)-l.head {
		l.events = slices.Clone(l.events[l.head:])
		l.head = 0
	}
}

// Forget drops the events up to and including a revision.
func (l *Log) Forget(revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.head < len(l.events) && l.events[l.head].Revision <= revision {
		l.dropFirst()
	}
	l.floor = max(l.floor, revision)
	l.pack()
}

// After returns the events after a revision: whole transactions, about limit events (0: all). ok is false when
// the window does not reach back to the revision. The slice is read-only.
func (l *Log) After(after int64, limit int) (events []store.Event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after < l.floor {
		return nil, false
	}
	rest := l.after(after)
	end := Cut(rest, limit)
	return rest[:end:end], true
}

// after returns the events in the window after a revision.
func (l *Log) after(revision int64) []store.Event {
	rest := l.events[l.head:]
	first := sort.Search(len(rest), func(i int) bool { return rest[i].Revision > revision })
	return rest[first:len(rest):len(rest)]
}

// Cut returns how many of the events to hand out for a limit: whole transactions, at least one, and no further
// one once the limit is reached.
func Cut(events []store.Event, limit int) int {
	if limit <= 0 || limit >= len(events) {
		return len(events)
	}
	end := limit
	for end < len(events) && events[end].Revision == events[end-1].Revision {
		end++
	}
	return end
}

// Wait returns nil once there is something after the revision, store.ErrClosed after Close, the error of Fail, or ctx's.
func (l *Log) Wait(ctx context.Context, after int64) error {
	for {
		l.mu.Lock()
		if err := l.closed; err != nil {
			l.mu.Unlock()
			return err
		}
		if l.revision > after {
			l.mu.Unlock()
			return nil
		}
		if l.wake == nil {
			l.wake = make(chan struct{})
		}
		wake := l.wake
		l.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Revision returns the newest revision.
func (l *Log) Revision() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.revision
}

// Close makes waiters, those there are and those to come, return store.ErrClosed.
func (l *Log) Close() { l.Fail(store.ErrClosed) }

// Fail is Close with another error.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = err
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}
