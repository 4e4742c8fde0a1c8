package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"sampan/network/ipam"
	"sampan/network/link"
	"sampan/network/nft"
	"sampan/network/ruleset"
	"sampan/podruntime"
)

// Network is the pod network and Service proxy of one node. Its methods are safe for concurrent use.
type Network struct {
	cfg   Config
	names names
	host  *link.Host
	mtu   int
	table *nft.Table
	proxy *proxy

	mu      sync.Mutex // guards the fields below
	records *records
	busy    map[string]chan struct{} // sandboxes that a call works on; closed when it is done
}

var _ podruntime.Network = (*Network)(nil)

// New prepares the node: it checks that the ranges are free, makes the gateway and DNS addresses local, switches
// forwarding on and sets up the instance's table of rules if there is none. It fails, with a message that says
// what to change, when a range overlaps one of the host's routes.
func New(cfg Config) (*Network, error) {
	cfg.PodCIDR, cfg.ServiceCIDR = cfg.PodCIDR.Masked(), cfg.ServiceCIDR.Masked()
	host, err := link.Open(cfg.NetNS)
	if err != nil {
		return nil, err
	}
	n := &Network{cfg: cfg, names: namesOf(cfg.Instance), host: host, busy: map[string]chan struct{}{}}
	if err := n.prepare(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

func (n *Network) prepare() error {
	if err := checkRanges(n.cfg, n.host); err != nil {
		return err
	}
	var err error
	if n.records, err = openRecords(n.cfg.StateDir, n.cfg.PodCIDR); err != nil {
		return err
	}
	if n.mtu, err = prepareNode(n.cfg, n.host); err != nil {
		return err
	}
	if err := n.removeOrphans(); err != nil {
		return err
	}
	n.table = tableFor(n.cfg, n.host)
	n.proxy = newProxy(n.cfg, n.table, n.host)
	parts := map[string]ruleset.Part{}
	for _, rec := range n.records.bySandbox {
		if len(rec.HostPorts) > 0 {
			parts[hostPortOwner(rec.Sandbox)] = hostPortPart(rec)
		}
	}
	if err := n.proxy.start(parts); err != nil {
		return err
	}
	warnOfFirewall(n.cfg, n.table)
	return nil
}

// removeOrphans removes the connections of sandboxes that are not recorded.
func (n *Network) removeOrphans() error {
	interfaces, err := n.host.Names(n.names.pods())
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for a := range n.records.held {
		known[n.names.pod(n.cfg.PodCIDR, a)] = true
	}
	for _, name := range interfaces {
		if !known[name] {
			if err := n.host.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Gateway returns the node's address that every pod of the node reaches.
func (n *Network) Gateway() netip.Addr { return ipam.Gateway(n.cfg.PodCIDR) }

// Attach implements podruntime.Network.
func (n *Network) Attach(ctx context.Context, a podruntime.Attachment) ([]netip.Addr, error) {
	if err := checkSandbox(a.SandboxID); err != nil {
		return nil, err
	}
	done, err := n.enter(ctx, a.SandboxID)
	if err != nil {
		return nil, err
	}
	defer done()

	rec, known, err := n.hold(a)
	if err != nil {
		return nil, fmt.Errorf("address for sandbox %s: %w", a.SandboxID, err)
	}
	pod := n.pod(rec)
	pod.NetNS = a.NetNS
	if !known || !n.host.Connected(pod) {
		if err := n.host.Connect(pod); err != nil {
			return nil, fmt.Errorf("connect sandbox %s: %w", a.SandboxID, errors.Join(err, n.release(a.SandboxID)))
		}
	}
	if len(rec.HostPorts) > 0 {
		if err := n.proxy.set(ctx, hostPortOwner(rec.Sandbox), hostPortPart(rec)); err != nil {
			return nil, fmt.Errorf("host ports of sandbox %s: %w", a.SandboxID, err)
		}
	}
	return []netip.Addr{rec.Address}, nil
}

// Detach implements podruntime.Network.
func (n *Network) Detach(ctx context.Context, sandboxID string) error {
	done, err := n.enter(ctx, sandboxID)
	if err != nil {
		return err
	}
	defer done()
	n.mu.Lock()
	rec, ok := n.records.bySandbox[sandboxID]
	n.mu.Unlock()
	if !ok {
		return nil
	}
	if len(rec.HostPorts) > 0 {
		// Not set: a sandbox may be cleaned up before the rules are taken over.
		if err := n.proxy.change(map[string]ruleset.Part{hostPortOwner(sandboxID): {}}); err != nil {
			return fmt.Errorf("host ports of sandbox %s: %w", sandboxID, err)
		}
	}
	if err := n.host.Remove(n.pod(rec).Name); err != nil {
		return fmt.Errorf("disconnect sandbox %s: %w", sandboxID, err)
	}
	return n.release(sandboxID)
}

// Reconcile releases what belongs to sandboxes that are not in live. It is called once after a start, when
// the pod runtime knows which sandboxes are still there.
func (n *Network) Reconcile(ctx context.Context, live []string) error {
	n.mu.Lock()
	var gone []string
	for id := range n.records.bySandbox {
		if !slices.Contains(live, id) {
			gone = append(gone, id)
		}
	}
	n.mu.Unlock()
	slices.Sort(gone)
	var errs []error
	for _, id := range gone {
		errs = append(errs, n.Detach(ctx, id))
	}
	return errors.Join(errs...)
}

// Run keeps the rules equal to the Services until ctx ends. It leaves the rules in place, so that
// connections outlive the process.
func (n *Network) Run(ctx context.Context) error { return n.proxy.run(ctx) }

// Close closes the sockets to the kernel and changes nothing there. Run has ended before, and nothing is called
// afterwards.
func (n *Network) Close() {
	if n.table != nil {
		n.table.Close()
	}
	n.host.Close()
}

// Destroy removes everything that the Network made. Run has ended before, and nothing is called afterwards.
func (n *Network) Destroy(ctx context.Context) error {
	n.Close()
	return destroy(ctx, n.cfg.NetNS, n.cfg.Instance, n.cfg.StateDir)
}

// enter waits until no other call works on the sandbox.
func (n *Network) enter(ctx context.Context, sandbox string) (done func(), err error) {
	for {
		n.mu.Lock()
		other := n.busy[sandbox]
		if other == nil {
			mine := make(chan struct{})
			n.busy[sandbox] = mine
			n.mu.Unlock()
			return func() {
				n.mu.Lock()
				delete(n.busy, sandbox)
				n.mu.Unlock()
				close(mine)
			}, nil
		}
		n.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (n *Network) hold(a podruntime.Attachment) (rec record, known bool, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if rec, ok := n.records.bySandbox[a.SandboxID]; ok {
		return rec, true, nil
	}
	rec, err = n.records.hold(record{Sandbox: a.SandboxID, Namespace: a.Namespace, Pod: a.Pod, HostPorts: a.HostPorts})
	return rec, false, err
}

func (n *Network) release(sandbox string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.records.release(sandbox); err != nil {
		return fmt.Errorf("release the address of sandbox %s: %w", sandbox, err)
	}
	return nil
}

func (n *Network) pod(rec record) link.Pod {
	return link.Pod{Name: n.names.pod(n.cfg.PodCIDR, rec.Address), Address: rec.Address, Gateway: n.Gateway(), MTU: n.mtu}
}

func hostPortOwner(sandbox string) string { return "hostport/" + sandbox }

func hostPortPart(rec record) ruleset.Part {
	var ports []ruleset.HostPort
	for _, h := range rec.HostPorts {
		if protocol, ok := ruleset.ProtocolOf(h.Protocol); ok && h.HostPort != 0 {
			ports = append(ports, ruleset.HostPort{HostIP: h.HostIP, Port: h.HostPort, Protocol: protocol, Backend: netip.AddrPortFrom(rec.Address, h.ContainerPort)})
		}
	}
	return ruleset.HostPorts(hostPortOwner(rec.Sandbox), ports)
}
