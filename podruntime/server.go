package podruntime

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
)

// Config says how a Server is built.
type Config struct {
	// Instance tells this runtime from others on the machine, in its Status and its logs. The driver names
	// what it makes in the kernel after its own instance, which should be the same.
	Instance   string
	Images     Images
	Network    Network
	Driver     Driver
	Log        *slog.Logger // nil: silent
	StreamAddr string       // where exec, attach and port-forward listen; "" is 127.0.0.1:0
}

// Server is the CRI runtime service. Make it with [New].
type Server struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	cfg    Config
	log    *slog.Logger
	driver Driver
	facts  Facts
	events *events
	stream streaming.Server

	mu         sync.Mutex // guards what follows, and every field of sandboxes and containers that says so
	sandboxes  map[string]*sandbox
	containers map[string]*container
	names      map[string]string // CRI metadata as a string, to ID: guards against two of one attempt
	closed     bool
}

// New recovers what an earlier server left (running pods are adopted, half-made ones removed) and returns a
// runtime that is ready to serve.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Driver == nil || cfg.Images == nil {
		return nil, errors.New("podruntime: Config.Driver and Config.Images are required")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, log: cfg.Log.With("instance", cfg.Instance), driver: cfg.Driver, events: newEvents(),
		sandboxes:  map[string]*sandbox{},
		containers: map[string]*container{},
		names:      map[string]string{},
	}
	if err := s.driver.Open(ctx, s.exited); err != nil {
		return nil, err
	}
	s.facts = s.driver.Facts()
	if err := s.recover(ctx); err != nil {
		return nil, errors.Join(err, s.driver.Close())
	}
	return s, nil
}
