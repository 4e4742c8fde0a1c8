package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sampan/store"
)

// failure gives an error of etcd its meaning for callers. ctx is the caller's, without our own time limit.
func (s *Store) failure(ctx context.Context, what string, err error) error {
	if err := s.usable(); err != nil {
		return err
	}
	if s.ctx.Err() != nil {
		return store.ErrClosed
	}
	return explain(ctx, s.opts, what, err)
}

func explain(ctx context.Context, opts Options, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s in etcd: %w", what, ctx.Err())
	}
	meaning := error(nil)
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		meaning = store.ErrCompacted
	case errors.Is(err, rpctypes.ErrFutureRev):
		meaning = store.ErrFuture
	case errors.Is(err, rpctypes.ErrNoSpace):
		return fmt.Errorf("%s: %w (etcd at %s is full: compact and defragment it, or raise its --quota-backend-bytes, and end its alarm with etcdctl alarm disarm)",
			what, store.ErrNoSpace, members(opts))
	case errors.Is(err, rpctypes.ErrRequestTooLarge), status.Code(err) == codes.ResourceExhausted:
		return fmt.Errorf("%s: %w: etcd at %s takes 1.5 MiB, unless its --max-request-bytes says otherwise", what, store.ErrTooLarge, members(opts))
	case errors.Is(err, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%s: %w: etcd at %s takes 128 keys in one transaction, unless its --max-txn-ops says otherwise", what, store.ErrTooLarge, members(opts))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w: etcd at %s did not answer within %v", what, store.ErrUnavailable, members(opts), callTimeout)
	case unreachable(err):
		return fmt.Errorf("%s: %w: etcd at %s: %s", what, store.ErrUnavailable, members(opts), status.Convert(err).Message())
	}
	if meaning != nil {
		return fmt.Errorf("%s: %w", what, meaning)
	}
	return fmt.Errorf("%s in etcd at %s: %w", what, members(opts), err)
}

// unanswered reports whether etcd may have done what it was asked for, since the question was not refused, and did not
// fail for want of a connection.
func unanswered(err error) bool {
	return unreachable(err) && !busy(err) &&
		!strings.HasPrefix(status.Convert(err).Message(), "connection error:")
}

// busy reports whether a member has put a call off: it knows no leader, or has too much to do.
func busy(err error) bool {
	return errors.Is(err, rpctypes.ErrNoLeader) || errors.Is(err, rpctypes.ErrTooManyRequests)
}

// timedOut reports whether a call met its time limit here, or at a member, which is told of it. etcd before 3.5 does not
// translate that.
func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || err != nil && status.Convert(err).Message() == context.DeadlineExceeded.Error()
}

// unreachable tells a cluster that cannot answer from one that answers with a refusal.
func unreachable(err error) bool {
	if busy(err) || timedOut(err) {
		return true
	}
	var e rpctypes.EtcdError
	code := status.Code(err)
	if errors.As(err, &e) {
		code = e.Code()
	}
	return code == codes.Unavailable || code == codes.DeadlineExceeded || code == codes.Canceled
}
