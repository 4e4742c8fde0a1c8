package etcd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
)

// meta is the value of the meta key.
type meta struct {
	// ID is random, and another one for each store that was made or restored.
	ID string `json:"id"`
	// Offset is added to etcd's revisions.
	Offset int64 `json:"offset"`
	// Begin is the revision that the history begins with.
	Begin int64 `json:"begin"`
	// Restoring says that a restore has begun and not finished.
	Restoring bool `json:"restoring,omitempty"`

	revision int64  // the modification revision of the key, 0 if it is not there
	value    string // as it is in etcd
}

func metaKeyOf(name string) string { return rootOf(name) + ".meta" }

// readMeta also returns the head of etcd's answer, which has its newest revision.
func readMeta(ctx context.Context, client *clientv3.Client, opts Options) (meta, *etcdserverpb.ResponseHeader, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := client.Get(limited, metaKeyOf(opts.Name))
	if err != nil {
		return meta{}, nil, explain(ctx, opts, fmt.Sprintf("open store %q", opts.Name), err)
	}
	var m meta
	if len(resp.Kvs) > 0 {
		if err := json.Unmarshal(resp.Kvs[0].Value, &m); err != nil {
			return meta{}, nil, fmt.Errorf("open store %q in etcd at %s: its key %s is damaged: %w", opts.Name, members(opts), metaKeyOf(opts.Name), err)
		}
		m.revision, m.value = resp.Kvs[0].ModRevision, string(resp.Kvs[0].Value)
	}
	return m, resp.Header, nil
}

// openMeta is readMeta of a store that is there afterwards, if it was not before.
func openMeta(ctx context.Context, client *clientv3.Client, opts Options) (meta, *etcdserverpb.ResponseHeader, error) {
	m, head, err := readMeta(ctx, client, opts)
	if err != nil || m.ID != "" {
		return m, head, err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	metaKey := metaKeyOf(opts.Name)
	m.ID = rand.Text()
	if _, err := client.Txn(limited).
		If(clientv3.Compare(clientv3.ModRevision(metaKey), "=", m.revision)).
		Then(clientv3.OpPut(metaKey, m.encode())).Commit(); err != nil {
		return meta{}, nil, explain(ctx, opts, fmt.Sprintf("open store %q", opts.Name), err)
	}
	return readMeta(ctx, client, opts) // what this one wrote, or another server that was faster
}

func (m meta) encode() string {
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // a number and a boolean
	}
	return string(data)
}

// Restore opens an empty store to be filled, whose revisions are above the given one. Until FinishRestore,
// nobody else can open it; a restore that was begun and did not finish is dropped with all that it wrote.
func Restore(ctx context.Context, opts Options, revision int64) (*Store, error) {
	opts = opts.withDefaults()
	client, err := dial(opts)
	if err != nil {
		return nil, err
	}
	err = beginRestore(ctx, client, opts, revision)
	if err = errors.Join(err, client.Close()); err != nil {
		return nil, err
	}
	return open(ctx, opts, func(m meta) error {
		if !m.Restoring {
			return errors.New("another restore interfered")
		}
		return nil
	})
}

func beginRestore(ctx context.Context, client *clientv3.Client, opts Options, revision int64) error {
	old, head, err := readMeta(ctx, client, opts)
	if err != nil {
		return err
	}
	now := head.Revision
	// The transaction below takes the next revision of etcd, and with it one that nobody has seen yet.
	begin := meta{ID: rand.Text(), Offset: max(revision-now, 0), Begin: max(revision, now) + 1, Restoring: true}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	what := fmt.Sprintf("begin to restore into store %q", opts.Name)
	metaKey, data := metaKeyOf(opts.Name), rootOf(opts.Name)+"/"
	conditions := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(metaKey), "=", old.revision)}
	actions := []clientv3.Op{clientv3.OpPut(metaKey, begin.encode())}
	if old.Restoring {
		actions = append(actions, clientv3.OpDelete(data, clientv3.WithPrefix()))
	} else {
		conditions = append(conditions, clientv3.Compare(clientv3.CreateRevision(data), "=", 0).WithPrefix())
	}
	resp, err := client.Txn(limited).If(conditions...).Then(actions...).Commit()
	if err != nil {
		return explain(ctx, opts, what, err)
	}
	if !resp.Succeeded {
		return fmt.Errorf("%s in etcd at %s: %w: give the restored one another name, or remove the keys below %s",
			what, members(opts), store.ErrNotEmpty, data)
	}
	return nil
}

// FinishRestore makes a store that Restore has opened one that anybody can open.
func (s *Store) FinishRestore(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	metaKey := metaKeyOf(s.opts.Name)
	done := s.meta
	done.Restoring = false
	resp, err := s.client.Txn(limited).
		If(clientv3.Compare(clientv3.ModRevision(metaKey), "=", s.meta.revision)).
		Then(clientv3.OpPut(metaKey, done.encode())).Commit()
	if err != nil {
		return s.failure(ctx, "finish the restore", err)
	}
	if !resp.Succeeded {
		return errors.New("finish the restore: another restore interfered")
	}
	return nil
}
