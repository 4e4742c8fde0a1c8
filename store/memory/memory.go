// Package memory is a store in memory: the contract of package store without a disk, for tests in a
// testing/synctest bubble and for the simulator. It has no goroutine of its own, and every call returns
// without blocking, except Wait.
//
// History is kept until Compact.
package memory

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"sampan/store"
	"sampan/store/internal/recent"
)

// Store implements store.Store.
type Store struct {
	log *recent.Log // unbounded; Compact trims it

	mu        sync.RWMutex // guards everything below
	keys      *btree.Map[string, []version]
	revision  int64
	compacted int64
	closed    bool
}

var _ store.Store = (*Store)(nil)

// version is a key's value since a revision; value nil says that it was deleted then. Versions of a key are
// in the order of their revisions.
type version struct {
	revision int64
	value    []byte
}

// New returns an empty store.
func New() *Store {
	return &Store{log: recent.New(0, recent.Limits{}), keys: new(btree.Map[string, []version])}
}

// Apply implements store.Store.
func (s *Store) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := store.CheckWrites(writes); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	revision := s.revision + 1
	events := make([]store.Event, 0, len(writes))
	for _, w := range writes {
		current := int64(0)
		if v := s.newest(w.Key); v.value != nil {
			current = v.revision
		}
		if w.Expect != store.AnyRevision && w.Expect != current {
			return 0, &store.ConflictError{Key: w.Key, Expect: w.Expect, Current: current}
		}
		if w.Value == nil && current == 0 {
			continue
		}
		events = append(events, store.Event{Key: w.Key, Value: w.Value, Revision: revision, Hint: w.Hint})
	}
	if len(events) == 0 {
		return s.revision, nil
	}
	for _, e := range events {
		old, _ := s.keys.Get(e.Key)
		s.keys.Set(e.Key, append(old, version{revision, e.Value}))
	}
	s.revision = revision
	s.log.Append(revision, events)
	return revision, nil
}

func (s *Store) newest(key string) version {
	if versions, ok := s.keys.Get(key); ok {
		return versions[len(versions)-1]
	}
	return version{}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.Record{}, store.ErrClosed
	}
	v := s.newest(key)
	if v.value == nil {
		return store.Record{}, fmt.Errorf("get %s: %w", key, store.ErrNotFound)
	}
	return store.Record{Key: key, Value: v.value, Revision: v.revision}, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (store.List, error) {
	if err := ctx.Err(); err != nil {
		return store.List{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.List{}, store.ErrClosed
	}
	at := opts.At
	if at == 0 {
		at = s.revision
	}
	if at < s.compacted {
		return store.List{}, fmt.Errorf("list %s at revision %d: %w", prefix, at, store.ErrCompacted)
	}
	if at > s.revision {
		return store.List{}, fmt.Errorf("list %s at revision %d: %w", prefix, at, store.ErrFuture)
	}
	list := store.List{Revision: at}
	s.keys.Ascend(max(prefix, opts.After), func(key string, versions []version) bool {
		if !strings.HasPrefix(key, prefix) {
			return false
		}
		n := sort.Search(len(versions), func(i int) bool { return versions[i].revision > at })
		if n == 0 || versions[n-1].value == nil || opts.After != "" && key <= opts.After {
			return true
		}
		if opts.Limit > 0 && len(list.Records) == opts.Limit {
			list.More = true
			return false
		}
		v := versions[n-1]
		list.Records = append(list.Records, store.Record{Key: key, Value: v.value, Revision: v.revision})
		return true
	})
	return list, nil
}

// Events implements store.Store.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	closed := s.closed
	s.mu.RUnlock()
	if closed {
		return nil, store.ErrClosed
	}
	events, ok := s.log.After(after, limit)
	if !ok {
		return nil, fmt.Errorf("events after revision %d: %w", after, store.ErrCompacted)
	}
	return events, nil
}

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, after int64) error { return s.log.Wait(ctx, after) }

// CatchUp implements store.Store.
func (s *Store) CatchUp(ctx context.Context) error { return ctx.Err() }

// Revision implements store.Store.
func (s *Store) Revision() int64 { return s.log.Revision() }

// Size implements store.Store.
func (s *Store) Size(ctx context.Context) (bytes int64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	s.keys.Scan(func(_ string, versions []version) bool {
		for _, v := range versions {
			bytes += int64(len(v.value))
		}
		return true
	})
	return bytes, ctx.Err()
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if revision > s.revision {
		return fmt.Errorf("compact to revision %d: %w", revision, store.ErrFuture)
	}
	if revision <= s.compacted {
		return nil
	}
	var gone []string
	type trimmed struct {
		key      string
		versions []version
	}
	var trims []trimmed
	s.keys.Scan(func(key string, versions []version) bool {
		// Keep what a list at the revision sees, and everything after it.
		n := sort.Search(len(versions), func(i int) bool { return versions[i].revision > revision })
		if n > 0 && versions[n-1].value != nil {
			n--
		}
		switch {
		case n == len(versions):
			gone = append(gone, key)
		case n > 0:
			trims = append(trims, trimmed{key, slices.Clone(versions[n:])})
		}
		return true
	})
	for _, key := range gone {
		s.keys.Delete(key)
	}
	for _, t := range trims {
		s.keys.Set(t.key, t.versions)
	}
	s.compacted = revision
	s.log.Forget(revision)
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.log.Close()
	return nil
}
