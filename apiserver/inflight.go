package apiserver

import (
	"slices"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/apiserver/auth"
)

// The number of requests that are carried out at the same time unless the configuration says otherwise, as in upstream.
const (
	maxReadOnly = 400
	maxMutating = 200
)

// retryAfter is how many seconds a client that was refused should wait.
const retryAfter = 1

// inFlight bounds the requests that are carried out at the same time, those that write apart from those that read,
// so that a flood of requests costs its senders an answer instead of the server its memory. Streams are not counted.
type inFlight struct{ readOnly, mutating gate }

// gate is one of the bounds.
type gate struct {
	max int64 // negative: none
	now atomic.Int64
}

func newInFlight(readOnly, mutating int) *inFlight {
	f := new(inFlight)
	f.readOnly.max, f.mutating.max = int64(or(readOnly, maxReadOnly)), int64(or(mutating, maxMutating))
	return f
}

func or(value, other int) int {
	if value == 0 {
		return other
	}
	return value
}

// enter lets a request in, or refuses it. The administrators are let in over the bound, as in upstream: they must be
// able to help. leave is called when the request has ended.
func (f *inFlight) enter(verb string, user auth.User) (leave func(), err error) {
	g := &f.readOnly
	switch verb {
	case "create", "update", "patch", "delete", "deletecollection":
		g = &f.mutating
	}
	leave = func() { g.now.Add(-1) }
	if n := g.now.Add(1); g.max >= 0 && n > g.max && !slices.Contains(user.Groups, auth.GroupMasters) {
		leave()
		return nil, apierrors.NewTooManyRequests("Too many requests, please try again later.", retryAfter)
	}
	return leave, nil
}
