package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// catchUp returns once the cache shows every write that was acknowledged before the call, by this server or by another
// one on the same store. A server that has its store for itself is always there.
func (s *Server) catchUp(ctx context.Context) error {
	if !s.cfg.SharedStore {
		return nil
	}
	err := s.cfg.Store.CatchUp(ctx)
	if err == nil {
		err = s.cache.advance(ctx, s.cfg.Store.Revision())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return apierrors.NewTimeoutError("the request ended while the API server learned the newest state", 0)
	}
	return storeError(fmt.Errorf("learn the newest state: %w", err))
}

// wantsNewest reports whether a request must be carried out on the newest state: a write, and a read that does not say
// how old its answer may be (an empty resourceVersion, where "0" is any state). Upstream holds reads to the same. That
// who asks, and what he may, is then looked up in that state too is more than upstream promises.
func (x *exchange) wantsNewest(isResource bool) bool {
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return true
	}
	return (isResource || x.r.URL.Path == followPath) && x.query.Get("resourceVersion") == "" && x.query.Get("continue") == ""
}

// reach returns once the cache is as new as a read wants it that names a resourceVersion.
func (s *Server) reach(ctx context.Context, resourceVersion string) error {
	if resourceVersion == "" || resourceVersion == "0" {
		return nil
	}
	revision, err := parseRevision(resourceVersion)
	if err != nil {
		return err
	}
	return s.waitForRevision(ctx, revision)
}
