package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sampan/network/ipam"
	"sampan/network/link"
	"sampan/network/nft"
)

// checkRanges refuses ranges that cannot work, or that would take addresses away from the host.
func checkRanges(cfg Config, host *link.Host) error {
	for _, r := range []struct {
		what, flag string
		p          netip.Prefix
	}{{"pod CIDR", "--pod-cidr", cfg.PodCIDR}, {"service CIDR", "--service-cidr", cfg.ServiceCIDR}} {
		switch {
		case !r.p.IsValid() || !r.p.Addr().Is4():
			return fmt.Errorf("%s %s: want an IPv4 range (%s)", r.what, r.p, r.flag)
		case r.p.Bits() < 8 || r.p.Bits() > 28:
			return fmt.Errorf("%s %s: want a range between /8 and /28 (%s)", r.what, r.p, r.flag)
		}
		used, err := host.Used(namesOf(cfg.Instance).anchor())
		if err != nil {
			return err
		}
		taken := slices.SortedFunc(maps.Keys(used), netip.Prefix.Compare)
		if u, overlaps := ipam.Overlap(r.p, taken); overlaps {
			return fmt.Errorf("%s %s overlaps %s, which this machine routes by interface %s: choose another range with %s", r.what, r.p, u, used[u], r.flag)
		}
	}
	if cfg.PodCIDR.Overlaps(cfg.ServiceCIDR) {
		return fmt.Errorf("pod CIDR %s and service CIDR %s overlap: choose another range with --pod-cidr or --service-cidr", cfg.PodCIDR, cfg.ServiceCIDR)
	}
	return nil
}

// prepareNode makes the anchor, switches forwarding on and keeps what Destroy must know. It returns the MTU for pods.
func prepareNode(cfg Config, host *link.Host) (mtu int, err error) {
	path := filepath.Join(cfg.StateDir, "node.json")
	var state node
	if err := readJSON(path, &state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	first := !state.PodCIDR.IsValid()
	on, err := host.EnableForwarding()
	if err != nil {
		return 0, err
	}
	if first {
		state.ForwardedBefore = on
		if !on {
			cfg.Log.Info("switched on forwarding of IPv4 packets (net.ipv4.ip_forward), which was off; it stays on")
		}
	}
	state.PodCIDR, state.ServiceCIDR = cfg.PodCIDR, cfg.ServiceCIDR
	b, err := json.Marshal(state)
	if err != nil {
		return 0, err
	}
	if err := writeFile(path, b); err != nil {
		return 0, err
	}
	if mtu, err = host.UplinkMTU(); err != nil {
		return 0, err
	}
	return mtu, host.SetAnchor(link.Anchor{
		Name:      namesOf(cfg.Instance).anchor(),
		MTU:       mtu,
		Addresses: []netip.Addr{ipam.Gateway(cfg.PodCIDR), cfg.DNSAddress},
		Routes:    []netip.Prefix{cfg.PodCIDR, cfg.ServiceCIDR},
	})
}

func tableFor(cfg Config, host *link.Host) *nft.Table {
	n := namesOf(cfg.Instance)
	return nft.New(nft.Config{
		Name: n.table(), NetNS: host.FD(), Anchor: n.anchor(), LinkPrefix: n.anchor(),
		Gateway: ipam.Gateway(cfg.PodCIDR), PodCIDR: cfg.PodCIDR,
		ServiceCIDR: cfg.ServiceCIDR, Served: []netip.Addr{cfg.DNSAddress},
	})
}

// warnOfFirewall says when the host's own firewall drops what pods send: we change nobody else's rules.
func warnOfFirewall(cfg Config, table *nft.Table) {
	drops, err := table.ForeignDrops()
	switch {
	case err != nil:
		cfg.Log.Warn("could not look at the host's firewall", slog.Any("error", err))
	case len(drops) > 0:
		cfg.Log.Warn("the host's firewall drops packets that it has no rule for, so pods may not reach each other, the outside, cluster DNS or the API; allow the pod range in these chains",
			slog.String("chains", strings.Join(drops, ", ")), slog.String("podCIDR", cfg.PodCIDR.String()))
	}
}

func destroy(ctx context.Context, netNS, instance, stateDir string) error {
	host, err := link.Open(netNS)
	if err != nil {
		return err
	}
	defer host.Close()
	n := namesOf(instance)
	interfaces, err := host.Names(n.anchor())
	errs := []error{err}
	for _, name := range interfaces {
		if err := ctx.Err(); err != nil {
			return err
		}
		errs = append(errs, host.Remove(name))
	}
	table := nft.New(nft.Config{Name: n.table(), NetNS: host.FD()})
	defer table.Close()
	errs = append(errs, table.Remove())
	var state node
	if err := readJSON(filepath.Join(stateDir, "node.json"), &state); err == nil && state.PodCIDR.IsValid() {
		errs = append(errs, host.ForgetRanges([]netip.Prefix{state.PodCIDR, state.ServiceCIDR}))
	}
	if err := errors.Join(errs...); err != nil {
		// The state is kept, so that the next attempt knows as much as this one.
		return fmt.Errorf("remove the network of instance %s: %w", instance, err)
	}
	return os.RemoveAll(stateDir)
}
