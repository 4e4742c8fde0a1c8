package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"sampan/store"
	"sampan/store/internal/recent"
)

// request is one Apply or Compact on its way to the committer.
type request struct {
	writes  []store.Write
	compact int64 // if above 0, compact to this revision; writes is empty then
	done    chan struct{}

	// The outcome, set before done is closed.
	revision int64
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
	revision int64  // the newest that is durable, in the log or in the file
	stored   int64  // the newest that is in the file
	index    uint32 // of the last event that was put into the file, within its revision

	// Of the file.
	compacted int64
	swept     int64
	count     int64 // keys

	failed error // set when it is unknown what the disk holds
}

// commit carries out the requests as one commit, publishes the events and answers.
func (s *Store) commit(batch []*request) {
	err := s.committer.failed
	if err == nil {
		err = s.transact(batch)
	}
	for _, r := range batch {
		if err != nil {
			// Conflicts found on the way may rest on writes that did not happen, so they fail alike.
			r.revision, r.err = 0, err
		}
		close(r.done)
	}
}

func (s *Store) transact(batch []*request) error {
	events, compact, err := s.decide(batch)
	switch {
	case err != nil:
		return s.failure(fmt.Errorf("begin a transaction in %s: %w", s.path, err))
	case len(events) == 0 && compact == 0:
		return nil // nothing but conflicts: nothing to make durable
	case compact == 0 && s.fitsLog(events):
		err = s.logged(events)
	default:
		err = s.checkpoint(events, compact)
	}
	if err != nil {
		s.unsaved = unsavedOf(s.log)
	}
	return err
}

// decide says what the requests change, one after the other, and to which revision history is to be forgotten (0:
// none of them asks for that). Conflicts are outcomes of requests.
func (s *Store) decide(batch []*request) (events []store.Event, compact int64, err error) {
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, 0, err
	}
	defer tx.Rollback() // nothing was written
	b := bucketsOf(tx)
	revision := s.committer.revision
	for _, r := range batch {
		if r.compact > 0 {
			if r.compact > revision {
				r.err = fmt.Errorf("compact to revision %d: %w", r.compact, store.ErrFuture)
			} else {
				compact = max(compact, r.compact)
			}
			continue
		}
		changes := s.changes(b, r, revision+1)
		if len(changes) > 0 {
			revision++
			events = append(events, changes...)
		}
		if r.err == nil {
			r.revision = revision
		}
	}
	return events, compact, nil
}

// changes returns what one transaction changes, as events of a revision, and keeps in mind that it did. None if it
// changes nothing, or has a conflict.
func (s *Store) changes(b buckets, r *request, revision int64) []store.Event {
	events := make([]store.Event, 0, len(r.writes))
	for _, w := range r.writes {
		current, ok := s.unsaved[w.Key]
		if !ok {
			current = b.newest([]byte(w.Key)).revision
		}
		if w.Expect != store.AnyRevision && w.Expect != current {
			r.err = &store.ConflictError{Key: w.Key, Expect: w.Expect, Current: current}
			return nil
		}
		if w.Value != nil || current != 0 {
			events = append(events, store.Event{Key: w.Key, Value: w.Value, Revision: revision, Hint: w.Hint})
		}
	}
	for _, e := range events {
		s.unsaved[e.Key] = newestOf(e)
	}
	return events
}

// newestOf returns what an event makes the revision of its key: 0 if it deletes it.
func newestOf(e store.Event) int64 {
	if e.Value == nil {
		return 0
	}
	return e.Revision
}

// unsavedOf returns the revisions of the keys whose newest events are not in the file yet.
func unsavedOf(log *recent.Log) map[string]int64 {
	held, _ := log.Held()
	unsaved := make(map[string]int64, len(held))
	for _, e := range held {
		unsaved[e.Key] = newestOf(e)
	}
	return unsaved
}

