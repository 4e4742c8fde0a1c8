package storetest

import (
	"context"
	"errors"
	"slices"

	"sampan/store"
)

// offset shows a store whose revisions begin at base as one whose revisions begin at 0.
type offset struct {
	store.Store
	base int64
}

func fromZero(s store.Store) store.Store {
	if base := s.Revision(); base != 0 {
		return &offset{s, base}
	}
	return s
}

// in translates a revision that is an argument; 0 and AnyRevision mean something else where named.
func (o *offset) in(revision int64) int64 { return revision + o.base }

func (o *offset) named(revision int64) int64 {
	if revision <= 0 {
		return revision
	}
	return o.in(revision)
}

func (o *offset) out(revision int64) int64 {
	if revision == 0 {
		return 0
	}
	return revision - o.base
}

func (o *offset) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	writes = slices.Clone(writes)
	expect := make(map[string]int64)
	for i := range writes {
		expect[writes[i].Key] = writes[i].Expect
		writes[i].Expect = o.named(writes[i].Expect)
	}
	revision, err := o.Store.Apply(ctx, writes...)
	var conflict *store.ConflictError
	if errors.As(err, &conflict) {
		return 0, &store.ConflictError{Key: conflict.Key, Expect: expect[conflict.Key], Current: o.out(conflict.Current)}
	}
	return o.out(revision), err
}

func (o *offset) Get(ctx context.Context, key string) (store.Record, error) {
	r, err := o.Store.Get(ctx, key)
	r.Revision = o.out(r.Revision)
	return r, err
}

func (o *offset) List(ctx context.Context, prefix string, opts store.ListOptions) (store.List, error) {
	opts.At = o.named(opts.At)
	l, err := o.Store.List(ctx, prefix, opts)
	l.Revision = o.out(l.Revision)
	l.Records = slices.Clone(l.Records)
	for i := range l.Records {
		l.Records[i].Revision = o.out(l.Records[i].Revision)
	}
	return l, err
}

func (o *offset) Events(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	events, err := o.Store.Events(ctx, o.in(after), limit)
	events = slices.Clone(events)
	for i := range events {
		events[i].Revision = o.out(events[i].Revision)
	}
	return events, err
}

func (o *offset) Wait(ctx context.Context, after int64) error { return o.Store.Wait(ctx, o.in(after)) }

func (o *offset) Revision() int64 { return o.out(o.Store.Revision()) }

func (o *offset) Compact(ctx context.Context, revision int64) error {
	return o.Store.Compact(ctx, o.in(revision))
}
