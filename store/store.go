// Package store keeps bytes under keys with one revision counter, and is the only place where the state of
// the cluster lives. Two back ends implement [Store]: store/embedded (bbolt with group commit, one process)
// and store/etcd (an external cluster, several servers). Package storetest is the suite that both pass, and
// package backup moves what one holds into another.
//
// Keys are "/<group resource>/<namespace>/<name>", for example "/pods/default/web-0", "/nodes//n1" and
// "/deployments.apps/default/web"; "/alloc/…" holds claims to unique things such as Service addresses, and
// "/identity/…" what the servers of a cluster share beside the API.
// Values are what the API server encodes; the store never looks at them.
//
// Every transaction has one revision, which all its keys share. Revisions are above 0, rise with every
// transaction (by one, unless others share the counter), and go on rising across restarts, and from a backup to
// what is restored from it. History is kept until [Store.Compact], or for as long as the back end is told to
// keep it.
package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Record is one key at one revision.
type Record struct {
	Key   string
	Value []byte // read-only
	// Revision is the revision of the last write to the key.
	Revision int64
}

// AnyRevision as Write.Expect writes whatever the key holds.
const AnyRevision int64 = -1

// Write is one write of a transaction.
type Write struct {
	Key   string
	Value []byte // nil deletes the key; the store keeps the slice, so do not write to it afterwards
	// Expect is the revision that the key must have: that of its last write, 0 if the key must not exist,
	// or AnyRevision.
	Expect int64
	// Hint travels with the event to the readers in this process, so that the API server needs not decode
	// what it has just encoded. It is nil in events that came from the disk or from another process.
	Hint any
}

// Event is one key changed by a transaction. The events of one transaction follow each other, in the order
// of its writes.
type Event struct {
	Key      string
	Value    []byte // nil: the key was deleted
	Revision int64
	Hint     any
}

// ListOptions narrow a list.
type ListOptions struct {
	At    int64  // the revision to list at; 0: the newest
	After string // begin behind this key; "" for the first
	Limit int    // at most this many records; 0: all
}

// List is a consistent list of records, ordered by key.
type List struct {
	Records  []Record
	Revision int64 // that the list shows
	More     bool  // the limit cut the list
}

// Store is the contract of a back end. All methods are safe for concurrent use.
//
// Reading events is pulled: a reader keeps the revision of the last event that it has seen, asks Events for
// what follows, and calls Wait when there is nothing. So a simulator needs no goroutine to read a watch.
type Store interface {
	// Apply carries out the writes as one transaction, or none of them. When it returns a revision, the
	// writes are on disk. It returns a *ConflictError if an Expect does not hold, ErrNoSpace (wrapped) if
	// the disk is full, ErrTooLarge, and what CheckWrites says of malformed writes; after any other error the
	// outcome may be unknown. Events show the transaction when Apply returns its revision, and what was in the
	// way, be it a write or a deletion, when it returns a conflict. Deleting a key that does not exist is no
	// event; a transaction that changes nothing has no revision of its own and returns the newest.
	Apply(ctx context.Context, writes ...Write) (revision int64, err error)
	// Get returns a key's newest record, or ErrNotFound.
	Get(ctx context.Context, key string) (Record, error)
	// List returns the records whose key begins with prefix. It returns ErrCompacted for a revision whose
	// history is gone, and ErrFuture for one that is not there yet.
	List(ctx context.Context, prefix string, opts ListOptions) (List, error)
	// Events returns the events after a revision, oldest first: as many whole transactions as fit in about
	// limit events (at least one transaction; 0: all), none if there are none yet. ErrCompacted if history is
	// gone; a back end may also not know what was before it was opened. The slice is read-only.
	Events(ctx context.Context, after int64, limit int) ([]Event, error)
	// Wait returns nil once there are events after the revision.
	Wait(ctx context.Context, after int64) error
	// CatchUp returns nil once Events show every write that was acknowledged before the call, by whichever process.
	// A back end with one process, whose Apply sees to that, returns at once.
	CatchUp(ctx context.Context) error
	// Revision returns the newest committed revision that Events show. An empty store has the revision that
	// it begins with: 0, unless others share the counter.
	Revision() int64
	// Size returns how many bytes the store takes on its disks, the history and what is free in its files included; of
	// a store in memory, how many its values take.
	Size(ctx context.Context) (int64, error)
	// Compact forgets the history before a revision: lists at, and events after, older revisions end in
	// ErrCompacted.
	Compact(ctx context.Context, revision int64) error
	// Close waits for the writes in flight and releases the files. Waiters get ErrClosed.
	Close() error
}

var (
	ErrNotFound  = errors.New("key not found")
	ErrCompacted = errors.New("the requested revision has been compacted")
	ErrFuture    = errors.New("the requested revision is newer than the newest")
	ErrNoSpace   = errors.New("no space left for the store")
	ErrClosed    = errors.New("the store is closed")
	// ErrUnavailable is a store in another process that cannot be reached at the moment.
	ErrUnavailable = errors.New("the store cannot be reached")
	// ErrTooLarge refuses a transaction with more bytes than the back end takes.
	ErrTooLarge = errors.New("the write is too large for the store")
	// ErrNotEmpty refuses to restore over something.
	ErrNotEmpty = errors.New("the store is not empty")
)

// ConflictError says that a Write's Expect did not hold. Nothing was written.
type ConflictError struct {
	Key     string
	Expect  int64
	Current int64 // the key's revision, 0 if it does not exist
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("write of %s expected revision %d, found %d", e.Key, e.Expect, e.Current)
}

// CheckWrites returns an error for writes that cannot be one transaction: a key that does not begin with a slash, a
// key that is written twice, an Expect that is no revision. Back ends call it first.
func CheckWrites(writes []Write) error {
	for i, w := range writes {
		if !strings.HasPrefix(w.Key, "/") {
			return fmt.Errorf("write of key %q, which does not begin with /", w.Key)
		}
		if w.Expect < AnyRevision {
			return fmt.Errorf("write of %s expects revision %d, which cannot be", w.Key, w.Expect)
		}
		for _, earlier := range writes[:i] {
			if earlier.Key == w.Key {
				return fmt.Errorf("key %s is written twice in one transaction", w.Key)
			}
		}
	}
	return nil
}
