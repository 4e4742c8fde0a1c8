// Package apiservertest makes API servers for tests of what talks to one.
package apiservertest

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver"
	"sampan/apiserver/admit"
	"sampan/apiserver/auth"
	"sampan/kind/registry"
	"sampan/store"
	"sampan/store/memory"
)

// New returns a server over a store, with the objects that every cluster has. It serves all kinds, has the usual
// admission, and counts UIDs: uid-1, uid-2 and so on. change may change what it is made of.
func New(t testing.TB, st store.Store, change ...func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	var uids atomic.Int64
	cfg := apiserver.Config{
		Store:       st,
		Kinds:       registry.New(),
		Admission:   admit.Default(admit.Config{}),
		Now:         time.Now,
		NewUID:      func() types.UID { return types.UID(fmt.Sprintf("uid-%d", uids.Add(1))) },
		Random:      rand.NewPCG(1, 2),
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
		Log:         slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := apiserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// NewMemory returns a server over an empty store in memory.
func NewMemory(t testing.TB, change ...func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	return New(t, st, change...)
}

// Admin is a user who may do everything.
func Admin() auth.User { return auth.User{Name: "admin", Groups: []string{auth.GroupMasters}} }
