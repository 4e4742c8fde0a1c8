package apiserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"sampan/apiserver"
	"sampan/apiserver/admit"
	"sampan/apiserver/auth"
	"sampan/client"
	"sampan/kind/registry"
	"sampan/store"
	"sampan/store/memory"
)

var _ client.Client = (*apiserver.Local)(nil)

func everyone(auth.Attributes) (bool, string) { return true, "" }

func masters() auth.User { return auth.User{Name: "admin", Groups: []string{auth.GroupMasters}} }

// newServer returns a server over a store, with its namespaces.
func newServer(t testing.TB, st store.Store, change ...func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	var uids atomic.Int64
	cfg := apiserver.Config{
		Store:       st,
		Kinds:       registry.New(),
		Admission:   admit.Default(admit.Config{}),
		Authorizer:  everyone,
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

// newMemory returns a server over an empty store in memory.
func newMemory(t testing.TB, change ...func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	st := memory.New()
	t.Cleanup(func() { st.Close() })
	return newServer(t, st, change...)
}

// listen serves a server over TLS and HTTP/2, and returns how to reach it.
func listen(t testing.TB, s *apiserver.Server) *rest.Config {
	t.Helper()
	h := httptest.NewUnstartedServer(s.Handler())
	h.EnableHTTP2 = true
	h.StartTLS()
	t.Cleanup(func() {
		h.CloseClientConnections()
		h.Close()
	})
	return &rest.Config{Host: h.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: -1}
}

func clientset(t testing.TB, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Data: map[string]string{"k": "v"}}
}

func background() context.Context { return context.Background() }

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
