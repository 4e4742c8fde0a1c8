// Package viewtest is for tests of what follows the cluster's state: a [Source] shows a world of the test's as a client
// does, and tells when its reader has taken in all of it.
package viewtest

import (
	"context"
	"sync"

	"sampan/kind"
	"sampan/view"
)

// Source is a world that readers follow; [Source.Settle] is for one of them at a time. Safe for concurrent use.
type Source struct {
	mu      sync.Mutex // guards everything below
	world   view.World
	history []view.Change
	forgot  bool          // the next Since says that the history is gone
	moved   chan struct{} // closed at the next change
	waits   int64         // the revision that the reader has and waits behind; -1: it has not waited yet
	idle    chan struct{} // closed at the next Wait
}

// NewSource returns an empty world.
func NewSource() *Source {
	return &Source{moved: make(chan struct{}), idle: make(chan struct{}), waits: -1}
}

// Snapshot is what a client has.
func (s *Source) Snapshot() *view.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.world.Snapshot()
}

// Since is what a client has.
func (s *Source) Since(after int64) ([]view.Change, *view.Snapshot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgot {
		s.forgot = false
		return nil, s.world.Snapshot(), false
	}
	var list []view.Change
	for _, c := range s.history {
		if c.Revision > after {
			list = append(list, c)
		}
	}
	return list, s.world.Snapshot(), true
}

// Wait is what a client has.
func (s *Source) Wait(ctx context.Context, after int64) error {
	s.mu.Lock()
	s.waits = after
	close(s.idle)
	s.idle = make(chan struct{})
	s.mu.Unlock()
	for {
		s.mu.Lock()
		at, moved := s.world.Revision(), s.moved
		s.mu.Unlock()
		if at > after {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Put sets an object, at a revision of its own.
func (s *Source) Put(id kind.ID, obj kind.Object) {
	s.change(func(revision int64) view.Change {
		return view.Change{Key: view.KeyOf(id, obj), Old: s.world.Put(id, obj, revision), New: obj, Revision: revision}
	})
}

// Remove removes an object, at a revision of its own.
func (s *Source) Remove(id kind.ID, namespace, name string) {
	s.change(func(revision int64) view.Change {
		old := s.world.Remove(id, namespace, name, revision)
		return view.Change{Key: view.Key{Kind: id, Namespace: namespace, Name: name}, Old: old, Revision: revision}
	})
}

func (s *Source) change(f func(revision int64) view.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = append(s.history, f(s.world.Revision()+1))
	close(s.moved)
	s.moved = make(chan struct{})
}

// Forget makes the next Since say that the history is gone.
func (s *Source) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgot = true
}

// NextReader says that the reader has ended and another one is to begin, which Settle then waits for.
func (s *Source) NextReader() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits = -1
}

// Settle returns when the reader has seen, and done with, every change so far, or when ctx ends.
func (s *Source) Settle(ctx context.Context) {
	for {
		s.mu.Lock()
		done, idle := s.waits >= s.world.Revision(), s.idle
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return
		}
	}
}
