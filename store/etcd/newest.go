package etcd

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
)

// Behind the root of a store, its head is the keys in [headBegin, headEnd): a slash follows the dot. No name of a store
// has either.
const (
	headBegin = "."
	headEnd   = "/"
)

func tipKeyOf(name string) string { return rootOf(name) + ".tip" }

// lookAtHead reads the keys of the head.
func (s *Store) lookAtHead() clientv3.Op {
	return clientv3.OpGet(s.root+headBegin, clientv3.WithRange(s.root+headEnd))
}

// readHead returns etcd's revision of the newest transaction, 0 if there was none, or says that the store is not the
// one any more that was opened.
func (s *Store) readHead(kvs []*mvccpb.KeyValue) (tip int64, err error) {
	var meta string
	for _, kv := range kvs {
		switch string(kv.Key) {
		case metaKeyOf(s.opts.Name):
			meta = string(kv.Value)
		case tipKeyOf(s.opts.Name):
			tip = kv.ModRevision
		}
	}
	if meta != s.meta.value {
		return 0, s.lose(errReplaced)
	}
	return tip, nil
}

// CatchUp implements store.Store. Those who call it while one question for the tip is on its way share the next one:
// an answer is only good for who came before the question.
func (s *Store) CatchUp(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := s.newest()
	if err != nil {
		return err
	}
	const what = "read the newest revision"
	select {
	case <-a.done:
	case <-limited.Done():
		return s.failure(ctx, what, limited.Err())
	}
	if a.err != nil {
		return s.failure(ctx, what, a.err)
	}
	if a.tip == 0 {
		return nil
	}
	if err := s.log.Wait(limited, s.fromEtcd(a.tip)-1); err != nil {
		return s.failure(ctx, "follow the watch to the newest revision", err)
	}
	return nil
}

// ask is one question for the tip.
type ask struct {
	done chan struct{} // closed when the answer is there
	tip  int64
	err  error
}

// newest returns a question that is not on its way yet.
func (s *Store) newest() (*ask, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, store.ErrClosed
	}
	if s.ask == nil {
		s.ask = &ask{done: make(chan struct{})}
	}
	if !s.asking {
		s.asking = true
		s.group.Go(s.answer)
	}
	return s.ask, nil
}

// answer asks etcd, one question after the other, until nobody has one.
func (s *Store) answer() {
	for {
		s.mu.Lock()
		a := s.ask
		s.ask, s.asking = nil, a != nil
		s.mu.Unlock()
		if a == nil {
			return
		}
		a.tip, a.err = s.readTip()
		close(a.done)
	}
}

// tipTimeout bounds one question for the tip, which is small: if the member that it fell to hangs, another one is asked.
const tipTimeout = 3 * time.Second

// readTip asks etcd. The answer shows every transaction that was done before the question (a linearizable read).
func (s *Store) readTip() (int64, error) {
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	before := s.seen.Load()
	resp, err := s.askTip(ctx)
	for timedOut(err) && ctx.Err() == nil {
		resp, err = s.askTip(ctx)
	}
	if err != nil {
		return 0, err
	}
	if err := s.saw(resp.Get().Header, before); err != nil {
		return 0, err
	}
	return s.readHead(resp.Get().Kvs)
}

func (s *Store) askTip(ctx context.Context) (clientv3.OpResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, tipTimeout)
	defer cancel()
	return s.client.Do(ctx, s.lookAtHead())
}
