package apiserver

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"sampan/kind"
	"sampan/view"
)

// watchOptions are what a watch may ask for, as metav1.ListOptions has them.
type watchOptions struct {
	sel               selection
	revision          string
	bookmarks         bool
	sendInitialEvents *bool
}

// watchEvent is one event of a watch. Its object is published, or at least shared by nobody who writes to it.
type watchEvent struct {
	typ    watch.EventType
	object kind.Object // nil in an error
	status *apierrors.StatusError
}

// watcher is a watch that is pulled: next returns what has happened, wait returns when there is more. It has no
// goroutine and holds nothing in the server, so it can be dropped at any time. It belongs to one goroutine.
type watcher struct {
	server  *Server
	request request
	opts    watchOptions

	initial *view.Snapshot // the state that is still to be sent; nil: none
	cursor  int64          // the revision up to which events were returned
	ended   bool
}

// watch begins a watch.
func (s *Server) watch(ctx context.Context, r request, opts watchOptions) (*watcher, error) {
	w := &watcher{server: s, request: r, opts: opts}
	wantsInitial := opts.sendInitialEvents != nil && *opts.sendInitialEvents
	switch opts.revision {
	case "", "0":
		// The state is that of now, so that whoever has been told that his watch began sees each later change.
		snap := s.cache.snapshot()
		w.cursor = snap.Revision()
		if opts.sendInitialEvents == nil || wantsInitial {
			w.initial = snap
		}
	default:
		revision, err := parseRevision(opts.revision)
		if err != nil {
			return nil, err
		}
		w.cursor = revision
		if wantsInitial {
			if err := s.waitForRevision(ctx, revision); err != nil {
				return nil, err
			}
			w.initial = s.cache.snapshot()
		}
	}
	return w, nil
}

// lists reports whether the watch is still to send all objects, and a bookmark that says so: what a client uses in the
// place of a list.
func (w *watcher) lists() bool {
	// Also where the state was not asked for by name, as upstream has it since v1.34.
	return w.initial != nil && w.opts.bookmarks
}

// next returns the events since the last call, none if there are none yet. ok is false when the watch is over; the
// last event says why then.
func (w *watcher) next() (events []watchEvent, ok bool) {
	if w.ended {
		return nil, false
	}
	s, r := w.server, w.request
	if snap := w.initial; snap != nil {
		lists := w.lists()
		w.initial = nil
		for obj := range w.opts.sel.objects(snap, r.kind, r.key.Namespace, "") {
			events = append(events, watchEvent{typ: watch.Added, object: obj})
		}
		w.cursor = snap.Revision()
		if lists {
			mark := w.bookmark()
			mark.object.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
			events = append(events, mark)
		}
		return events, true
	}
	changes, snap, ok := s.cache.since(r.kind.ID, w.cursor)
	if !ok {
		w.ended = true
		err := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", w.cursor, snap.Revision()))
		return []watchEvent{{typ: watch.Error, status: err}}, false
	}
	for _, c := range changes {
		if r.key.Namespace != "" && c.Key.Namespace != r.key.Namespace {
			continue
		}
		if e, ok := w.event(c.Old, c.New, c.Revision); ok {
			events = append(events, e)
		}
	}
	w.cursor = max(w.cursor, snap.Revision())
	return events, true
}

// event is a change as the watch's selector shows it: an object that comes into the selection is added, one that
// leaves it is deleted.
func (w *watcher) event(old, new kind.Object, revision int64) (watchEvent, bool) {
	sel, k := w.opts.sel, w.request.kind
	was := old != nil && (sel.everything() || sel.matches(k, old))
	is := new != nil && (sel.everything() || sel.matches(k, new))
	return eventOf(old, new, revision, was, is)
}

// eventOf is a change as a client sees it to whom the object was and is shown.
func eventOf(old, new kind.Object, revision int64, was, is bool) (watchEvent, bool) {
	switch {
	case is && was:
		return watchEvent{typ: watch.Modified, object: new}, true
	case is:
		return watchEvent{typ: watch.Added, object: new}, true
	case was && new == nil:
		return watchEvent{typ: watch.Deleted, object: old}, true
	case was:
		return watchEvent{typ: watch.Deleted, object: withRevision(old, revision)}, true
	}
	return watchEvent{}, false
}

// bookmark says that everything up to the cursor was sent.
func (w *watcher) bookmark() watchEvent { return bookmarkOf(w.request.kind, w.cursor) }

func bookmarkOf(k *kind.Kind, revision int64) watchEvent {
	obj := k.New()
	setGVK(obj, k.GVK)
	obj.SetResourceVersion(strconv.FormatInt(revision, 10))
	return watchEvent{typ: watch.Bookmark, object: obj}
}

// wait returns nil once there may be more events, or ctx's error.
func (w *watcher) wait(ctx context.Context) error {
	return w.server.cache.wait(ctx, w.request.kind.ID, w.cursor)
}
