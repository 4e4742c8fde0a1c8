package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
)

// flight is a transaction on its way, whose hints the watch looks for.
type flight struct {
	writes   []store.Write
	done     chan struct{} // closed when revision is known
	revision int64         // in etcd; 0 if it failed, or its outcome is unknown
}

// hintOf returns the hint of the write that made an event of the transaction.
func (f *flight) hintOf(key string) any {
	for _, w := range f.writes {
		if w.Key == key {
			return w.Hint
		}
	}
	return nil
}

// Apply implements store.Store. If ctx ends while the write is under way, its outcome is unknown.
func (s *Store) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if err := s.open(ctx); err != nil {
		return 0, err
	}
	if err := store.CheckWrites(writes); err != nil {
		return 0, err
	}
	f := &flight{writes: writes, done: make(chan struct{})}
	if !s.take(f) {
		return 0, store.ErrClosed
	}
	defer s.forget(f)
	if len(writes) == 0 {
		f.land(0)
		return s.log.Revision(), nil
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	changed, revision, err := s.transact(limited, writes)
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		f.land(0)
		// The caller will look at what was in its way.
		if err := s.log.Wait(limited, s.fromEtcd(revision)-1); err != nil {
			return 0, s.failure(ctx, "read the write that was faster", err)
		}
		return 0, conflict
	case err != nil:
		f.land(0)
		what := "write of " + writes[0].Key
		if unanswered(err) {
			what += ", which may have been carried out"
		}
		return 0, s.failure(ctx, what, err)
	case !changed:
		f.land(0)
		return s.log.Revision(), nil
	}
	f.land(revision)
	mine := s.fromEtcd(revision)
	if err := s.log.Wait(limited, mine-1); err != nil {
		return 0, s.failure(ctx, fmt.Sprintf("write of %s is done at revision %d; read it back", writes[0].Key, mine), err)
	}
	return mine, nil
}

// transact sends the writes as one transaction. revision is etcd's: that of the transaction, or for a conflict one at
// which what was in the way was done.
func (s *Store) transact(ctx context.Context, writes []store.Write) (changed bool, revision int64, err error) {
	conditions := []clientv3.Cmp{clientv3.Compare(clientv3.Value(metaKeyOf(s.opts.Name)), "=", s.meta.value)}
	actions := make([]clientv3.Op, 0, len(writes)+1)
	looks := []clientv3.Op{s.lookAtHead()}
	var absent []clientv3.Cmp // holds if the deletions of what may be gone already change nothing
	for _, w := range writes {
		key := s.root + w.Key
		if w.Expect != store.AnyRevision {
			conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(key), "=", s.expected(w.Expect)))
		}
		if w.Value == nil {
			actions = append(actions, clientv3.OpDelete(key))
		} else {
			actions = append(actions, clientv3.OpPut(key, string(w.Value)))
		}
		looks = append(looks, clientv3.OpGet(key, clientv3.WithKeysOnly()))
		if w.Value == nil && w.Expect <= 0 {
			absent = append(absent, clientv3.Compare(clientv3.CreateRevision(key), "=", 0))
		}
	}
	// An etcd that is full takes deletions, but no put beside them. It does not count one in a transaction within, and
	// the tip needs no more room than it has.
	actions = append(actions, clientv3.OpTxn(nil, []clientv3.Op{clientv3.OpPut(tipKeyOf(s.opts.Name), "")}, nil))
	if len(absent) == len(writes) {
		actions = []clientv3.Op{clientv3.OpTxn(absent, nil, actions)}
	}
	before := s.seen.Load()
	resp, err := s.client.Txn(ctx).If(conditions...).Then(actions...).Else(looks...).Commit()
	if err != nil {
		return false, 0, err
	}
	changed = resp.Succeeded && (len(absent) < len(writes) || !resp.Responses[0].GetResponseTxn().Succeeded)
	atLeast := before
	if changed {
		atLeast++ // it has a revision of its own
	}
	if err := s.saw(resp.Header, atLeast); err != nil {
		return false, 0, err
	}
	if resp.Succeeded {
		return changed, resp.Header.Revision, nil
	}
	tip, err := s.readHead(resp.Responses[0].GetResponseRange().Kvs)
	if err != nil {
		return false, 0, err
	}
	for i, w := range writes {
		found := modRevision(resp.Responses[i+1].GetResponseRange().Kvs)
		if w.Expect == store.AnyRevision || found == s.expected(w.Expect) {
			continue
		}
		conflict := &store.ConflictError{Key: w.Key, Expect: w.Expect}
		if found > 0 {
			conflict.Current = s.fromEtcd(found)
		}
		return false, max(tip, found), conflict
	}
	return false, 0, errors.New("etcd refused the transaction, though all its conditions hold")
}

// expected returns the modification revision that a key must have; one that no key has for a revision before a
// restore.
func (s *Store) expected(expect int64) int64 {
	if expect == 0 {
		return 0
	}
	if at := s.toEtcd(expect); at > 0 {
		return at
	}
	return -1
}

func modRevision(kvs []*mvccpb.KeyValue) int64 {
	if len(kvs) == 0 {
		return 0
	}
	return kvs[0].ModRevision
}

// take notes a transaction that begins, unless the store is closing.
func (s *Store) take(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.applying.Add(1)
	for _, w := range f.writes {
		if w.Hint != nil {
			s.inflight[w.Key] = append(s.inflight[w.Key], f)
		}
	}
	return true
}

// land notes the outcome of a transaction, for a watch that has its events already.
func (f *flight) land(revision int64) {
	f.revision = revision
	close(f.done)
}

// forget ends what take began.
func (s *Store) forget(f *flight) {
	defer s.applying.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range f.writes {
		rest := slices.DeleteFunc(slices.Clone(s.inflight[w.Key]), func(other *flight) bool { return other == f })
		if len(rest) > 0 {
			s.inflight[w.Key] = rest
		} else {
			delete(s.inflight, w.Key)
		}
	}
}

// hint returns the hint for an event, if a transaction of this store made it. It waits for the answers to
// transactions that may have: they are on their way, since the event is here.
func (s *Store) hint(key string, value []byte, revision int64) any {
	s.mu.Lock()
	flights := s.inflight[key]
	s.mu.Unlock()
	for _, f := range flights {
		if !f.couldBe(key, value) {
			continue
		}
		if <-f.done; f.revision == revision {
			return f.hintOf(key)
		}
	}
	return nil
}

func (f *flight) couldBe(key string, value []byte) bool {
	for _, w := range f.writes {
		if w.Key == key {
			return (w.Value == nil) == (value == nil) && bytes.Equal(w.Value, value)
		}
	}
	return false
}
