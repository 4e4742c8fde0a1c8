package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"sampan/kind"
	"sampan/view"
)

// followPath is where package client/remote follows several kinds in one stream. It is Sampan's own: watches of
// the Kubernetes API are one stream per kind, which say nothing about the order of changes in two streams, so
// that a view made of them would show a state that never was.
//
// The query is that of a watch (resourceVersion: go on behind it; empty: begin with the state) with a parameter
// "follow" for each kind, itself a query: resource ("deployments.apps"), namespace, labelSelector, fieldSelector.
// Events are framed as those of a watch in protobuf. Every group of events ends with a bookmark: what came before
// it is the cluster's state at the bookmark's revision. A stream that begins with the state marks the end of it
// as watches do, with the annotation k8s.io/initial-events-end.
const followPath = "/sampan/v1/follow"

// follower is several watches with one cursor. Like a [watcher] it is pulled, and belongs to one goroutine.
type follower struct {
	server  *Server
	watches map[kind.ID]*watcher
	ids     []kind.ID
	initial bool
	cursor  int64
}

// next returns the events since the last call and ok = false when some of them are forgotten. The events are all
// that happened up to the cursor, in the order of their revisions.
func (f *follower) next() (events []watchEvent, ok bool) {
	if f.initial {
		snap := f.server.cache.snapshot()
		f.cursor = snap.Revision()
		for _, id := range f.ids {
			w := f.watches[id]
			for obj := range w.opts.sel.objects(snap, w.request.kind, w.request.key.Namespace, "") {
				events = append(events, watchEvent{typ: watch.Added, object: obj})
			}
		}
		return events, true
	}
	changes, snap, ok := f.server.cache.sinceAny(f.ids, f.cursor)
	if !ok {
		return nil, false
	}
	for _, c := range changes {
		w := f.watches[c.Key.Kind]
		if ns := w.request.key.Namespace; ns != "" && c.Key.Namespace != ns {
			continue
		}
		if e, ok := w.event(c.Old, c.New, c.Revision); ok {
			events = append(events, e)
		}
	}
	f.cursor = max(f.cursor, snap.Revision())
	return events, true
}

// mark says that everything up to the cursor was sent.
func (f *follower) mark() watchEvent {
	w := f.watches[f.ids[0]]
	w.cursor = f.cursor
	e := w.bookmark()
	if f.initial {
		f.initial = false
		e.object.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return e
}

// follow answers a request for [followPath]. An error is still to be written.
func (x *exchange) follow() error {
	if x.r.Method != http.MethodGet {
		return apierrors.NewMethodNotSupported(schema.GroupResource{Resource: "follow"}, x.r.Method)
	}
	a, err := negotiate(x.r.Header.Get("Accept"), true)
	if err != nil {
		return err
	}
	if a.media != mediaProto {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
			Message: "only the following media types are accepted: " + mediaProto,
		}}
	}
	f := &follower{server: x.server, watches: make(map[kind.ID]*watcher)}
	framers := make(map[kind.ID]*viewer)
	for _, text := range x.query["follow"] {
		w, err := x.followed(text)
		if err != nil {
			return err
		}
		id := w.request.kind.ID
		if f.watches[id] != nil {
			return apierrors.NewBadRequest(fmt.Sprintf("follow: %s is there twice", id))
		}
		f.watches[id], f.ids = w, append(f.ids, id)
		one := *x
		one.req = w.request
		framers[id] = one.viewer(a)
	}
	if len(f.ids) == 0 {
		return apierrors.NewBadRequest("follow: at least one kind must be given")
	}
	f.initial = true
	if text := x.query.Get("resourceVersion"); text != "" {
		if f.cursor, err = parseRevision(text); err != nil {
			return err
		}
		// A server that is behind the client (another one of the same store) catches up first: a client must
		// not see time go backwards.
		if err := x.server.waitForRevision(x.r.Context(), f.cursor); err != nil {
			return err
		}
		f.initial = x.query.Get("sendInitialEvents") == "true"
	}
	if _, _, ok := x.server.cache.sinceAny(f.ids, f.cursor); !ok && !f.initial {
		return errForgotten(f)
	}
	x.streamFollowed(f, a, framers)
	return nil
}

