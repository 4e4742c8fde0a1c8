package network

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client"
	"sampan/kind"
	"sampan/network/link"
	"sampan/network/ruleset"
	"sampan/view"
)

// table is where rules go; *nft.Table is one.
type table interface {
	Exists() (bool, error)
	Sync(ruleset.Changes) error
	Apply(ruleset.Changes) error
}

// flows is where recorded connections are forgotten; *link.Host is one.
type flows interface {
	Forget([]link.Flow) error
}

// proxy keeps a table equal to the Services of a client and the host ports of pods.
type proxy struct {
	source client.Source
	node   ruleset.Node
	table  table
	flows  flows
	log    *slog.Logger

	ready chan struct{} // closed when the table has been written by this process

	mu     sync.Mutex // guards the fields below
	rules  ruleset.Ruleset
	synced bool // the table was written by this process
	stale  bool // a change failed: the table must be written anew
}

func newProxy(cfg Config, t table, f flows) *proxy {
	return &proxy{
		source: cfg.Client, table: t, flows: f, log: cfg.Log, ready: make(chan struct{}),
		node: ruleset.Node{
			Name: cfg.NodeName, Addresses: cfg.NodeAddresses, PodCIDR: cfg.PodCIDR,
			Served: []netip.Addr{cfg.DNSAddress},
		},
	}
}

// start sets up a table if there is none. One that is there has the rules of the process before; it stays in
// use until the Services are known.
func (p *proxy) start(parts map[string]ruleset.Part) error {
	exists, err := p.table.Exists()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules.Replace(parts)
	if exists {
		return nil
	}
	return p.sync()
}

// set changes the part of one owner, and returns when the kernel has it.
func (p *proxy) set(ctx context.Context, owner string, part ruleset.Part) error {
	err := p.change(map[string]ruleset.Part{owner: part})
	if err != nil {
		return err
	}
	select {
	case <-p.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// change changes parts, in the kernel too once the table is ours.
func (p *proxy) change(parts map[string]ruleset.Part) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	changes := p.rules.Replace(parts)
	switch {
	case !p.synced:
		return nil
	case p.stale:
		return p.sync()
	case changes.Empty():
		return nil
	}
	if err := p.table.Apply(changes); err != nil {
		p.stale = true
		p.log.Warn("could not change the rules, writing them anew", slog.Any("error", err))
		return p.sync()
	}
	return p.forget(changes.Flows)
}

// sync writes the whole table.
func (p *proxy) sync() error {
	full := p.rules.Full()
	p.stale = true
	if err := p.table.Sync(full); err != nil {
		return err
	}
	p.stale = false
	if !p.synced {
		p.synced = true
		close(p.ready)
	}
	return p.forget(full.Flows)
}

func (p *proxy) forget(list []ruleset.Flow) error {
	if len(list) == 0 {
		return nil
	}
	out := make([]link.Flow, len(list))
	for i, f := range list {
		out[i] = link.Flow{Protocol: uint8(f.Frontend.Protocol), Addr: f.Frontend.Addr, Port: f.Frontend.Port, Keep: f.Keep}
	}
	return p.flows.Forget(out)
}

// Waits after a failure to write rules.
const (
	retryFirst = 100 * time.Millisecond
	retryMax   = 10 * time.Second
)

// run follows the Services. Changes that come while the kernel is being written are taken together afterwards.
func (p *proxy) run(ctx context.Context) error {
	// Revision 0 is a view that has not seen the API server yet: nothing is known, which is not "no Services".
	if p.source.Snapshot().Revision() == 0 {
		if err := p.source.Wait(ctx, 0); err != nil {
			return err
		}
	}
	snap := p.source.Snapshot()
	index := load(snap)
	parts := map[string]ruleset.Part{}
	for _, key := range index.Services() {
		parts[serviceOwner(key)] = index.Compile(key, p.node)
	}
	if err := p.write(ctx, parts); err != nil {
		return err
	}
	for at := snap.Revision(); ; {
		if err := p.source.Wait(ctx, at); err != nil {
			return err
		}
		changes, next, ok := p.source.Since(at)
		at = next.Revision()
		var dirty map[types.NamespacedName]bool
		if ok {
			dirty = follow(index, changes)
		} else {
			dirty = map[types.NamespacedName]bool{}
			before := index.Services()
			index = load(next)
			for _, key := range append(before, index.Services()...) {
				dirty[key] = true
			}
		}
		if len(dirty) == 0 {
			continue
		}
		parts := make(map[string]ruleset.Part, len(dirty))
		for key := range dirty {
			parts[serviceOwner(key)] = index.Compile(key, p.node)
		}
		if err := p.write(ctx, parts); err != nil {
			return err
		}
	}
}

// write brings parts into the kernel, trying again until it succeeds or ctx ends.
func (p *proxy) write(ctx context.Context, parts map[string]ruleset.Part) error {
	err := p.change(parts)
	if err == nil {
		err = p.first()
	}
	for wait := retryFirst; err != nil; wait = min(2*wait, retryMax) {
		p.log.Error("could not write the rules of the Services, trying again", slog.Any("error", err), slog.Duration("after", wait))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		p.mu.Lock()
		err = p.sync()
		p.mu.Unlock()
	}
	return nil
}

// first takes over a table that the process before left.
func (p *proxy) first() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.synced {
		return nil
	}
	if err := p.sync(); err != nil {
		return fmt.Errorf("take over the table: %w", err)
	}
	return nil
}

// load makes an index of a snapshot.
func load(snap *view.Snapshot) *ruleset.Index {
	index := new(ruleset.Index)
	for svc := range view.All[*corev1.Service](snap, kind.Services, "") {
		index.PutService(svc)
	}
	for s := range view.All[*discoveryv1.EndpointSlice](snap, kind.EndpointSlices, "") {
		index.PutSlice(s)
	}
	return index
}

// follow brings an index up to date and returns the Services that the changes touch.
func follow(index *ruleset.Index, changes []view.Change) map[types.NamespacedName]bool {
	dirty := map[types.NamespacedName]bool{}
	for _, c := range changes {
		switch c.Key.Kind {
		case kind.Services:
			if svc, ok := c.New.(*corev1.Service); ok {
				dirty[index.PutService(svc)] = true
			} else if svc, ok := c.Old.(*corev1.Service); ok {
				dirty[index.RemoveService(svc)] = true
			}
		case kind.EndpointSlices:
			// The old one first: its label may name another Service.
			if s, ok := c.Old.(*discoveryv1.EndpointSlice); ok {
				if key, ok := index.RemoveSlice(s); ok {
					dirty[key] = true
				}
			}
			if s, ok := c.New.(*discoveryv1.EndpointSlice); ok {
				if key, ok := index.PutSlice(s); ok {
					dirty[key] = true
				}
			}
		}
	}
	return dirty
}

func serviceOwner(key types.NamespacedName) string { return "service/" + key.String() }
