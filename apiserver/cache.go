package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sampan/kind"
	"sampan/store"
	"sampan/view"
)

// claimPrefix begins the keys of claims to unique things.
const claimPrefix = "/alloc/"

// cache is everything in the store, decoded: one world, its newest snapshot, and the changes that led to it.
// Writers advance it after their commit; readers take the snapshot without a lock.
type cache struct {
	store store.Store
	kinds *kind.Registry
	now   func() time.Time
	// replaced is told of every published object that has a successor, or is removed.
	replaced func(kind.Object)

	snap atomic.Pointer[view.Snapshot] // stored with mu held, so that it fits the histories

	mu     sync.RWMutex // guards everything below
	world  view.World
	claims map[string]struct{} // the keys below claimPrefix
	all    *history
	byKind map[kind.ID]*history
	events map[kind.ID]int64 // how many came from the store
}

// published is the Hint of a write: the object that the value encodes, or, for a deletion, its last state
// (nil: as stored). The cache that owns it sets the revision; any other cache decodes the value, because the
// object then already is shared.
type published struct {
	owner *cache
	obj   kind.Object
}

func newCache(ctx context.Context, st store.Store, kinds *kind.Registry, now func() time.Time, replaced func(kind.Object)) (*cache, error) {
	c := &cache{store: st, kinds: kinds, now: now, replaced: replaced, events: make(map[kind.ID]int64)}
	if err := c.fill(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// fill takes everything from the store and forgets the history. The caller holds mu, or is alone. An error
// leaves the cache as it was.
func (c *cache) fill(ctx context.Context) error {
	// In pages, so that what is stored need not be in memory twice; all at once if that takes too long.
	const page = 4000
	world, claims, err := c.load(ctx, page)
	if errors.Is(err, store.ErrCompacted) {
		world, claims, err = c.load(ctx, 0)
	}
	if err != nil {
		return err
	}
	c.world, c.claims = *world, claims
	revision := c.world.Revision()
	// Whoever waits on an old history is woken, and finds a new one whose floor is above its revision.
	for _, h := range c.byKind {
		h.wake()
	}
	if c.all != nil {
		c.all.wake()
	}
	c.all = newHistory(revision)
	c.byKind = make(map[kind.ID]*history)
	for _, k := range c.kinds.All() {
		c.byKind[k.ID] = newHistory(revision)
	}
	c.snap.Store(c.world.Snapshot())
	return nil
}

// decode decodes records, on all processors if they are many. An object is nil if its kind is not known.
func (c *cache) decode(records []store.Record) ([]kind.Object, error) {
	const few = 250
	objects := make([]kind.Object, len(records))
	part := func(from, to int) error {
		for i, r := range records[from:to] {
			key, k := c.parse(r.Key)
			if k == nil {
				continue
			}
			obj, err := decodeStored(k, r.Value, r.Revision)
			if err != nil {
				return fmt.Errorf("decode %s at revision %d: %w", key, r.Revision, err)
			}
			objects[from+i] = obj
		}
		return nil
	}
	if len(records) <= few {
		return objects, part(0, len(records))
	}
	var parts errgroup.Group
	size := (len(records) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for from := 0; from < len(records); from += size {
		parts.Go(func() error { return part(from, min(from+size, len(records))) })
	}
	return objects, parts.Wait()
}

// load reads the store at its newest revision.
func (c *cache) load(ctx context.Context, page int) (*view.World, map[string]struct{}, error) {
	world, claims := new(view.World), make(map[string]struct{})
	opts := store.ListOptions{Limit: page}
	for more := true; more; {
		list, err := c.store.List(ctx, "/", opts)
		if err != nil {
			return nil, nil, fmt.Errorf("list the store: %w", err)
		}
		opts.At, more = list.Revision, list.More
		objects, err := c.decode(list.Records)
		if err != nil {
			return nil, nil, err
		}
		for i, r := range list.Records {
			opts.After = r.Key
			if strings.HasPrefix(r.Key, claimPrefix) {
				claims[r.Key] = struct{}{}
			} else if _, k := c.parse(r.Key); k != nil { // else of a kind that this build does not serve: kept, not shown
				world.Put(k.ID, objects[i], r.Revision)
			}
		}
	}
	world.Advance(opts.At)
	return world, claims, nil
}

// parse splits a store key; k is nil if it is not an object of a known kind.
func (c *cache) parse(key string) (view.Key, *kind.Kind) {
	rest, ok := strings.CutPrefix(key, "/")
	if !ok {
		return view.Key{}, nil
	}
	id, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return view.Key{}, nil
	}
	namespace, name, ok := strings.Cut(rest, "/")
	if !ok {
		return view.Key{}, nil
	}
	return view.Key{Kind: kind.ID(id), Namespace: namespace, Name: name}, c.kinds.ByID(kind.ID(id))
}

// storePrefix returns what the keys of a kind begin with in the store.
func storePrefix(id kind.ID) string { return "/" + string(id) + "/" }

// storeKey returns the key that an object is stored under.
func storeKey(key view.Key) string {
	return storePrefix(key.Kind) + key.Namespace + "/" + key.Name
}

// snapshot returns the newest state.
func (c *cache) snapshot() *view.Snapshot { return c.snap.Load() }

// advance takes in what the store has committed, at least up to a revision that is known to be committed.
func (c *cache) advance(ctx context.Context, upto int64) error {
	if upto > 0 && c.snapshot().Revision() >= upto {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if upto > 0 && c.world.Revision() >= upto {
		return nil // another writer took it in
	}
	for {
		events, err := c.store.Events(ctx, c.world.Revision(), 0)
		switch {
		case errors.Is(err, store.ErrCompacted):
			if err := c.fill(ctx); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("read the store's events after revision %d: %w", c.world.Revision(), err)
		default:
			if err := c.apply(events); err != nil {
				return err
			}
		}
		if len(events) == 0 || c.world.Revision() >= upto {
			return nil
		}
	}
}

// apply publishes events. The caller holds mu. An error leaves the cache before the event that failed.
func (c *cache) apply(events []store.Event) error {
	if len(events) == 0 {
		return nil
	}
	now := c.now()
	touched := make(map[*history]struct{}, 4)
	defer func() {
		c.snap.Store(c.world.Snapshot())
		for h := range maps.Keys(touched) {
			h.wake()
		}
		c.all.wake()
		for _, h := range c.byKind { // also of kinds that are quiet now
			h.trim(now)
		}
	}()
	for _, e := range events {
		if strings.HasPrefix(e.Key, claimPrefix) {
			c.claim(e)
			continue
		}
		key, k := c.parse(e.Key)
		if k == nil {
			c.world.Advance(e.Revision)
			continue
		}
		c.events[k.ID]++
		change := view.Change{Key: key, Revision: e.Revision}
		if err := c.change(&change, k, e); err != nil {
			return err
		}
		if change.Latest() == nil {
			continue // what is removed was not there
		}
		c.all.append(change, now)
		h := c.byKind[k.ID]
		h.append(change, now)
		touched[h] = struct{}{}
	}
	return nil
}

// claim takes in the event of a claim to a unique thing. The caller holds mu.
func (c *cache) claim(e store.Event) {
	if e.Value == nil {
		delete(c.claims, e.Key)
	} else {
		c.claims[e.Key] = struct{}{}
	}
	c.world.Advance(e.Revision)
}

// change takes in the event of an object, and fills in what it was and is. The caller holds mu.
func (c *cache) change(change *view.Change, k *kind.Kind, e store.Event) error {
	hint, own := e.Hint.(published)
	own = own && hint.owner == c && hint.obj != nil
	if e.Value == nil {
		old := c.world.Remove(k.ID, change.Key.Namespace, change.Key.Name, e.Revision)
		if old == nil {
			return nil
		}
		c.replaced(old)
		if own {
			old = hint.obj
		}
		// The last state carries the revision of the removal, as upstream's DELETED events do.
		change.Old = withRevision(old, e.Revision)
		return nil
	}
	obj := hint.obj
	if own {
		obj.SetResourceVersion(strconv.FormatInt(e.Revision, 10))
	} else {
		var err error
		if obj, err = decodeStored(k, e.Value, e.Revision); err != nil {
			return fmt.Errorf("decode %s at revision %d: %w", change.Key, e.Revision, err)
		}
	}
	change.Old, change.New = c.world.Put(k.ID, obj, e.Revision), obj
	if change.Old != nil {
		c.replaced(change.Old)
	}
	return nil
}

// follow advances the cache whenever the store moves, until ctx ends.
func (c *cache) follow(ctx context.Context, log *slog.Logger) error {
	for {
		if err := c.store.Wait(ctx, c.snapshot().Revision()); err != nil {
			if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
				return nil
			}
			return fmt.Errorf("wait for the store to move: %w", err)
		}
		err := c.advance(ctx, 0)
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, store.ErrClosed):
			return nil
		case errors.Is(err, store.ErrUnavailable):
			if !awaitStore(ctx, log, err) {
				return nil
			}
		default:
			return err
		}
	}
}

// since returns the changes after a revision and the snapshot at the last of them. An empty id means every
// kind. ok is false when some of those changes are forgotten.
func (c *cache) since(id kind.ID, after int64) (changes []view.Change, snap *view.Snapshot, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	changes, ok = c.history(id).since(after)
	return changes, c.snap.Load(), ok
}

// wait returns nil once there is a change after the revision (of the kind, if id is not empty), or ctx's error.
func (c *cache) wait(ctx context.Context, id kind.ID, after int64) error {
	for {
		c.mu.RLock()
		h := c.history(id)
		there := h.last > after
		woken := h.waiter()
		c.mu.RUnlock()
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

func (c *cache) history(id kind.ID) *history {
	if id == "" {
		return c.all
	}
	return c.byKind[id]
}

// received returns how many events of a kind have come from the store.
func (c *cache) received(id kind.ID) int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.events[id]
}

// claimed reports whether a claim key is taken.
func (c *cache) claimed(key string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.claims[key]
	return ok
}
