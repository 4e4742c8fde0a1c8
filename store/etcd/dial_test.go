package etcd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

func TestCallsAreMadeAgainUntilThereIsALeader(t *testing.T) {
	for _, c := range []struct {
		name      string
		refusals  int           // by members that know no leader
		then      error         // of the call after them
		wantError error         // nil: none
		within    time.Duration // no later than this
	}{
		{"a leader is there", 0, nil, nil, 0},
		{"a member that is cut off, and another", 1, nil, nil, leaderBackoffFirst},
		{"an election", 10, nil, nil, leaderPatience},
		{"another error after it", 2, rpctypes.ErrGRPCNoSpace, rpctypes.ErrNoSpace, leaderPatience},
		{"no leader", 1 << 20, nil, rpctypes.ErrNoLeader, leaderPatience},
		{"another error", 0, rpctypes.ErrGRPCTimeout, rpctypes.ErrTimeout, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, calls := time.Now(), 0
			err := withLeader(t.Context(), "", nil, nil, nil, func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
				if md, _ := metadata.FromOutgoingContext(ctx); len(md.Get(rpctypes.MetadataRequireLeaderKey)) != 1 {
					t.Errorf("%s: a member without a leader would keep the call: %v", c.name, md)
				}
				if calls++; calls <= c.refusals {
					return rpctypes.ErrGRPCNoLeader
				}
				return c.then
			})
			if !errors.Is(rpctypes.Error(err), c.wantError) || c.wantError != rpctypes.ErrNoLeader && calls != c.refusals+1 {
				t.Errorf("%s: after %d calls: %v", c.name, calls, err)
			}
			if took := time.Since(began); took > c.within { // of virtual time
				t.Errorf("%s: given up after %s", c.name, took)
			}
		})
	}
}

func TestCallsForALeaderEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), leaderPatience/2)
		defer cancel()
		err := withLeader(ctx, "", nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
			return rpctypes.ErrGRPCNoLeader
		})
		if !errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) || ctx.Err() == nil {
			t.Errorf("%v, %v", err, ctx.Err())
		}
	})
}
