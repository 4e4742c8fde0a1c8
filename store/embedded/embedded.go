// Package embedded is the store of a single server: a bbolt file with a write-ahead log beside it, opened by one
// process at a time.
//
// Writes of all callers that wait are gathered into one commit (group commit), so the price of reaching the disk is
// shared; a caller returns when its write is durable. A conflict fails only the caller that has it. Reads do not
// block writes and see only what is durable. The newest events are also kept in memory, so a reader that keeps up
// never touches the disk.
//
// A commit is a batch in the log, which costs one sync. When the log is full, or has a quarter of the history, one
// bbolt transaction takes all of it into the file (a checkpoint), with the commit that no longer fitted; the log then
// begins anew. So what the file lacks is in the log, and in the events in memory, from where reads take it. Opening
// reads what the file lacks from the log, and closing leaves the file alone, without a log.
//
// The file, formats 1 and 2. Numbers are big-endian; a place is a revision (8 bytes) and an index within its
// transaction (4 bytes).
//
//	meta
//	  format     "1": the file is all; "2": it has a log
//	  log        the id of that log
//	  revision   newest revision in the file
//	  compacted  history before this revision is gone
//	  swept      events up to this revision have been looked at by the compaction
//	  count      number of keys
//	  restoring  there while a backup is being restored
//	keys
//	  KEY        the place of its newest record; deleted keys are not here
//	history
//	  PLACE      flags (1: deleted, 2: with checksum), place of the record before it (0: none), length of KEY
//	             (uvarint), KEY, VALUE, CRC-32C of all before it
//
// A list at an older revision is the newest list with the later events undone, by their "record before". A
// record goes away when the event that replaced it is compacted, and a deletion when it is compacted itself;
// so compaction looks once at each event and needs no pass over the data. It runs inside ordinary commits,
// a bounded piece in each.
//
// Failures. A full disk fails the writes with store.ErrNoSpace; reads go on, and writes work again when there
// is room. What is in the log stays there until the file can take it in. Where there is no room for a log, there is
// none until the next opening. If the disk fails in a way that leaves it unknown what it holds, all further writes are refused
// until the server is restarted. Of a file that is damaged, reads return an error that says so; a write that comes
// upon the damage panics.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"

	"sampan/store"
	"sampan/store/internal/recent"
)

// Options tune a store. The zero value is what a server uses.
type Options struct {
	// History is how many of the newest revisions lists and events can go back to. 0 means 10,000; below
	// zero, history is kept until Compact.
	History int64
	// RecentEvents and RecentBytes bound the events that are kept in memory. 0 means 4,096 and 8 MiB.
	RecentEvents int
	RecentBytes  int
	// LogBytes is the size of the log. 0 means 1 MiB; below zero there is none, and every write goes to the file.
	LogBytes int
}

func (o Options) withDefaults() Options {
	if o.History == 0 {
		o.History = 10_000
	}
	if o.RecentEvents == 0 {
		o.RecentEvents = 4096
	}
	if o.RecentBytes == 0 {
		o.RecentBytes = 8 << 20
	}
	if o.LogBytes == 0 {
		o.LogBytes = 1 << 20
	}
	return o
}

// Store implements store.Store. Open makes one.
type Store struct {
	path string
	opts Options
	db   *bolt.DB
	log  *recent.Log // events and the newest revision that is durable

	mu       sync.Mutex // guards queue and closing
	queue    []*request
	closing  bool
	wake     chan struct{} // capacity 1; says that queue or closing changed
	finished chan struct{} // closed when the committer has ended

	closeOnce sync.Once
	closeErr  error

	// Used by the committer goroutine alone.
	committer committer
	wal       writeLog
	unsaved   map[string]int64     // revisions of the keys whose newest write is not in the file; 0: deleted
	commitTx  func(*bolt.Tx) error // tests put faults in between
}

var _ store.Store = (*Store)(nil)

// Apply implements store.Store. If ctx ends while the write is under way, its outcome is unknown.
func (s *Store) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if err := store.CheckWrites(writes); err != nil {
		return 0, err
	}
	return s.submit(ctx, &request{writes: writes, done: make(chan struct{})})
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	_, err := s.submit(ctx, &request{compact: revision, done: make(chan struct{})})
	return err
}

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, after int64) error { return s.log.Wait(ctx, after) }

// CatchUp implements store.Store: every writer is in this process, and has its own events when Apply returns.
func (s *Store) CatchUp(ctx context.Context) error { return ctx.Err() }

// Revision implements store.Store.
func (s *Store) Revision() int64 { return s.log.Revision() }

// Size implements store.Store.
func (s *Store) Size(ctx context.Context) (bytes int64, err error) {
	for _, path := range []string{s.path, logPath(s.path)} {
		switch info, err := os.Stat(path); {
		case err == nil:
			bytes += info.Size()
		case !errors.Is(err, fs.ErrNotExist): // a store need not have a log
			return 0, fmt.Errorf("size of the store: %w", err)
		}
	}
	return bytes, ctx.Err()
}

// Close implements store.Store. Reads in flight are waited for too.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.signal()
		<-s.finished
		s.log.Close()
		s.closeErr = errors.Join(s.guard(s.settle), s.db.Close())
	})
	return s.closeErr
}
