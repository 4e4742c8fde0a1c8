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
// "follow" for each part to follow, itself a query: resource ("deployments.apps"), namespace, labelSelector,
// fieldSelector. Parts of one kind add up: a node follows the Secrets that its pods name by naming each.
// Events are framed as those of a watch in protobuf. Every group of events ends with a bookmark: what came before
// it is the cluster's state at the bookmark's revision. A stream that begins with the state marks the end of it
// as watches do, with the annotation k8s.io/initial-events-end.
const followPath = "/sampan/v1/follow"

// follower is several watches with one cursor. Like a [watcher] it is pulled, and belongs to one goroutine.
type follower struct {
	server  *Server
	parts   map[kind.ID][]part
	ids     []kind.ID // of the parts, each once
	initial bool
	cursor  int64
}

// part is what is followed of one kind.
type part struct {
	kind      *kind.Kind
	namespace string // "" for all
	sel       selection
}

func (p part) selects(obj kind.Object) bool {
	return (p.namespace == "" || p.namespace == obj.GetNamespace()) && (p.sel.everything() || p.sel.matches(p.kind, obj))
}

// selects reports whether one of the parts selects an object, which may be nil.
func selects(parts []part, obj kind.Object) bool {
	return obj != nil && slices.ContainsFunc(parts, func(p part) bool { return p.selects(obj) })
}

// next returns the events since the last call and ok = false when some of them are forgotten. The events are all
// that happened up to the cursor, in the order of their revisions.
func (f *follower) next() (events []watchEvent, ok bool) {
	if f.initial {
		snap := f.server.cache.snapshot()
		f.cursor = snap.Revision()
		for _, id := range f.ids {
			for i, p := range f.parts[id] {
				for obj := range p.sel.objects(snap, p.kind, p.namespace, "") {
					if !selects(f.parts[id][:i], obj) { // otherwise it was sent
						events = append(events, watchEvent{typ: watch.Added, object: obj})
					}
				}
			}
		}
		return events, true
	}
	changes, snap, ok := f.server.cache.sinceAny(f.ids, f.cursor)
	if !ok {
		return nil, false
	}
	for _, c := range changes {
		parts := f.parts[c.Key.Kind]
		if e, ok := eventOf(c.Old, c.New, c.Revision, selects(parts, c.Old), selects(parts, c.New)); ok {
			events = append(events, e)
		}
	}
	f.cursor = max(f.cursor, snap.Revision())
	return events, true
}

// mark says that everything up to the cursor was sent.
func (f *follower) mark() watchEvent {
	e := bookmarkOf(f.parts[f.ids[0]][0].kind, f.cursor)
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
	f := &follower{server: x.server, parts: make(map[kind.ID][]part)}
	viewers := make(map[kind.ID]*viewer)
	for _, text := range x.query["follow"] {
		p, err := x.followed(text)
		if err != nil {
			return err
		}
		id := p.kind.ID
		if f.parts[id] == nil {
			f.ids = append(f.ids, id)
			one := *x
			one.req = request{user: x.user, kind: p.kind}
			viewers[id] = one.viewer(a)
		}
		f.parts[id] = append(f.parts[id], p)
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
	x.streamFollowed(f, viewers)
	return nil
}

func errForgotten(f *follower) *apierrors.StatusError {
	return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", f.cursor, f.server.cache.snapshot().Revision()))
}

// followed reads one "follow" parameter and asks whether the user may list and watch that.
func (x *exchange) followed(text string) (part, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return part{}, apierrors.NewBadRequest(fmt.Sprintf("follow: %v", err))
	}
	id := kind.ID(query.Get("resource"))
	p := part{kind: x.server.cfg.Kinds.ByID(id), namespace: query.Get("namespace")}
	if p.kind == nil {
		return part{}, errUnknownKind(id)
	}
	if p.namespace != "" && !p.kind.Namespaced {
		return part{}, apierrors.NewBadRequest(fmt.Sprintf("follow: %s have no namespace", id))
	}
	for _, verb := range []string{"list", "watch"} {
		one := *x
		one.query = query
		one.route = route{verb: verb, gv: p.kind.GVK.GroupVersion(), resource: p.kind.GroupResource().Resource, namespace: p.namespace}
		if err := one.authorize(); err != nil {
			return part{}, err
		}
	}
	p.sel, err = newSelection(p.kind, nil, query.Get("labelSelector"), query.Get("fieldSelector"))
	return p, err
}

// streamFollowed writes the events until the client goes away, or is so slow that the history runs out, or as long as a
// watch lasts: the client comes back then, and is asked anew who it is and what it may.
func (x *exchange) streamFollowed(f *follower, viewers map[kind.ID]*viewer) {
	defer x.server.metrics.begin(x.measured())()
	ctx, cancel := context.WithTimeout(x.r.Context(), x.server.watchTimeout())
	defer cancel()
	h := x.w.Header()
	h.Set("Content-Type", mediaProto+";stream=watch")
	h.Set("Cache-Control", "no-cache, private")
	x.w.WriteHeader(http.StatusOK)
	if http.NewResponseController(x.w).Flush() != nil {
		return
	}
	var p patience
	out := &framer{send: func(events []byte) bool { return p.write(x.w, events) }}
	add := func(e watchEvent) bool {
		out.viewer = viewers[f.ids[0]]
		if e.object != nil {
			out.viewer = viewers[x.server.cfg.Kinds.Of(e.object).ID]
		}
		if err := out.add(e); err != nil {
			x.server.cfg.Log.Error("encode an event", "kind", out.viewer.kind.ID, "error", err)
			return false
		}
		return out.buf.Len() < writeChunk || out.flush()
	}
	for {
		events, ok := f.next()
		if !ok {
			if add(watchEvent{typ: watch.Error, status: errForgotten(f)}) {
				out.flush()
			}
			return
		}
		for _, e := range events {
			if !add(e) {
				return
			}
		}
		if !add(f.mark()) || !out.flush() {
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
