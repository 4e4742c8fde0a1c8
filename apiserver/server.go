package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"

	"sampan/apiserver/admit"
	"sampan/apiserver/audit"
	"sampan/apiserver/auth"
	"sampan/apiserver/auth/satoken"
	"sampan/kind"
	"sampan/store"
)

// Config is what a Server is made of. Store, Kinds, Now, NewUID, Random and ServiceCIDR are required.
type Config struct {
	Store     store.Store
	Kinds     *kind.Registry
	Admission admit.Chain
	// SharedStore says that other servers write to the store, too. Then every write, and every read that does not say
	// how old its answer may be, begins with learning what they have written; it fails if the store cannot be reached.
	SharedStore bool

	// Authorizer decides about requests over HTTP; nil means RBAC, with the rules for nodes and the group
	// system:masters. In-process clients are part of the server and are not asked.
	Authorizer auth.Authorizer
	// ClientCAs sign the certificates by which clients say who they are; nil means that there are none.
	ClientCAs *x509.CertPool
	// Tokens signs and verifies the tokens of service accounts; nil means keys that end with the process, and their
	// tokens with them.
	Tokens *satoken.Keys
	// SignCertificate makes the certificates of requests that are approved for Kubernetes' own signers, PEM, from all
	// but the serial number, the issuer and the signature; nil leaves them to somebody else.
	SignCertificate func(template *x509.Certificate) ([]byte, error)
	// PublicURL is where others find the keys to verify tokens ("https://host:port"); "" means the issuer.
	PublicURL string

	Now    func() time.Time
	NewUID func() types.UID // safe for concurrent use
	// Random makes generated names and picks Service addresses. The server guards it with a lock.
	Random rand.Source

	ServiceCIDR netip.Prefix
	NodePorts   PortRange // the zero value is 30000-32767

	// Nodes reaches the node agents for logs, exec, attach and port-forward; nil means that there are none.
	Nodes NodeConnector

	// Dial connects with what requests to proxy subresources are handed on to; nil is the network of this process.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Audit is where requests over HTTP are written down; nil for nowhere.
	Audit *audit.Log

	// Metrics takes the server's metrics, and is what /metrics shows; nil is a registry of the server's own.
	Metrics *prometheus.Registry

	// Log is nil for silence.
	Log     *slog.Logger
	Version version.Info // served at /version; an empty GitVersion is filled in

	// MaxReadOnly and MaxMutating bound the requests over HTTP that are carried out at the same time, streams left
	// out; 0 is 400 and 200, a negative number is no bound.
	MaxReadOnly, MaxMutating int

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
	// managers is for managed fields.
	managers *managers
	metrics  *metrics
	inFlight *inFlight

	proxied    *http.Transport // makes the connections of proxy subresources
	docs       *documents
	deprecated map[schema.GroupVersionKind]deprecated

	certificates *auth.Certificates
	tokens       *tokens
	unstored     []unstored

	randomMu sync.Mutex // guards cfg.Random
	// quotaTurns let the requests that charge one namespace's quotas through one by one; see quotaTurn.
	quotaTurns [16]sync.Mutex

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
	if cfg.NodePorts == (PortRange{}) {
		cfg.NodePorts = PortRange{First: 30000, Last: 32767}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.EncodedBytesMax == 0 {
		cfg.EncodedBytesMax = 32 << 20
	}
	cfg.ServiceCIDR = cfg.ServiceCIDR.Masked()
	cfg.Version = withDefaultVersion(cfg.Version)
	s := &Server{cfg: cfg, forms: newEncodings(cfg.EncodedBytesMax), managers: newManagers(cfg.Kinds), unstored: unstoredKinds(cfg.Kinds)}
	s.metrics, s.inFlight = newMetrics(s, cfg.Metrics), newInFlight(cfg.MaxReadOnly, cfg.MaxMutating)
	c, err := newCache(context.Background(), cfg.Store, cfg.Kinds, cfg.Now, s.forms.forget)
	if err != nil {
		return nil, fmt.Errorf("fill the API server's cache from the store: %w", err)
	}
	if s.cfg.Authorizer == nil {
		s.cfg.Authorizer = s.builtinAuthorizer
	}
	if s.deprecated, err = deprecatedKinds(cfg.Kinds, cfg.Version); err != nil {
		return nil, err
	}
	if err := s.prepareIdentities(); err != nil {
		return nil, err
	}
	s.docs = newDocuments(cfg.Kinds, cfg.Version)
	s.proxied = newProxyTransport(cfg.Dial)
	s.addTokenDocuments(s.docs)
	s.cache = c
	return s, nil
}

// prepareIdentities makes what tells who sends a request.
func (s *Server) prepareIdentities() error {
	if s.cfg.ClientCAs == nil {
		s.cfg.ClientCAs = x509.NewCertPool()
	}
	s.certificates = auth.NewCertificates(s.cfg.ClientCAs, s.cfg.Now)
	if s.cfg.Tokens == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
		if err != nil {
			return fmt.Errorf("key for service account tokens: %w", err)
		}
		if s.cfg.Tokens, err = satoken.New(DefaultTokenIssuer, key); err != nil {
			return err
		}
	}
	s.tokens = newTokens(s.cfg.Tokens)
	return nil
}

// Trust replaces what clients are known by: the authorities of their certificates and the keys of their tokens.
func (s *Server) Trust(clientCAs *x509.CertPool, keys *satoken.Keys) {
	s.certificates.Trust(clientCAs)
	s.tokens.trust(keys)
}

// Run follows writes that other processes make to the store, and makes anew what [Server.Bootstrap] and
// [Server.Advertise] made when somebody deletes it, until ctx ends; it returns nil then. Writes of this server are
// published without it, so a server that owns its store alone works without Run.
func (s *Server) Run(ctx context.Context) error {
	var keepers sync.WaitGroup
	defer keepers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, id := range []kind.ID{kind.Namespaces, kind.PriorityClasses, kind.Services, kind.EndpointSlices, kind.Endpoints} {
		if s.cfg.Kinds.ByID(id) != nil {
			keepers.Go(func() { s.keep(ctx, id) })
		}
	}
	return s.cache.follow(ctx, s.cfg.Log)
}
