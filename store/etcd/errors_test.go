package etcd

import (
	"context"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestWritesThatMayBeDoneAreToldFromThoseThatAreNot(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{status.Error(codes.Unavailable, "error reading from server: EOF"), true},
		{context.DeadlineExceeded, true},
		{rpctypes.ErrTimeout, true},
		{rpctypes.ErrTimeoutDueToLeaderFail, true},
		{status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: connection refused"`), false},
		{status.Error(codes.Unknown, "context deadline exceeded"), true},
		{rpctypes.ErrNoLeader, false},
		{rpctypes.ErrTooManyRequests, false},
		{rpctypes.ErrNoSpace, false},
		{rpctypes.ErrTooManyOps, false},
		{rpctypes.ErrPermissionDenied, false},
		{errors.New("something else"), false},
	} {
		if got := unanswered(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
