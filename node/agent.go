package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/client"
)

// Events takes what a user should read about a pod or the node (core/v1 Events). It must not block.
type Events interface {
	// Event records one occurrence. eventType is corev1.EventTypeNormal or corev1.EventTypeWarning.
	Event(about corev1.ObjectReference, eventType, reason, message string)
}

// Config is everything that an agent needs. Fields without a comment on a default are required.
type Config struct {
	// Name is the node's name. It must be a DNS-1123 subdomain.
	Name    string
	Client  client.Client
	Runtime runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient
	// Root is where the pods' volumes and files are kept (pods/<uid>/…). It must be an absolute path.
	Root string
	// State is for what must not survive a reboot of the machine.
	State string
	// PodLogs is where container logs are written: <PodLogs>/<namespace>_<pod>_<uid>/<container>/<n>.log.
	PodLogs string
	// ClusterDNS are the name servers of pods with dnsPolicy ClusterFirst.
	ClusterDNS []netip.Addr
	// ClusterDomain is the DNS domain of the cluster; "" means "cluster.local".
	ClusterDomain string
	// NodeAddresses are the addresses of the machine, the primary one first.
	NodeAddresses []netip.Addr
	// PodCIDR is the range of the pods' addresses on this node; invalid means that the node does not know it.
	PodCIDR netip.Prefix
	// Instance names the installation on this machine; it is the parent of the pods' cgroups.
	Instance string
	// Labels are added to the Node object.
	Labels map[string]string
	// Capacity returns what the machine has (cpu, memory, pods, ephemeral-storage). Nil: what /proc says.
	Capacity func() (corev1.ResourceList, error)
	// Events may be nil: nothing is recorded.
	Events Events
	Log    *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// ResolvConf is the host's resolver configuration; "" means /etc/resolv.conf.
	ResolvConf string
}

// Agent runs the pods of one node. Make it with [New], start it with [Agent.Run].
type Agent struct {
	cfg Config
}

// New checks the configuration and makes an agent. It touches nothing on the machine.
func New(cfg Config) (*Agent, error) {
	switch {
	case cfg.Name == "":
		return nil, errors.New("node agent: the node has no name")
	case cfg.Client == nil, cfg.Runtime == nil, cfg.Images == nil:
		return nil, errors.New("node agent: client, runtime and image service are required")
	case cfg.Root == "" || cfg.PodLogs == "" || cfg.State == "":
		return nil, errors.New("node agent: Root, State and PodLogs directories are required")
	}
	if cfg.ClusterDomain == "" {
		cfg.ClusterDomain = "cluster.local"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{cfg: cfg}, nil
}

// Run registers the node and runs its pods until ctx ends, and then returns ctx's error. Containers keep
// running: the next agent adopts them. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Handler serves the node's HTTP paths in the form of a kubelet: /containerLogs/{ns}/{pod}/{container},
// /exec/…, /attach/…, /portForward/{ns}/{pod}, /pods, /healthz. It does no authentication: the API server,
// which calls it in-process, has done that.
func (a *Agent) Handler() http.Handler {
	return http.NewServeMux()
}