// fitsLog reports whether the events go into the log, and not, with all that is in it, into the file. A quarter of
// the history at most is in the log, since history is forgotten in the file.
func (s *Store) fitsLog(events []store.Event) bool {
	unsaved := events[len(events)-1].Revision - s.committer.stored
	return batchSize(events) <= s.wal.room() && (s.opts.History <= 0 || unsaved <= s.opts.History/4)
}

// logged makes events durable in the log, and publishes them.
func (s *Store) logged(events []store.Event) error {
	if err := s.wal.append(events); err != nil {
		if !errors.Is(err, store.ErrNoSpace) {
			s.fail(err)
		}
		return err
	}
	s.committer.revision = events[len(events)-1].Revision
	s.log.Append(s.committer.revision, events)
	return nil
}

// checkpoint takes what is in the log, and further events, into the file as one bbolt transaction, forgets history
// up to a revision (0: as it gets old), and publishes the further events. The log is then free.
func (s *Store) checkpoint(events []store.Event, compact int64) error {
	next := s.committer
	if err := s.save(&next, events, compact); err != nil {
		return err
	}
	if next.compacted > s.committer.compacted {
		s.log.Forget(next.compacted)
	}
	s.committer = next
	s.wal.end = 0
	clear(s.unsaved)
	s.log.Hold(next.stored)
	if len(events) > 0 {
		s.log.Append(next.revision, events)
	}
	return nil
}

func (s *Store) save(next *committer, events []store.Event, compact int64) error {
	tx, err := s.db.Begin(true)
	if err != nil {
		return s.failure(fmt.Errorf("begin a transaction in %s: %w", s.path, err))
	}
	defer tx.Rollback() // no effect after Commit
	held, _ := s.log.Held()
	if err := next.write(bucketsOf(tx), held, events, compact, s.opts.History); err != nil {
		return s.failure(fmt.Errorf("write to %s: %w", s.path, err))
	}
	if err := s.commitTx(tx); err != nil {
		err = s.failure(fmt.Errorf("commit to %s: %w", s.path, err))
		tx.Rollback()
		s.verify(err)
		return err
	}
	return nil
}

// write puts events into the file, and forgets history.
func (c *committer) write(b buckets, held, events []store.Event, compact, history int64) error {
	b.history.FillPercent = 0.9 // places only rise, so pages need no room for what comes between
	for _, part := range [][]store.Event{held, events} {
		for _, e := range part {
			if err := c.put(b, e); err != nil {
				return err
			}
		}
	}
	c.stored = c.revision
	c.compacted = max(c.compacted, compact)
	if compact > 0 {
		for c.swept < c.compacted {
			if err := c.sweep(b, sweepMax); err != nil {
				return err
			}
		}
	}
	if err := c.retain(b, history, len(held)+len(events)); err != nil {
		return err
	}
	return c.save(b)
}

// put writes one event, which is the next of its revision.
func (c *committer) put(b buckets, e store.Event) error {
	if e.Revision > c.stored {
		c.stored, c.index = e.Revision, 0
	} else {
		c.index++
	}
	c.revision = max(c.revision, e.Revision)
	previous := b.newest([]byte(e.Key))
	at := place{e.Revision, c.index}.append(make([]byte, 0, placeSize))
	if err := b.history.Put(at, encodeRecord(e.Key, e.Value, previous)); err != nil {
		return err
	}
	if e.Value == nil {
		c.count--
		return b.keys.Delete([]byte(e.Key))
	}
	if previous == (place{}) {
		c.count++
	}
	return b.keys.Put([]byte(e.Key), at)
}

func (c *committer) save(b buckets) error {
	return errors.Join(
		b.setNumber(metaRevision, c.stored),
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
	if errors.Is(err, store.ErrNoSpace) && readErr == nil && stored == s.committer.stored {
		return
	}
	s.fail(err)
}

// fail refuses all writes from now on.
func (s *Store) fail(err error) {
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
