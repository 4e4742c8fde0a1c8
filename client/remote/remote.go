package remote

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sampan/kind"
)

// Config is what a Client is made of. Server and Kinds are required.
type Config struct {
	// Server is the API server's URL: https://host:port.
	Server string
	// TLS says whom to trust and carries the client's certificate, if it has one. GetClientCertificate makes
	// certificates that rotate. Nil means the system's CAs.
	TLS *tls.Config
	// Token returns the bearer token for a request. Nil means none. It is called for every request.
	Token func(ctx context.Context) (string, error)
	// Kinds are the kinds that the client can speak of.
	Kinds *kind.Registry
	// Follow is what the view shows; parts of one kind add up. Empty means that there is no view: Run returns at
	// once, and Wait waits for ever.
	Follow []Follow
	// UserAgent is sent with every request. Its part before the first slash is what managed fields call the writer,
	// such as "kubelet". Empty means "sampan".
	UserAgent string
	// Log is nil for silence.
	Log *slog.Logger
}

// Follow is a kind to follow, or the part of it that the selectors leave.
type Follow struct {
	Kind      kind.ID
	Namespace string // "" for all
	Labels    string // a label selector; "" for everything
	Fields    string // a field selector; "" for everything
}

// Client satisfies package client's Client over HTTPS. Make it with [New].
type Client struct {
	cfg    Config
	base   *url.URL
	http   *http.Client
	follow string // the stream's query, without a revision
	state  *state
}

// New returns a client. It does not connect.
func New(cfg Config) (*Client, error) {
	if cfg.Kinds == nil {
		return nil, errors.New("client: Config needs Kinds")
	}
	base, err := url.Parse(strings.TrimSuffix(cfg.Server, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" {
		return nil, fmt.Errorf("client: server %q is not an https:// URL", cfg.Server)
	}
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "sampan")
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	query := make(url.Values)
	var ids []kind.ID
	for _, f := range cfg.Follow {
		if cfg.Kinds.ByID(f.Kind) == nil {
			return nil, fmt.Errorf("client: cannot follow the unknown kind %s", f.Kind)
		}
		one := url.Values{"resource": {string(f.Kind)}}
		for name, value := range map[string]string{"namespace": f.Namespace, "labelSelector": f.Labels, "fieldSelector": f.Fields} {
			if value != "" {
				one.Set(name, value)
			}
		}
		query.Add("follow", one.Encode())
		if !slices.Contains(ids, f.Kind) {
			ids = append(ids, f.Kind)
		}
	}
	return &Client{
		cfg: cfg, base: base, follow: query.Encode(), state: newState(ids),
		http: &http.Client{Transport: transport(cfg.TLS)},
	}, nil
}

// Close gives up idle connections. Requests and Run end with their contexts.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// A peer that vanished without a word is found out after these.
const (
	pingAfter   = 20 * time.Second
	pingTimeout = 10 * time.Second
)

func transport(config *tls.Config) *http.Transport {
	if config == nil {
		config = new(tls.Config)
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     config.Clone(),
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}
