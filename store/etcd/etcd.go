// Package etcd is the store of several servers: an external etcd v3 cluster, which outlives any of them. All
// servers that open the same name in one etcd see each other's writes and share one revision counter.
//
// The keys of a store with the name n, "default" unless told otherwise:
//
//	/sampan/n/…    the store's keys, each behind "/sampan/n"
//	/sampan/n.meta JSON: which store this is, and what was restored into it (see [Restore]); written when it is first opened
//	/sampan/n.tip  empty; written by every transaction that changes something, so its revision is that of the newest one
//
// Revisions are those of etcd, plus an offset that is 0 unless a backup was restored: then it makes the revisions
// go on above those of the backup. Since etcd counts the writes of all its users, revisions of a store rise, but
// not always by one. A transaction is one etcd transaction that compares the modification revision of each key, and
// the meta key: so a server that has missed a restore, or the loss of etcd's data, cannot write.
//
// One etcd watch of everything feeds the events in memory. [Store.Apply] returns when its own events have come
// back through it, so a writer finds its write in what it reads next, in the order in which all servers see it.
// [Store.CatchUp] asks etcd for the tip and waits until the watch has brought it, so that a reader finds what others
// have written.
//
// The history is compacted when it grows beyond Options.History, by whichever server notices first; another
// program may compact too. Compaction is a matter of the whole etcd: it also ends the history of other programs
// that use it.
//
// Failures. While etcd cannot be reached, calls fail with store.ErrUnavailable within seconds, and what is in
// memory can still be read. The watch takes itself up where it was; if that history is gone meanwhile, readers of
// events get store.ErrCompacted once and start anew from a list. A full etcd is store.ErrNoSpace. If a watch is
// behind, an Apply whose write has been made waits for it, at most [callTimeout]. When the store is another one than was
// opened, since a backup was restored into it, or etcd has lost writes, everything fails until it is opened anew.
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
	"sampan/store/internal/recent"
)

// callTimeout bounds each call to etcd, and how long an Apply waits for its own events.
const callTimeout = 10 * time.Second

// DefaultName is the name of a store that has been given none.
const DefaultName = "default"

// Options say which store to open. Endpoints are required.
type Options struct {
	// Endpoints are the members of the cluster, HOST:PORT.
	Endpoints []string
	// Name tells apart several stores in one etcd: letters, digits and dashes. "" is DefaultName.
	Name string
	// TLS is how members are spoken to; nil is plain text.
	TLS *tls.Config
	// History is how many of the newest revisions lists and events can go back to. 0 means 10,000; below
	// zero, this store never compacts by itself.
	History int64
	// RecentEvents and RecentBytes bound the events that are kept in memory. 0 means 4,096 and 8 MiB.
	RecentEvents int
	RecentBytes  int
	// Log hears of a watch that broke and of compactions that failed; nil for silence.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.History == 0 {
		o.History = 10_000
	}
	if o.RecentEvents == 0 {
		o.RecentEvents = 4096
	}
	if o.RecentBytes == 0 {
		o.RecentBytes = 8 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store implements store.Store. Open makes one.
type Store struct {
	opts   Options
	client *clientv3.Client
	root   string // before every key of the store
	meta   meta
	base   int64       // the revision at the opening: events before it are not known here
	log    *recent.Log // events from the watch

	ctx    context.Context // ends with the store
	cancel context.CancelFunc
	group  sync.WaitGroup // the goroutines of the store

	cluster uint64       // etcd's id of itself
	seen    atomic.Int64 // the highest revision of etcd that an answer or the watch has shown

	compacted atomic.Int64  // by Compact or retain of this store
	moved     chan struct{} // capacity 1; says that the log has grown

	mu       sync.Mutex // guards what follows
	closing  bool
	lost     error          // set when the store is another one than was opened
	applying sync.WaitGroup // Adds happen with mu held and closing false
	inflight map[string][]*flight
	ask      *ask // the next question for the tip; nil if nobody has one
	asking   bool // a goroutine asks

	closeOnce sync.Once
	closeErr  error
}

var _ store.Store = (*Store)(nil)

// Open opens the store with the name, which needs not exist yet. The error says which members were asked.
func Open(ctx context.Context, opts Options) (*Store, error) {
	return open(ctx, opts, func(m meta) error {
		if m.Restoring {
			return errors.New("a restore into it did not finish: run the restore again")
		}
		return nil
	})
}

func open(ctx context.Context, opts Options, check func(meta) error) (*Store, error) {
	opts = opts.withDefaults()
	client, err := dial(opts)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts: opts, client: client, root: rootOf(opts.Name),
		inflight: make(map[string][]*flight), moved: make(chan struct{}, 1),
	}
	m, head, err := openMeta(ctx, client, opts)
	if err == nil {
		err = check(m)
		if err != nil {
			err = fmt.Errorf("open store %q in etcd at %s: %w", opts.Name, members(opts), err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	s.meta, s.base, s.cluster = m, head.Revision+m.Offset, head.ClusterId
	s.seen.Store(head.Revision)
	s.log = recent.New(s.base, recent.Limits{Events: opts.RecentEvents, Bytes: opts.RecentBytes})
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.group.Go(s.pump)
	if opts.History > 0 {
		s.group.Go(s.retain)
	}
	return s, nil
}

func rootOf(name string) string { return "/sampan/" + name }

func members(opts Options) string { return strings.Join(opts.Endpoints, ", ") }

// Wait implements store.Store.
func (s *Store) Wait(ctx context.Context, after int64) error { return s.log.Wait(ctx, after) }

// Revision implements store.Store: it is the newest revision that the watch has brought.
func (s *Store) Revision() int64 { return s.log.Revision() }

// Close implements store.Store.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.applying.Wait()
		s.cancel()
		s.log.Close()
		s.closeErr = s.client.Close()
		s.group.Wait()
	})
	if errors.Is(s.closeErr, context.Canceled) {
		return nil // the client reports that its watch was ended, which is what was asked for
	}
	return s.closeErr
}

func (s *Store) open(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return store.ErrClosed
	case s.lost != nil:
		return s.lost
	}
	return ctx.Err()
}

// toEtcd and fromEtcd translate revisions.
func (s *Store) toEtcd(revision int64) int64   { return revision - s.meta.Offset }
func (s *Store) fromEtcd(revision int64) int64 { return revision + s.meta.Offset }
