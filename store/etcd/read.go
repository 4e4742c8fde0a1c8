package etcd

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
	"sampan/store/internal/recent"
)

// pageMax bounds the records of one answer, so that neither side holds a large store twice.
const pageMax = 5000

// Get implements store.Store. It sees every write that any server has been told of.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	if err := s.open(ctx); err != nil {
		return store.Record{}, err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	before := s.seen.Load()
	resp, err := s.client.Get(limited, s.root+key)
	if err == nil {
		err = s.saw(resp.Header, before)
	}
	if err != nil {
		return store.Record{}, s.failure(ctx, "get "+key, err)
	}
	if len(resp.Kvs) == 0 {
		return store.Record{}, fmt.Errorf("get %s: %w", key, store.ErrNotFound)
	}
	kv := resp.Kvs[0]
	return store.Record{Key: key, Value: present(kv.Value), Revision: s.fromEtcd(kv.ModRevision)}, nil
}

// Size implements store.Store: what a member of the cluster has on its disk, for all its users.
func (s *Store) Size(ctx context.Context) (int64, error) {
	if err := s.open(ctx); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var failed error
	for _, member := range s.client.Endpoints() {
		status, err := s.client.Status(limited, member)
		if err == nil {
			return status.DbSize, nil
		}
		failed = err
	}
	return 0, s.failure(ctx, "ask for the size of the database", failed)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (store.List, error) {
	if err := s.open(ctx); err != nil {
		return store.List{}, err
	}
	at := int64(0)
	if opts.At > 0 {
		if opts.At < s.meta.Begin {
			return store.List{}, fmt.Errorf("list %s at revision %d, before a restore: %w", prefix, opts.At, store.ErrCompacted)
		}
		at = s.toEtcd(opts.At)
	}
	list, err := s.pages(ctx, prefix, opts, at)
	for attempt := 0; at == 0 && attempt < 3 && errors.Is(err, rpctypes.ErrCompacted); attempt++ {
		// The newest was compacted between two pages. The next attempt begins at what is the newest now.
		list, err = s.pages(ctx, prefix, opts, at)
	}
	if err != nil {
		return store.List{}, s.failure(ctx, fmt.Sprintf("list %s at revision %d", prefix, opts.At), err)
	}
	return list, nil
}

// pages lists at a revision of etcd, 0 for the newest, a page at a time.
func (s *Store) pages(ctx context.Context, prefix string, opts store.ListOptions, at int64) (store.List, error) {
	var list store.List
	from, end := s.root+prefix, clientv3.GetPrefixRangeEnd(s.root+prefix)
	if opts.After != "" {
		from = max(from, s.root+opts.After+"\x00")
	}
	if prefix == "" {
		from, end = max(from, s.root+"/"), clientv3.GetPrefixRangeEnd(s.root+"/")
	}
	for {
		page := pageMax
		if opts.Limit > 0 {
			page = min(page, opts.Limit-len(list.Records))
		}
		with := []clientv3.OpOption{clientv3.WithRev(at), clientv3.WithLimit(int64(page))}
		if from < end {
			with = append(with, clientv3.WithRange(end))
		} // else the range is empty, and so is the answer: no key ends in a zero byte
		resp, err := s.page(ctx, from, with)
		if err != nil {
			return store.List{}, err
		}
		if at == 0 {
			at = resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			list.Records = append(list.Records, store.Record{
				Key: string(kv.Key[len(s.root):]), Value: present(kv.Value), Revision: s.fromEtcd(kv.ModRevision),
			})
		}
		list.Revision = s.fromEtcd(at)
		list.More = resp.More
		if !resp.More || opts.Limit > 0 && len(list.Records) == opts.Limit {
			return list, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

func (s *Store) page(ctx context.Context, from string, with []clientv3.OpOption) (*clientv3.GetResponse, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	before := s.seen.Load()
	resp, err := s.client.Get(limited, from, with...)
	if err == nil {
		err = s.saw(resp.Header, before)
	}
	return resp, err
}

// Events implements store.Store. History from before the store was opened counts as compacted.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	if events, ok := s.log.After(after, limit); ok {
		return events, nil
	}
	if after < max(s.base, s.compacted.Load()) {
		return nil, fmt.Errorf("events after revision %d: %w", after, store.ErrCompacted)
	}
	events, err := s.history(ctx, after, limit)
	if err != nil {
		return nil, s.failure(ctx, fmt.Sprintf("events after revision %d", after), err)
	}
	return events[:recent.Cut(events, limit)], nil
}

// history reads events that are no longer in memory. The newest one in the log is the last that it waits for,
// and there is one, since the log has let go of some.
func (s *Store) history(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	upTo := s.log.Revision()
	limited, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), callTimeout)
	defer cancel()
	var events []store.Event
	none := func(string, []byte, int64) any { return nil }
	for resp := range s.client.Watch(limited, s.root+"/", clientv3.WithPrefix(), clientv3.WithRev(s.toEtcd(after))) {
		if err := resp.Err(); err != nil {
			return nil, err
		}
		for _, e := range s.translate(resp.Events, s.toEtcd(after), none) {
			if e.Revision <= upTo {
				events = append(events, e)
			}
		}
		if n := len(events); n > 0 && (events[n-1].Revision >= upTo || limit > 0 && n >= limit) {
			return events, nil
		}
	}
	if err := limited.Err(); err != nil {
		return nil, err
	}
	return nil, errors.New("etcd ended the watch")
}

// Compact implements store.Store. What another program has compacted further is no error.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	if at := s.toEtcd(revision); at > 0 {
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if _, err := s.client.Compact(limited, at); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			return s.failure(ctx, fmt.Sprintf("compact to revision %d", revision), err)
		}
	}
	for {
		was := s.compacted.Load()
		if was >= revision || s.compacted.CompareAndSwap(was, revision) {
			break
		}
	}
	s.log.Forget(revision)
	return nil
}
