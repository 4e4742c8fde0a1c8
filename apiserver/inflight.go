package apiserver

import (
	"slices"
	"sync/atomic"
	"time"

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
	max  int64 // negative: none
	now  atomic.Int64
	peak peak
}

// most returns the largest number of requests that were inside at the same time lately: those of a moment are gone before
// anybody looks.
func (g *gate) most(at time.Time) int64 { return max(g.now.Load(), g.peak.lately(at)) }

// peak is the largest number of the last second that had one: the second, and in the lower bits the number.
type peak struct{ mark atomic.Uint64 }

// peakBits is the size of the number.
const peakBits = 24

func (p *peak) note(at time.Time, n int64) {
	mark := uint64(at.Unix())<<peakBits | uint64(min(n, 1<<peakBits-1))
	for seen := p.mark.Load(); seen < mark; seen = p.mark.Load() {
		if p.mark.CompareAndSwap(seen, mark) {
			return
		}
	}
}

// lately returns the number if it is not older than the second before.
func (p *peak) lately(at time.Time) int64 {
	mark := p.mark.Load()
	if int64(mark>>peakBits) < at.Unix()-1 {
		return 0
	}
	return int64(mark & (1<<peakBits - 1))
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
func (f *inFlight) enter(verb string, user auth.User, at time.Time) (leave func(), err error) {
	g := &f.readOnly
	switch verb {
	case "create", "update", "patch", "delete", "deletecollection":
		g = &f.mutating
	}
	leave = func() { g.now.Add(-1) }
	n := g.now.Add(1)
	if g.max >= 0 && n > g.max && !slices.Contains(user.Groups, auth.GroupMasters) {
		leave()
		return nil, apierrors.NewTooManyRequests("Too many requests, please try again later.", retryAfter)
	}
	g.peak.note(at, n)
	return leave, nil
}
