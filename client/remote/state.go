package remote

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/watch"

	"sampan/kind"
	"sampan/view"
)

// historyMax is how many changes are kept for readers that lag. One that lags more takes the snapshot.
const historyMax = 8192

// event is one event of the stream.
type event struct {
	typ watch.EventType
	id  kind.ID
	obj kind.Object
}

// state is the view: a world that only [state.apply] and [state.replace] move, and the changes that led to it.
type state struct {
	ids []kind.ID // what is followed

	mu      sync.RWMutex // guards everything below
	world   view.World
	synced  bool
	changes []view.Change // oldest first; only appended to and cut at the front, so parts may be handed out
	floor   int64         // every change after this revision is in changes
	woken   chan struct{} // closed when the revision moves
}

func newState(ids []kind.ID) *state { return &state{ids: ids, woken: make(chan struct{})} }

// revision returns where the view is; synced is false before the first state has come.
func (s *state) revision() (revision int64, synced bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.world.Revision(), s.synced
}

// apply moves the view by a group of events to the revision that they end at.
func (s *state) apply(events []event, revision int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision < s.world.Revision() {
		return fmt.Errorf("the server went back from revision %d to %d", s.world.Revision(), revision)
	}
	for _, e := range events {
		at, err := revisionOf(e.obj)
		if err != nil {
			return err
		}
		c := view.Change{Key: view.KeyOf(e.id, e.obj), Revision: at}
		switch e.typ {
		case watch.Added, watch.Modified:
			c.New = e.obj
			c.Old = s.world.Put(e.id, e.obj, at)
		case watch.Deleted:
			if s.world.Remove(e.id, c.Key.Namespace, c.Key.Name, at) == nil {
				continue
			}
			c.Old = e.obj
		default:
			return fmt.Errorf("unknown event type %q", e.typ)
		}
		s.changes = append(s.changes, c)
	}
	s.arrive(revision)
	return nil
}

// replace makes the view show exactly the objects, and notes what that changed as changes at the revision.
func (s *state) replace(objects []event, revision int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision < s.world.Revision() {
		return fmt.Errorf("the server went back from revision %d to %d", s.world.Revision(), revision)
	}
	before := s.world.Snapshot()
	note := func(key view.Key, old, new kind.Object) {
		if s.synced {
			s.changes = append(s.changes, view.Change{Key: key, Old: old, New: new, Revision: revision})
		}
	}
	there := make(map[view.Key]bool, len(objects))
	for _, e := range objects {
		key := view.KeyOf(e.id, e.obj)
		there[key] = true
		old := before.Get(key)
		switch {
		case old != nil && old.GetUID() != e.obj.GetUID(): // another object of the same name
			note(key, old, nil)
			old = nil
		case old != nil && old.GetResourceVersion() == e.obj.GetResourceVersion():
			continue
		}
		s.world.Put(e.id, e.obj, revision)
		note(key, old, e.obj)
	}
	for _, id := range s.ids {
		for old := range before.All(id, "") {
			if key := view.KeyOf(id, old); !there[key] {
				s.world.Remove(id, key.Namespace, key.Name, revision)
				note(key, old, nil)
			}
		}
	}
	if !s.synced {
		s.synced, s.floor = true, revision
	}
	s.arrive(revision)
	return nil
}

// arrive ends a move of the view. The caller holds mu.
func (s *state) arrive(revision int64) {
	s.world.Advance(revision)
	if drop := len(s.changes) - historyMax; drop > 0 {
		s.floor = s.changes[drop-1].Revision
		// All changes of one revision are kept, or none.
		for drop < len(s.changes) && s.changes[drop].Revision == s.floor {
			drop++
		}
		s.changes = s.changes[drop:]
	}
	close(s.woken)
	s.woken = make(chan struct{})
}

func revisionOf(obj kind.Object) (int64, error) {
	n, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("resourceVersion of %s/%s: %w", obj.GetNamespace(), obj.GetName(), err)
	}
	return n, nil
}

// Snapshot returns the newest view.
func (c *Client) Snapshot() *view.Snapshot {
	s := c.state
	s.mu.Lock() // taking a snapshot of a world is a write
	defer s.mu.Unlock()
	return s.world.Snapshot()
}

// Since returns the changes after a revision, oldest first, and the snapshot at the last of them. ok is false when
// some of those changes are forgotten.
func (c *Client) Since(after int64) (changes []view.Change, snap *view.Snapshot, ok bool) {
	s := c.state
	s.mu.Lock()
	defer s.mu.Unlock()
	snap = s.world.Snapshot()
	if after < s.floor {
		return nil, snap, false
	}
	i := sort.Search(len(s.changes), func(i int) bool { return s.changes[i].Revision > after })
	return slices.Clip(s.changes[i:]), snap, true
}

// Wait returns nil once the view is past the revision, or ctx's error.
func (c *Client) Wait(ctx context.Context, after int64) error {
	s := c.state
	for {
		s.mu.RLock()
		there, woken := s.world.Revision() > after, s.woken
		s.mu.RUnlock()
		if there {
			return nil
		}
		select {
		case <-woken:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