func errForgotten(f *follower) *apierrors.StatusError {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", f.cursor, f.server.cache.snapshot().Revision()))
}

// followed reads one "follow" parameter and asks whether the user may list and watch that.
func (x *exchange) followed(text string) (*watcher, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("follow: %v", err))
	}
	id := kind.ID(query.Get("resource"))
	k := x.server.cfg.Kinds.ByID(id)
	if k == nil {
		return nil, errUnknownKind(id)
	}
	namespace := query.Get("namespace")
	if namespace != "" && !k.Namespaced {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("follow: %s have no namespace", id))
	}
	for _, verb := range []string{"list", "watch"} {
		one := *x
		one.query = query
		one.route = route{verb: verb, gv: k.GVK.GroupVersion(), resource: k.GroupResource().Resource, namespace: namespace}
		if err := one.authorize(); err != nil {
			return nil, err
		}
	}
	w := &watcher{server: x.server, request: request{user: x.user, kind: k}}
	w.request.key = view.Key{Kind: id, Namespace: namespace}
	w.opts.sel, err = newSelection(k, nil, query.Get("labelSelector"), query.Get("fieldSelector"))
	return w, err
}

// streamFollowed writes the events until the client goes away, or is so slow that the history runs out.
func (x *exchange) streamFollowed(f *follower, a accepted, viewers map[kind.ID]*viewer) {
	defer x.server.metrics.begin(x.measured())()
	ctx := x.r.Context()
	h := x.w.Header()
	h.Set("Content-Type", mediaProto+";stream=watch")
	h.Set("Cache-Control", "no-cache, private")
	x.w.WriteHeader(http.StatusOK)
	if http.NewResponseController(x.w).Flush() != nil {
		return
	}
	out := new(framer)
	add := func(e watchEvent) bool {
		out.viewer = viewers[f.ids[0]]
		if e.object != nil {
			out.viewer = viewers[x.server.cfg.Kinds.Of(e.object).ID]
		}
		if err := out.add(e); err != nil {
			x.server.cfg.Log.Error("encode an event", "kind", out.viewer.kind.ID, "error", err)
			return false
		}
		return out.buf.Len() < writeChunk || out.flushTo(x.w)
	}
	for {
		events, ok := f.next()
		if !ok {
			if add(watchEvent{typ: watch.Error, status: errForgotten(f)}) {
				out.flushTo(x.w)
			}
			return
		}
		for _, e := range events {
			if !add(e) {
				return
			}
		}
		if !add(f.mark()) || !out.flushTo(x.w) {
			return
		}
		waiting, cancel := context.WithTimeout(ctx, bookmarkInterval)
		err := x.server.cache.waitAny(waiting, f.ids, f.cursor)
		cancel()
		// After a minute in which only other kinds changed, a mark keeps the client's revision a recent one. When
		// nothing changed at all there is nothing to say until something does.
		if err != nil && x.server.cache.snapshot().Revision() == f.cursor {
			_ = x.server.cache.wait(ctx, "", f.cursor)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// sinceAny is since for several kinds: their changes in the order of revisions.
func (c *cache) sinceAny(ids []kind.ID, after int64) (changes []view.Change, snap *view.Snapshot, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, id := range ids {
		some, ok := c.history(id).since(after)
		if !ok {
			return nil, c.snap.Load(), false
		}
		changes = append(changes, some...)
	}
	slices.SortStableFunc(changes, func(a, b view.Change) int { return int(a.Revision - b.Revision) })
	return changes, c.snap.Load(), true
}

// waitAny returns nil once there is a change after the revision to one of the kinds, or ctx's error.
func (c *cache) waitAny(ctx context.Context, ids []kind.ID, after int64) error {
	cases := make([]reflect.SelectCase, 1, len(ids)+1)
	cases[0] = reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ctx.Done())}
	for {
		there := false
		cases = cases[:1]
		c.mu.RLock()
		for _, id := range ids {
			h := c.history(id)
			there = there || h.last > after
			cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(h.waiter())})
		}
		c.mu.RUnlock()
		if there {
			return nil
		}
		if chosen, _, _ := reflect.Select(cases); chosen == 0 {
			return ctx.Err()
		}
	}
}
