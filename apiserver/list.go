package apiserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/store"
)

// listOptions are what a list may ask for, as metav1.ListOptions has them.
type listOptions struct {
	sel      selection
	limit    int64
	continu  string
	revision string
	match    metav1.ResourceVersionMatch
}

// listed is a consistent list, or a page of one.
type listed struct {
	items     []kind.Object
	revision  int64
	continu   string
	remaining *int64
}

// futureWait is how long a request for a revision that is not there yet is kept waiting, as upstream does.
const futureWait = 3 * time.Second

// list returns the objects of the request's kind and namespace. Lists come from the cache. Pages, and lists at an
// exact revision, that the cache has left behind come from the store's history.
func (s *Server) list(ctx context.Context, r request, opts listOptions) (listed, error) {
	var after string // behind this "namespace/name"
	var at int64     // 0: the newest
	switch {
	case opts.continu != "":
		if opts.revision != "" && opts.revision != "0" {
			return listed{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
		}
		token, err := parseContinue(opts.continu)
		if err != nil {
			return listed{}, err
		}
		after, at = token.Start, token.Revision
		if at == 0 {
			err = s.catchUp(ctx)
		} else {
			err = s.waitForRevision(ctx, at) // another server of the same store handed it out
		}
		if err != nil {
			return listed{}, err
		}
	case opts.revision != "" && opts.revision != "0":
		revision, err := parseRevision(opts.revision)
		if err != nil {
			return listed{}, err
		}
		if err := s.waitForRevision(ctx, revision); err != nil {
			return listed{}, err
		}
		if opts.match == metav1.ResourceVersionMatchExact || opts.match == "" && opts.limit > 0 {
			at = revision
		}
	}
	snap := s.cache.snapshot()
	if at > 0 && at != snap.Revision() {
		return s.listAt(ctx, r, opts, after, at)
	}
	l := listed{revision: snap.Revision()}
	if opts.limit == 0 && opts.sel.everything() && r.key.Namespace == "" {
		l.items = make([]kind.Object, 0, snap.Len(r.kind.ID))
	}
	for obj := range opts.sel.objects(snap, r.kind, r.key.Namespace, after) {
		if opts.limit > 0 && int64(len(l.items)) == opts.limit {
			end := l.cut(snap.Revision())
			if opts.sel.everything() {
				l.remaining = new(int64(snap.LenFrom(r.kind.ID, r.key.Namespace, end)))
			}
			break
		}
		l.items = append(l.items, obj)
	}
	return l, nil
}

// cut makes the list a page that goes on behind its last item, whose "namespace/name" it returns.
func (l *listed) cut(revision int64) (end string) {
	last := l.items[len(l.items)-1]
	end = last.GetNamespace() + "/" + last.GetName()
	l.continu = continueToken{Version: "meta.k8s.io/v1", Revision: revision, Start: end}.String()
	return end
}

// listAt lists at a revision of the past.
func (s *Server) listAt(ctx context.Context, r request, opts listOptions, after string, at int64) (listed, error) {
	const page = 500
	prefix := storePrefix(r.kind.ID)
	from := ""
	if after != "" {
		from = prefix + after
	}
	if r.key.Namespace != "" {
		prefix += r.key.Namespace + "/"
	}
	l := listed{revision: at}
	for {
		records, err := s.cfg.Store.List(ctx, prefix, store.ListOptions{At: at, After: from, Limit: page})
		switch {
		case errors.Is(err, store.ErrCompacted):
			return listed{}, expired(opts.continu != "", after)
		case err != nil:
			return listed{}, storeError(fmt.Errorf("list %s at revision %d: %w", prefix, at, err))
		}
		for _, rec := range records.Records {
			obj, err := decodeStored(r.kind, rec.Value, rec.Revision)
			if err != nil {
				return listed{}, apierrors.NewInternalError(fmt.Errorf("decode %s at revision %d: %w", rec.Key, rec.Revision, err))
			}
			if !opts.sel.matches(r.kind, obj) {
				continue
			}
			if opts.limit > 0 && int64(len(l.items)) == opts.limit {
				l.cut(at)
				return l, nil
			}
			l.items = append(l.items, obj)
		}
		if !records.More {
			return l, nil
		}
		from = records.Records[len(records.Records)-1].Key
	}
}

// waitForRevision returns once the cache shows the revision.
func (s *Server) waitForRevision(ctx context.Context, revision int64) error {
	if revision <= s.cache.snapshot().Revision() {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, futureWait)
	defer cancel()
	if s.cfg.Store.Wait(waiting, revision-1) == nil && s.cache.advance(ctx, revision) == nil && revision <= s.cache.snapshot().Revision() {
		return nil
	}
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", revision, s.cache.snapshot().Revision()), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}

func parseRevision(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q: %v", text, err))
	}
	return int64(n), nil
}

// continueToken says where the next page of a list begins. Revision 0 is the newest state, which makes the list
// inconsistent: it is only handed out after the consistent one has expired.
type continueToken struct {
	Version  string `json:"v"`
	Revision int64  `json:"rv"`
	Start    string `json:"start"` // behind this "namespace/name"
}

func (t continueToken) String() string {
	data, err := json.Marshal(t)
	if err != nil {
		panic(err) // it has only strings and a number
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func parseContinue(text string) (continueToken, error) {
	var t continueToken
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	if err != nil || t.Version != "meta.k8s.io/v1" || t.Revision < 0 || !strings.Contains(t.Start, "/") {
		return t, apierrors.NewBadRequest("continue key is not valid: it is not one that this server handed out")
	}
	return t, nil
}

// expired is the answer to a page or an exact list whose history is gone.
func expired(paged bool, after string) error {
	if !paged {
		return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	err := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve " +
		"the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that " +
		"were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
	err.ErrStatus.ListMeta.Continue = continueToken{Version: "meta.k8s.io/v1", Start: after}.String()
	return err
}
