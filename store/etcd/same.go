package etcd

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A store is the one that was opened as long as its meta key is the same, and etcd's revision does not go back. If it is
// another one (a backup was restored into it, or etcd was begun anew or from an older copy), what this process knows of
// it is wrong, and would be shown and written for good. So the store then refuses everything, and readers of events are
// told.

var errReplaced = errors.New("a backup was restored into it since it was opened, or its data are gone: look at what etcd holds, then restart the server")

// saw checks the head of a linearizable answer, whose revision must be at least the highest of etcd that was seen before
// the question.
func (s *Store) saw(h *etcdserverpb.ResponseHeader, atLeast int64) error {
	switch {
	case h.ClusterId != s.cluster:
		return s.lose(errors.New("another etcd cluster answers than the one that it was opened in: look at what it holds, then restart the server"))
	case h.Revision < atLeast:
		return s.lose(fmt.Errorf("etcd's revision is %d and must be %d at least, so writes are lost (was an older copy restored?): look at what etcd holds, then restart the server", h.Revision, atLeast))
	}
	s.note(h.Revision)
	return nil
}

// note keeps the highest revision of etcd that was seen.
func (s *Store) note(revision int64) {
	for {
		was := s.seen.Load()
		if was >= revision || s.seen.CompareAndSwap(was, revision) {
			return
		}
	}
}

// lose ends the use of a store that is another one than was opened, and returns what everybody is told from now on.
func (s *Store) lose(why error) error {
	s.mu.Lock()
	if s.lost == nil {
		s.lost = fmt.Errorf("store %q in etcd at %s: %w", s.opts.Name, members(s.opts), why)
	}
	err := s.lost
	s.mu.Unlock()
	s.log.Fail(err)
	s.cancel()
	return err
}

// usable returns why the store can be used no more, or nil.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}
