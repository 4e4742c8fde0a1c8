package apiserver_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"sampan/apiserver"
	"sampan/apiserver/apiservertest"
	"sampan/apiserver/auth"
	"sampan/client"
	"sampan/store"
)

var _ client.Client = (*apiserver.Local)(nil)

func everyone(auth.Attributes) (bool, string) { return true, "" }

func masters() auth.User { return apiservertest.Admin() }

// newServer returns a server over a store, on which everybody may do everything.
func newServer(t testing.TB, st store.Store, change ...func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	return apiservertest.New(t, st, append([]func(*apiserver.Config){anything}, change...)...)
}

// newMemory returns one over an empty store in memory.
func newMemory(t testing.TB, change ...func(*apiserver.Config)) *apiserver.Server {
	t.Helper()
	return apiservertest.NewMemory(t, append([]func(*apiserver.Config){anything}, change...)...)
}

func anything(cfg *apiserver.Config) { cfg.Authorizer = everyone }

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
