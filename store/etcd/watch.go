package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
)

// How long to wait before a broken watch is taken up again.
const (
	watchBackoffFirst = 50 * time.Millisecond
	watchBackoffMax   = time.Second
)

// pump brings events from etcd into the log until the store closes.
func (s *Store) pump() {
	at := s.toEtcd(s.base)
	backoff, said := watchBackoffFirst, ""
	for {
		was := at
		err := s.follow(&at)
		if s.ctx.Err() != nil {
			return
		}
		if at > was {
			backoff, said = watchBackoffFirst, ""
		}
		if text := err.Error(); text != said { // once while etcd is down
			said = text
			s.opts.Log.Warn("the watch of etcd broke; taking it up again", "error", err, "revision", s.fromEtcd(at))
		}
		select {
		case <-time.After(backoff):
		case <-s.ctx.Done():
			return
		}
		backoff = min(2*backoff, watchBackoffMax)
	}
}

// follow watches until the watch ends. at is etcd's revision up to which everything is in the log.
func (s *Store) follow(at *int64) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(s.ctx))
	defer cancel()
	// From the revision that is known already: etcd then says if what follows was compacted.
	for resp := range s.client.Watch(ctx, s.root+"/", clientv3.WithPrefix(), clientv3.WithRev(max(*at, 1)), clientv3.WithProgressNotify()) {
		if resp.CompactRevision > 0 {
			if err := s.skip(ctx, at); err != nil {
				return err
			}
			return fmt.Errorf("history was compacted to revision %d before it was read", s.fromEtcd(resp.CompactRevision))
		}
		if err := resp.Err(); err != nil {
			return err
		}
		if resp.IsProgressNotify() {
			s.note(resp.Header.Revision)
			*at = max(*at, resp.Header.Revision)
			continue
		}
		if events := s.translate(resp.Events, *at, s.hint); len(events) > 0 {
			last := events[len(events)-1].Revision
			s.note(s.toEtcd(last))
			s.log.Append(last, events)
			*at = s.toEtcd(last)
			select {
			case s.moved <- struct{}{}:
			default:
			}
		}
	}
	return errors.New("etcd ended it")
}

// skip goes on after history that is lost: readers are sent to a list.
func (s *Store) skip(ctx context.Context, at *int64) error {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	before := s.seen.Load()
	resp, err := s.client.Get(limited, s.root+"/", clientv3.WithCountOnly())
	if err == nil {
		err = s.saw(resp.Header, before)
	}
	if err != nil {
		return s.failure(ctx, "read the newest revision", err)
	}
	*at = resp.Header.Revision
	now := s.fromEtcd(*at)
	s.compacted.Store(max(s.compacted.Load(), now))
	s.log.Forget(now)
	s.log.Append(now, nil)
	return nil
}

// translate returns what etcd's events after a revision of its own say about the store.
func (s *Store) translate(in []*clientv3.Event, after int64, hint func(key string, value []byte, revision int64) any) []store.Event {
	out := make([]store.Event, 0, len(in))
	for _, e := range in {
		if e.Kv.ModRevision <= after {
			continue
		}
		event := store.Event{Key: string(e.Kv.Key[len(s.root):]), Revision: s.fromEtcd(e.Kv.ModRevision)}
		if e.Type == mvccpb.Event_PUT {
			event.Value = present(e.Kv.Value)
		}
		event.Hint = hint(event.Key, event.Value, e.Kv.ModRevision)
		out = append(out, event)
	}
	return out
}

// present returns a value that is not nil even if it is empty, since nil means deleted.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// retain compacts what is older than Options.History, in steps of a tenth of it.
func (s *Store) retain() {
	done := s.base
	for {
		select {
		case <-s.moved:
		case <-s.ctx.Done():
			return
		}
		oldest := s.log.Revision() - s.opts.History
		if oldest-done < max(s.opts.History/10, 1) {
			continue
		}
		done = oldest
		if err := s.Compact(s.ctx, oldest); err != nil && s.ctx.Err() == nil {
			s.opts.Log.Warn("etcd's history was not compacted", "error", err)
		}
	}
}
