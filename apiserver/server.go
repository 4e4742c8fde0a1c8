package apiserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"

	"sampan/apiserver/admit"
	"sampan/apiserver/auth"
	"sampan/kind"
	"sampan/store"
)

// Config is what a Server is made of. Store, Kinds, Now, NewUID, Random and ServiceCIDR are required.
type Config struct {
	Store     store.Store
	Kinds     *kind.Registry
	Admission admit.Chain

	// Authorizer decides about requests over HTTP; nil means auth.Masters. In-process clients are part of
	// the server and are not asked.
	Authorizer auth.Authorizer

	Now    func() time.Time
	NewUID func() types.UID // safe for concurrent use
	// Random makes generated names and picks Service addresses. The server guards it with a lock.
	Random rand.Source

	ServiceCIDR netip.Prefix
	NodePorts   PortRange // the zero value is 30000-32767

	// Nodes reaches the node agents for logs, exec, attach and port-forward; nil means that there are none.
	Nodes NodeConnector

	// Log is nil for silence.
	Log     *slog.Logger
	Version version.Info // served at /version; an empty GitVersion is filled in

	// EncodedBytesMax bounds the memory that encoded objects, shared by lists and watches, may hold; 0 is 32 MiB.
	EncodedBytesMax int
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// NodeConnector reaches the part of a node agent that serves the kubelet's paths: /containerLogs/{namespace}/{pod}/{container},
// /exec/…, /attach/… and /portForward/{namespace}/{pod}.
type NodeConnector interface {
	// NodeHandler returns the handler of a node, or an error for people if the node cannot be reached.
	NodeHandler(ctx context.Context, nodeName string) (http.Handler, error)
}

// Server is the Kubernetes API over one store. Make it with [New]. All methods are safe for concurrent use.
type Server struct {
	cfg   Config
	cache *cache
	forms *encodings

	randomMu sync.Mutex // guards cfg.Random

	advertisedMu sync.Mutex // guards what follows
	advertised   []netip.AddrPort
}

// New returns a server whose cache shows the newest state of the store.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Store == nil, cfg.Kinds == nil, cfg.Now == nil, cfg.NewUID == nil, cfg.Random == nil:
		return nil, errors.New("apiserver: Config needs Store, Kinds, Now, NewUID and Random")
	case !cfg.ServiceCIDR.IsValid():
		return nil, errors.New("apiserver: Config needs a ServiceCIDR")
	}
	if cfg.Authorizer == nil {
		cfg.Authorizer = auth.Masters
	}
	if cfg.NodePorts == (PortRange{}) {
		cfg.NodePorts = PortRange{First: 30000, Last: 32767}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.EncodedBytesMax == 0 {
		cfg.EncodedBytesMax = 32 << 20
	}
	cfg.ServiceCIDR = cfg.ServiceCIDR.Masked()
	s := &Server{cfg: cfg, forms: newEncodings(cfg.EncodedBytesMax)}
	c, err := newCache(context.Background(), cfg.Store, cfg.Kinds, cfg.Now, s.forms.forget)
	if err != nil {
		return nil, fmt.Errorf("fill the API server's cache from the store: %w", err)
	}
	s.cache = c
	return s, nil
}

// Run follows writes that other processes make to the store, and makes anew what [Server.Bootstrap] and
// [Server.Advertise] made when somebody deletes it, until ctx ends; it returns nil then. Writes of this server are
// published without it, so a server that owns its store alone works without Run.
func (s *Server) Run(ctx context.Context) error {
	var keepers sync.WaitGroup
	defer keepers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, id := range []kind.ID{kind.Namespaces, kind.Services, kind.EndpointSlices, kind.Endpoints} {
		if s.cfg.Kinds.ByID(id) != nil {
			keepers.Go(func() { s.keep(ctx, id) })
		}
	}
	return s.cache.follow(ctx, s.cfg.Log)
}
