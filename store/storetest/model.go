package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sampan/store"
)

// model is a store that remembers every state as a whole: too slow for anything, too plain to be wrong.
type model struct {
	states    []map[string]store.Record // by revision
	events    []store.Event
	compacted int64
}

func newModel() *model { return &model{states: []map[string]store.Record{{}}} }

func (m *model) revision() int64 { return int64(len(m.states) - 1) }

func (m *model) newest() map[string]store.Record { return m.states[m.revision()] }

func (m *model) apply(writes []store.Write) (int64, *store.ConflictError) {
	next := make(map[string]store.Record)
	for k, r := range m.newest() {
		next[k] = r
	}
	revision := m.revision() + 1
	var events []store.Event
	for _, w := range writes {
		current, exists := m.newest()[w.Key]
		if w.Expect != store.AnyRevision && w.Expect != current.Revision {
			return 0, &store.ConflictError{Key: w.Key, Expect: w.Expect, Current: current.Revision}
		}
		switch {
		case w.Value != nil:
			next[w.Key] = store.Record{Key: w.Key, Value: w.Value, Revision: revision}
		case exists:
			delete(next, w.Key)
		default:
			continue
		}
		events = append(events, store.Event{Key: w.Key, Value: w.Value, Revision: revision})
	}
	if len(events) == 0 {
		return m.revision(), nil
	}
	m.states = append(m.states, next)
	m.events = append(m.events, events...)
	return revision, nil
}

func (m *model) list(prefix string, opts store.ListOptions) (store.List, error) {
	at := opts.At
	if at == 0 {
		at = m.revision()
	}
	switch {
	case at < m.compacted:
		return store.List{}, store.ErrCompacted
	case at > m.revision():
		return store.List{}, store.ErrFuture
	}
	l := store.List{Revision: at}
	for key, r := range m.states[at] {
		if strings.HasPrefix(key, prefix) && (opts.After == "" || key > opts.After) {
			l.Records = append(l.Records, r)
		}
	}
	slices.SortFunc(l.Records, func(a, b store.Record) int { return cmp.Compare(a.Key, b.Key) })
	if opts.Limit > 0 && len(l.Records) > opts.Limit {
		l.Records, l.More = l.Records[:opts.Limit], true
	}
	return l, nil
}

func (m *model) eventsAfter(after int64, limit int) ([]store.Event, error) {
	if after < m.compacted {
		return nil, store.ErrCompacted
	}
	var out []store.Event
	for _, e := range m.events {
		full := limit > 0 && len(out) >= limit
		if e.Revision <= after || full && e.Revision != out[len(out)-1].Revision {
			continue
		}
		out = append(out, e)
	}
	return out, nil
}

// testModel compares random histories on the store and on the model.
func testModel(t *testing.T, open func(t *testing.T) store.Store) {
	keys := rapid.SampledFrom([]string{"/a/1", "/a/2", "/a/3", "/b/1", "/b/2", "/c"})
	prefixes := rapid.SampledFrom([]string{"", "/a/", "/b/", "/b/1", "/c", "/x"})
	rapid.Check(t, func(rt *rapid.T) {
		s, m := open(t), newModel()
		defer s.Close()
		revisions := rapid.Custom(func(rt *rapid.T) int64 { return rapid.Int64Range(0, m.revision()+1).Draw(rt, "revision") })
		step := 0
		rt.Repeat(map[string]func(*rapid.T){
			"": func(rt *rapid.T) {
				if s.Revision() != m.revision() {
					rt.Fatalf("revision %d, want %d", s.Revision(), m.revision())
				}
			},
			"apply": func(rt *rapid.T) {
				step++
				var writes []store.Write
				for _, key := range rapid.SliceOfNDistinct(keys, 1, 3, rapid.ID).Draw(rt, "keys") {
					w := store.Write{Key: key, Expect: m.newest()[key].Revision}
					if rapid.IntRange(0, 3).Draw(rt, "expect") == 0 {
						w.Expect = rapid.Int64Range(store.AnyRevision, m.revision()).Draw(rt, "expected")
					}
					if rapid.IntRange(0, 3).Draw(rt, "delete") > 0 {
						w.Value = fmt.Append(nil, step)
					}
					writes = append(writes, w)
				}
				got, err := s.Apply(t.Context(), writes...)
				want, conflict := m.apply(writes)
				var gotConflict *store.ConflictError
				if conflict != nil {
					if !errors.As(err, &gotConflict) || *gotConflict != *conflict {
						rt.Fatalf("apply: got error %v, want %v", err, conflict)
					}
				} else if err != nil || got != want {
					rt.Fatalf("apply: got %d, %v, want %d", got, err, want)
				}
			},
			"get": func(rt *rapid.T) {
				key := keys.Draw(rt, "key")
				want, exists := m.newest()[key]
				got, err := s.Get(t.Context(), key)
				if exists != (err == nil) || !exists && !errors.Is(err, store.ErrNotFound) {
					rt.Fatalf("get %s: %v, want it to exist: %v", key, err, exists)
				}
				if diff := gocmp.Diff(want, got); exists && diff != "" {
					rt.Fatalf("get %s (-want +got):\n%s", key, diff)
				}
			},
			"list": func(rt *rapid.T) {
				prefix := prefixes.Draw(rt, "prefix")
				opts := store.ListOptions{At: revisions.Draw(rt, "at"), Limit: rapid.IntRange(0, 3).Draw(rt, "limit")}
				if rapid.Bool().Draw(rt, "continue") {
					opts.After = keys.Draw(rt, "after")
				}
				want, wantErr := m.list(prefix, opts)
				got, err := s.List(t.Context(), prefix, opts)
				if !errors.Is(err, wantErr) {
					rt.Fatalf("list %q %+v: got error %v, want %v", prefix, opts, err, wantErr)
				}
				if diff := gocmp.Diff(shownList(want), shownList(got)); diff != "" || want.Revision != got.Revision {
					rt.Fatalf("list %q %+v at %d, want %d (-want +got):\n%s", prefix, opts, got.Revision, want.Revision, diff)
				}
			},
			"events": func(rt *rapid.T) {
				after, limit := revisions.Draw(rt, "after"), rapid.IntRange(0, 5).Draw(rt, "limit")
				want, wantErr := m.eventsAfter(after, limit)
				got, err := s.Events(t.Context(), after, limit)
				if !errors.Is(err, wantErr) {
					rt.Fatalf("events after %d: got error %v, want %v", after, err, wantErr)
				}
				if diff := gocmp.Diff(shownEvents(want), shownEvents(got)); diff != "" {
					rt.Fatalf("events after %d, limit %d (-want +got):\n%s", after, limit, diff)
				}
			},
			"compact": func(rt *rapid.T) {
				at := rapid.Int64Range(0, m.revision()).Draw(rt, "at")
				if err := s.Compact(t.Context(), at); err != nil {
					rt.Fatalf("compact to %d: %v", at, err)
				}
				m.compacted = max(m.compacted, at)
			},
		})
	})
}
