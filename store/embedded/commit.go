package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"sampan/store"
)

// request is one Apply or Compact on its way to the committer.
type request struct {
	writes  []store.Write
	compact int64 // if above 0, compact to this revision; writes is empty then
	done    chan struct{}

	// The outcome, set before done is closed.
	revision int64
	events   []store.Event
	err      error
}

// Bounds of one commit, so that nobody waits for a batch that keeps growing.
const (
	batchRequestsMax = 1024
	batchBytesMax    = 8 << 20
)

func (s *Store) submit(ctx context.Context, r *request) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return 0, store.ErrClosed
	}
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	s.signal()
	select {
	case <-r.done:
		return r.revision, r.err
	case <-ctx.Done():
		return 0, fmt.Errorf("write to the store is under way, its outcome is unknown: %w", ctx.Err())
	}
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the committer goroutine: it takes what waits and commits it, until the store closes.
func (s *Store) run() {
	defer close(s.finished)
	for {
		batch, closing := s.take()
		switch {
		case len(batch) > 0:
			s.commit(batch)
		case closing:
			return
		default:
			<-s.wake
		}
	}
}

func (s *Store) take() (batch []*request, closing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, bytes := 0, 0
	for n < len(s.queue) && n < batchRequestsMax && bytes < batchBytesMax {
		for _, w := range s.queue[n].writes {
			bytes += len(w.Key) + len(w.Value)
		}
		n++
	}
	batch = s.queue[:n:n]
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return batch, s.closing
}

// committer is the state of the newest durable transaction.
type committer struct {
	revision  int64
	compacted int64
	swept     int64
	count     int64 // keys
	failed    error // set when it is unknown what the disk holds
}

// commit carries out the requests as one bbolt transaction, publishes the events and answers.
func (s *Store) commit(batch []*request) {
	next, err := s.committer, s.committer.failed
	if err == nil {
		err = s.transact(batch, &next)
	}
	if err != nil {
		for _, r := range batch {
			// Conflicts found on the way may rest on writes that did not happen, so they fail alike.
			r.revision, r.err = 0, err
			close(r.done)
		}
		return
	}
	if next.compacted > s.committer.compacted {
		s.log.Forget(next.compacted)
	}
	revision := s.committer.revision
	s.committer = next
	if next.revision > revision {
		var events []store.Event
		for _, r := range batch {
			events = append(events, r.events...)
		}
		s.log.Append(next.revision, events)
	}
	for _, r := range batch {
		close(r.done)
	}
}

func (s *Store) transact(batch []*request, next *committer) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.failure(fmt.Errorf("begin a transaction in %s: %w", s.path, err))
	}
	defer tx.Rollback() // no effect after Commit
	b := bucketsOf(tx)
	b.history.FillPercent = 0.9 // places only rise, so pages need no room for what comes between
	for _, r := range batch {
		if r.compact > 0 {
			err = next.compact(b, r)
		} else {
			err = next.apply(b, r)
		}
		if err != nil {
			return s.failure(fmt.Errorf("write to %s: %w", s.path, err))
		}
	}
	if *next == s.committer {
		return nil // nothing but conflicts: nothing to make durable
	}
	if err := next.retain(b, s.opts.History); err != nil {
		return s.failure(fmt.Errorf("compact %s: %w", s.path, err))
	}
	if err := next.save(b); err != nil {
		return s.failure(fmt.Errorf("write to %s: %w", s.path, err))
	}
	if err := tx.Commit(); err != nil {
		err = s.failure(fmt.Errorf("commit to %s: %w", s.path, err))
		tx.Rollback()
		s.verify(err)
		return err
	}
	return nil
}

// apply checks and writes one transaction. A conflict is the request's own outcome, not an error.
func (c *committer) apply(b buckets, r *request) error {
	previous := make([]place, len(r.writes))
	changes := 0
	for i, w := range r.writes {
		previous[i] = b.newest([]byte(w.Key))
		if current := previous[i].revision; w.Expect != store.AnyRevision && w.Expect != current {
			r.err = &store.ConflictError{Key: w.Key, Expect: w.Expect, Current: current}
			return nil
		}
		if w.Value != nil || previous[i] != (place{}) {
			changes++
		}
	}
	if changes == 0 {
		r.revision = c.revision
		return nil
	}
	revision := c.revision + 1
	r.events = make([]store.Event, 0, changes)
	for i, w := range r.writes {
		if w.Value == nil && previous[i] == (place{}) {
			continue
		}
		at := place{revision, uint32(i)}.append(make([]byte, 0, placeSize))
		if err := b.history.Put(at, encodeRecord(w.Key, w.Value, previous[i])); err != nil {
			return err
		}
		var err error
		if w.Value == nil {
			c.count--
			err = b.keys.Delete([]byte(w.Key))
		} else {
			if previous[i] == (place{}) {
				c.count++
			}
			err = b.keys.Put([]byte(w.Key), at)
		}
		if err != nil {
			return err
		}
		r.events = append(r.events, store.Event{Key: w.Key, Value: w.Value, Revision: revision, Hint: w.Hint})
	}
	c.revision = revision
	r.revision = revision
	return nil
}

func (c *committer) save(b buckets) error {
	return errors.Join(
		b.setNumber(metaRevision, c.revision),
		b.setNumber(metaCompacted, c.compacted),
		b.setNumber(metaSwept, c.swept),
		b.setNumber(metaCount, c.count),
	)
}

// failure gives an error of bbolt or the disk its meaning for callers.
func (s *Store) failure(err error) error {
	if isNoSpace(err) {
		return fmt.Errorf("%w (%w)", store.ErrNoSpace, err)
	}
	return err
}

// verify decides after a failed commit whether the store can go on. A full disk is harmless: the pages of the
// transaction are lost, and the file is as before. If it is not, or if the disk failed otherwise (after a
// failed fsync the kernel may have dropped the pages), what the disk holds is unknown.
func (s *Store) verify(err error) {
	var stored int64
	readErr := s.db.View(func(tx *bolt.Tx) error {
		stored = bucketsOf(tx).number(metaRevision)
		return nil
	})
	if errors.Is(err, store.ErrNoSpace) && readErr == nil && stored == s.committer.revision {
		return
	}
	s.committer.failed = fmt.Errorf("store refuses writes until the server is restarted, since the disk failed: %w", err)
}

// isNoSpace also looks at the text, because bbolt keeps only the text of errors on the way to a larger file.
func isNoSpace(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}
