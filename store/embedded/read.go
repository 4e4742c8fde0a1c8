package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"sort"
	"strings"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"sampan/store"
	"sampan/store/internal/recent"
)

// reading is what a read sees: the file at one revision, and the events that are durable, but not in it.
type reading struct {
	buckets
	stored   int64 // the newest revision in the file
	held     []store.Event
	revision int64
}

// view runs a read. What it hands out of the file must be copied: bbolt's slices end with the transaction.
func (s *Store) view(ctx context.Context, read func(r reading) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.guarded(read)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// guarded reads; a damaged file is an error.
func (s *Store) guarded(read func(r reading) error) error {
	return s.guard(func() error {
		// In this order nothing is missed: what is no longer held then is in the file.
		held, newest := s.log.Held()
		return s.db.View(func(tx *bolt.Tx) error {
			b := bucketsOf(tx)
			stored := b.number(metaRevision)
			first := sort.Search(len(held), func(i int) bool { return held[i].Revision > stored })
			return read(reading{buckets: b, stored: stored, held: held[first:], revision: max(stored, newest)})
		})
	})
}

// guard makes an error of what shows that the file is damaged: a panic here or in bbolt, or a fault of the memory
// mapping.
func (s *Store) guard(use func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = explain(s.path, &damagedError{fmt.Errorf("%v", r)})
		}
	}()
	return use()
}

// copied returns a copy that is not nil even if it is empty, since nil means deleted.
func copied(value []byte) []byte { return append(make([]byte, 0, len(value)), value...) }

// record returns the record of a key at a place.
func (r reading) record(key string, at place) store.Record {
	return store.Record{Key: key, Value: copied(r.at(key, at).value), Revision: at.revision}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (rec store.Record, err error) {
	err = s.view(ctx, func(r reading) error {
		notFound := fmt.Errorf("get %s: %w", key, store.ErrNotFound)
		for _, e := range slices.Backward(r.held) {
			switch {
			case e.Key != key:
			case e.Value == nil:
				return notFound
			default:
				rec = store.Record{Key: key, Value: e.Value, Revision: e.Revision}
				return nil
			}
		}
		at := r.newest([]byte(key))
		if at == (place{}) {
			return notFound
		}
		rec = r.record(key, at)
		return nil
	})
	return rec, err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (list store.List, err error) {
	err = s.view(ctx, func(r reading) error {
		list = store.List{Revision: opts.At}
		if opts.At == 0 {
			list.Revision = r.revision
		}
		if list.Revision < r.number(metaCompacted) {
			return fmt.Errorf("list %s at revision %d: %w", prefix, opts.At, store.ErrCompacted)
		}
		if list.Revision > r.revision {
			return fmt.Errorf("list %s at revision %d: %w", prefix, opts.At, store.ErrFuture)
		}
		var patches []patch
		if list.Revision < r.stored {
			patches = r.undone(list.Revision, prefix, opts.After)
		} else {
			patches = r.added(list.Revision, prefix, opts.After)
		}
		for rec := range r.merged(patches, prefix, opts.After) {
			if opts.Limit > 0 && len(list.Records) == opts.Limit {
				list.More = true
				break
			}
			list.Records = append(list.Records, rec)
		}
		return nil
	})
	if err != nil {
		return store.List{}, err
	}
	return list, nil
}

// patch says what a list has for a key in place of what the file has as its newest.
type patch struct {
	key   string
	event store.Event // that wrote the key, if it is not in the file
	at    place       // of the record otherwise; the zero place if the key does not exist
}

// asked reports whether a list of a prefix, from behind after, has the key.
func asked(key, prefix, after string) bool {
	return strings.HasPrefix(key, prefix) && (after == "" || key > after)
}

// undone returns the keys that changed in the file after a revision, as they were at it, ordered by key.
func (r reading) undone(revision int64, prefix, after string) []patch {
	var patches []patch
	seen := make(map[string]bool)
	cursor := r.history.Cursor()
	for at, value := cursor.Seek(place{revision + 1, 0}.append(nil)); at != nil; at, value = cursor.Next() {
		rec := decodeRecord(value)
		if key := string(rec.key); asked(key, prefix, after) && !seen[key] {
			seen[key] = true
			patches = append(patches, patch{key: key, at: rec.previous})
		}
	}
	return sorted(patches)
}

// added returns the keys that changed after what is in the file, as they are at a revision, ordered by key.
func (r reading) added(revision int64, prefix, after string) []patch {
	var patches []patch
	seen := make(map[string]bool)
	for _, e := range slices.Backward(r.held) {
		if e.Revision <= revision && asked(e.Key, prefix, after) && !seen[e.Key] {
			seen[e.Key] = true
			patches = append(patches, patch{key: e.Key, event: e})
		}
	}
	return sorted(patches)
}

func sorted(patches []patch) []patch {
	slices.SortFunc(patches, func(a, b patch) int { return strings.Compare(a.key, b.key) })
	return patches
}

// patched returns the record of a patch; ok is false if the key does not exist.
func (r reading) patched(p patch) (rec store.Record, ok bool) {
	switch {
	case p.event.Value != nil:
		return store.Record{Key: p.key, Value: p.event.Value, Revision: p.event.Revision}, true
	case p.at != (place{}):
		return r.record(p.key, p.at), true
	}
	return store.Record{}, false
}

// merged yields the records under the prefix, behind after, with the patches in their place.
func (r reading) merged(patches []patch, prefix, after string) iter.Seq[store.Record] {
	return func(yield func(store.Record) bool) {
		cursor := r.keys.Cursor()
		key, at := cursor.Seek([]byte(max(prefix, after)))
		if after != "" && string(key) == after {
			key, at = cursor.Next()
		}
		for {
			current := key != nil && bytes.HasPrefix(key, []byte(prefix))
			switch {
			case len(patches) > 0 && (!current || patches[0].key <= string(key)):
				// The patch wins over the newest record of the same key.
				if current && patches[0].key == string(key) {
					key, at = cursor.Next()
				}
				if rec, ok := r.patched(patches[0]); ok && !yield(rec) {
					return
				}
				patches = patches[1:]
			case current:
				if !yield(r.record(string(key), decodePlace(at))) {
					return
				}
				key, at = cursor.Next()
			default:
				return
			}
		}
	}
}

// Events implements store.Store.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	if events, ok := s.log.After(after, limit); ok {
		return events, s.open(ctx)
	}
	// Not beyond what has been published, so that the reader gets the rest from memory, with its hints.
	upTo := s.log.Revision()
	var events []store.Event
	err := s.view(ctx, func(r reading) error {
		if after < r.number(metaCompacted) {
			return fmt.Errorf("events after revision %d: %w", after, store.ErrCompacted)
		}
		cursor := r.history.Cursor()
		for at, value := cursor.Seek(place{after + 1, 0}.append(nil)); at != nil; at, value = cursor.Next() {
			p := decodePlace(at)
			if p.revision > upTo || limit > 0 && len(events) >= limit && p.revision != events[len(events)-1].Revision {
				return nil
			}
			rec := decodeRecord(value)
			e := store.Event{Key: string(rec.key), Revision: p.revision}
			if !rec.deleted {
				e.Value = copied(rec.value)
			}
			events = append(events, e)
		}
		first := sort.Search(len(r.held), func(i int) bool { return r.held[i].Revision > after })
		events = append(events, r.held[first:]...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return events[:recent.Cut(events, limit)], nil
}

func (s *Store) open(ctx context.Context) error {
	s.mu.Lock()
	closing := s.closing
	s.mu.Unlock()
	if closing {
		return store.ErrClosed
	}
	return ctx.Err()
}
