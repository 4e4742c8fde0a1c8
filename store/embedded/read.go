package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"sampan/store"
	"sampan/store/internal/recent"
)

// view runs a read. What it hands out must be copied: bbolt's slices end with the transaction.
func (s *Store) view(ctx context.Context, read func(b buckets) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.guarded(read)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return err
}

// guarded reads, and makes an error of what shows that the file is damaged: a panic here or in bbolt, or a fault
// of the memory mapping.
func (s *Store) guarded(read func(b buckets) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = explain(s.path, &damagedError{fmt.Errorf("%v", r)})
		}
	}()
	return s.db.View(func(tx *bolt.Tx) error { return read(bucketsOf(tx)) })
}

// copied returns a copy that is not nil even if it is empty, since nil means deleted.
func copied(value []byte) []byte { return append(make([]byte, 0, len(value)), value...) }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (rec store.Record, err error) {
	err = s.view(ctx, func(b buckets) error {
		at := b.newest([]byte(key))
		if at == (place{}) {
			return fmt.Errorf("get %s: %w", key, store.ErrNotFound)
		}
		rec = store.Record{Key: key, Value: copied(b.at(key, at).value), Revision: at.revision}
		return nil
	})
	return rec, err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (list store.List, err error) {
	err = s.view(ctx, func(b buckets) error {
		newest := b.number(metaRevision)
		list = store.List{Revision: opts.At}
		if opts.At == 0 {
			list.Revision = newest
		}
		if list.Revision < b.number(metaCompacted) {
			return fmt.Errorf("list %s at revision %d: %w", prefix, opts.At, store.ErrCompacted)
		}
		if list.Revision > newest {
			return fmt.Errorf("list %s at revision %d: %w", prefix, opts.At, store.ErrFuture)
		}
		keys := changedSince(b, list.Revision, prefix, opts.After)
		for key, at := range keys.merged(b, prefix, opts.After) {
			if opts.Limit > 0 && len(list.Records) == opts.Limit {
				list.More = true
				break
			}
			list.Records = append(list.Records, store.Record{
				Key: key, Value: copied(b.at(key, at).value), Revision: at.revision,
			})
		}
		return nil
	})
	if err != nil {
		return store.List{}, err
	}
	return list, nil
}

// undo says for keys that changed after a revision where their record was at it; the zero place if they did
// not exist. It is ordered by key.
type undo []undone

type undone struct {
	key string
	at  place
}

func changedSince(b buckets, revision int64, prefix, after string) undo {
	var u undo
	seen := make(map[string]bool)
	cursor := b.history.Cursor()
	for at, value := cursor.Seek(place{revision + 1, 0}.append(nil)); at != nil; at, value = cursor.Next() {
		rec := decodeRecord(value)
		key := string(rec.key)
		if strings.HasPrefix(key, prefix) && (after == "" || key > after) && !seen[key] {
			seen[key] = true
			u = append(u, undone{key, rec.previous})
		}
	}
	slices.SortFunc(u, func(a, b undone) int { return strings.Compare(a.key, b.key) })
	return u
}

// merged yields the keys under the prefix, behind after, and the places of their records, with the changes
// undone.
func (u undo) merged(b buckets, prefix, after string) func(yield func(string, place) bool) {
	return func(yield func(string, place) bool) {
		cursor := b.keys.Cursor()
		key, at := cursor.Seek([]byte(max(prefix, after)))
		if after != "" && string(key) == after {
			key, at = cursor.Next()
		}
		for {
			current := key != nil && bytes.HasPrefix(key, []byte(prefix))
			switch {
			case len(u) > 0 && (!current || u[0].key <= string(key)):
				// The undone change wins over the newest record of the same key.
				if current && u[0].key == string(key) {
					key, at = cursor.Next()
				}
				if u[0].at != (place{}) && !yield(u[0].key, u[0].at) {
					return
				}
				u = u[1:]
			case current:
				if !yield(string(key), decodePlace(at)) {
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
	err := s.view(ctx, func(b buckets) error {
		if after < b.number(metaCompacted) {
			return fmt.Errorf("events after revision %d: %w", after, store.ErrCompacted)
		}
		cursor := b.history.Cursor()
		for at, value := cursor.Seek(place{after + 1, 0}.append(nil)); at != nil; at, value = cursor.Next() {
			p := decodePlace(at)
			if p.revision > upTo || limit > 0 && len(events) >= limit && p.revision != events[len(events)-1].Revision {
				break
			}
			rec := decodeRecord(value)
			e := store.Event{Key: string(rec.key), Revision: p.revision}
			if !rec.deleted {
				e.Value = copied(rec.value)
			}
			events = append(events, e)
		}
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
