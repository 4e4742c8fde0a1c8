// Package network gives pods their addresses and makes Services reachable on one node.
//
// A [Network] connects pods (package podruntime calls Attach and Detach), follows Services and EndpointSlices
// through a client, and keeps the kernel's rules equal to them. The parts below it are plain values and thin
// leaves: network/ipam decides addresses, network/ruleset compiles Services into a rule set, network/link makes
// interfaces and routes, network/nft writes rules. docs/design/network.md says why it is laid out as it is.
//
// Everything that it makes in the kernel is named after the instance, so that instances live side by side, and
// [Destroy] finds and removes all of it without the process that made it. Nothing of anybody else is changed,
// with one exception: forwarding of IPv4 packets is switched on, and the earlier value is kept in the state folder.
//
// The process may be killed at any time. Established connections go on, since the kernel does the work; the next
// process takes over what it finds and changes only what differs.
package network

import (
	"context"
	"log/slog"
	"net/netip"

	"sampan/client"
)

// Config is what a Network needs.
type Config struct {
	// Client is followed for Services and EndpointSlices by Run; Attach and Detach do without it.
	Client   client.Client
	NodeName string
	// Instance names everything that is made in the kernel.
	Instance string
	// PodCIDR is this node's range of pod addresses. Its first address is the gateway.
	PodCIDR netip.Prefix
	// ServiceCIDR is the cluster's range of Service addresses.
	ServiceCIDR netip.Prefix
	// DNSAddress is the address in ServiceCIDR that is made local to the node, for the cluster's DNS.
	DNSAddress netip.Addr
	// StateDir keeps a small file per connected sandbox. It is made if it is not there.
	StateDir string
	// NodeAddresses are the addresses of this node as its Node object has them: endpoints with one of them
	// are local.
	NodeAddresses []netip.Addr
	Log           *slog.Logger
	// NetNS is the path of the network namespace that plays the host; "" is the caller's own.
	NetNS string
}

// Destroy removes every interface, route and rule that an instance made on this machine, also when its process
// is gone, and the state folder. The instance must not be running.
func Destroy(ctx context.Context, instance, stateDir string) error {
	return destroy(ctx, "", instance, stateDir)
}
