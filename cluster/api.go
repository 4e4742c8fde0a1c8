package cluster

import (
	"context"
	cryptorand "crypto/rand"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/uuid"

	"sampan/apiserver"
	"sampan/apiserver/admit"
	"sampan/apiserver/audit"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/store"
)

// api is the API server with what it stands on.
type api struct {
	server *apiserver.Server
	store  store.Store
	kinds  *kind.Registry
	identities
	audit   *audit.Log // nil: none
	metrics partMetrics
	nodes   *nodeHandlers
}

// newAPI opens the store and makes the API server on it. Close what it returns.
func newAPI(ctx context.Context, s Settings, log *slog.Logger) (_ *api, err error) {
	a := &api{kinds: registry.New(), nodes: new(nodeHandlers)}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	metrics := prometheus.NewRegistry()
	a.metrics = newPartMetrics(metrics)
	if a.store, err = openStore(ctx, s, log); err != nil {
		return nil, err
	}
	served, err := encrypted(ctx, s, a.store, a.metrics.encrypted)
	if err != nil {
		return nil, err
	}
	if err := a.identities.prepare(ctx, s, served, log, time.Now()); err != nil {
		return nil, err
	}
	if a.audit, err = openAudit(s, log); err != nil {
		return nil, err
	}
	var seed [32]byte
	cryptorand.Read(seed[:]) // never fails
	a.server, err = apiserver.New(apiserver.Config{
		Store:       served,
		SharedStore: s.Etcd != nil,
		Kinds:       a.kinds,
		Admission:   admit.Default(admit.Config{}),
		Now:         time.Now,
		NewUID:      uuid.NewUUID,
		Random:      rand.NewChaCha8(seed),
		ServiceCIDR: s.ServiceCIDR,
		Nodes:       a.nodes,
		Metrics:     metrics,
		Log:         log,
		Version:     APIVersion(),
		ClientCAs:   a.current.Load().pool,
		Tokens:      a.current.Load().tokens,
		SignCertificate: func(template *x509.Certificate) ([]byte, error) {
			return a.current.Load().ca.Sign(template)
		},
		Audit:       a.audit,
		PublicURL:   "https://" + reachable(s.Listen).String(),
		MaxReadOnly: s.MaxRequests,
		MaxMutating: s.MaxMutatingRequests,
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (a *api) close() {
	if a.store != nil {
		// Every acknowledged write is on disk already.
		_ = a.store.Close()
	}
}

// nodeHandlers finds the agent of a node for the API server's log, exec, attach and port-forward. In this
// process there is one at most; it is set once it is made.
type nodeHandlers struct {
	agents syncMap
}

// NodeHandler implements apiserver.NodeConnector.
func (n *nodeHandlers) NodeHandler(_ context.Context, name string) (http.Handler, error) {
	if h, ok := n.agents.get(name); ok {
		return h, nil
	}
	return nil, fmt.Errorf("the agent of node %q is not connected", name)
}
