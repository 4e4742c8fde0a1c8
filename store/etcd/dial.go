package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// The client sends each call to the next of the members that it is connected to.
func dial(opts Options) (*clientv3.Client, error) {
	if len(opts.Endpoints) == 0 {
		return nil, errors.New("open a store in etcd: no member is named")
	}
	scheme := "http://"
	if opts.TLS != nil {
		scheme = "https://"
	}
	endpoints := make([]string, len(opts.Endpoints))
	for i, e := range opts.Endpoints {
		endpoints[i] = scheme + e
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints,
		TLS:       opts.TLS,
		// So a member that vanished or hangs without a word is noticed, and left out: until then, every call that
		// falls to it fails, and if the watch is there, so does every write. More often is not allowed.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		// Another member, or the same one after a short break; then the caller is told.
		MaxUnaryRetries: 3,
		Logger:          zap.NewNop(),
		DialOptions: []grpc.DialOption{
			grpc.WithChainUnaryInterceptor(withLeader, failFast),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect(), MinConnectTimeout: 5 * time.Second}),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open a store in etcd at %s: %w", members(opts), err)
	}
	return client, nil
}

// leaderPatience is how long a call waits for etcd to have a leader: longer than an election takes.
const leaderPatience = 3 * time.Second

// How long to wait before a call that was refused for want of a leader is made again.
const (
	leaderBackoffFirst = time.Millisecond
	leaderBackoffMax   = 200 * time.Millisecond
)

// withLeader has a member that knows no leader, such as one that is cut off from the others, refuse a call, where it
// would keep it until its own time limit; and makes a call that was refused, and so not carried out, again, at another
// member as a rule.
func withLeader(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx = clientv3.WithRequireLeader(ctx)
	err := invoke(ctx, method, req, reply, conn, opts...)
	if !errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader) {
		return err
	}
	patience := time.NewTimer(leaderPatience)
	defer patience.Stop()
	for pause := leaderBackoffFirst; errors.Is(rpctypes.Error(err), rpctypes.ErrNoLeader); pause = min(2*pause, leaderBackoffMax) {
		select {
		case <-time.After(pause):
			err = invoke(ctx, method, req, reply, conn, opts...)
		case <-patience.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// failFast makes a call fail when no member can be connected to, where the client would wait for one.
func failFast(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, conn, append(slices.Clip(opts), grpc.WaitForReady(false))...)
}

// reconnect is how often a lost member is tried.
func reconnect() backoff.Config {
	b := backoff.DefaultConfig
	b.BaseDelay, b.MaxDelay = 100*time.Millisecond, 5*time.Second
	return b
}
