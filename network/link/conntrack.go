package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flow is a kind of recorded connections (conntrack entries): those to the address and port that do not lead to
// one of Keep. An invalid Addr is any address, as long as it was translated.
type Flow struct {
	Protocol uint8
	Addr     netip.Addr
	Port     uint16
	Keep     []netip.AddrPort
}

// Forget removes recorded connections, so that the next packet of a client is sent by the rules of now. It
// matters for UDP: a client that goes on sending from one port keeps its record alive for ever.
func (h *Host) Forget(flows []Flow) error {
	if len(flows) == 0 {
		return nil
	}
	stale := make(staleFlows, len(flows))
	for _, f := range flows {
		stale[flowKey{f.Protocol, f.Addr, f.Port}] = f.Keep
	}
	if _, err := h.nl.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, stale); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("remove conntrack entries: %w", err)
	}
	return nil
}

type flowKey struct {
	protocol uint8
	addr     netip.Addr
	port     uint16
}

// staleFlows has what is still good for each kind of connection that is to be looked at.
type staleFlows map[flowKey][]netip.AddrPort

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (s staleFlows) MatchConntrackFlow(c *netlink.ConntrackFlow) bool {
	to, _ := netip.AddrFromSlice(c.Forward.DstIP)
	from, _ := netip.AddrFromSlice(c.Reverse.SrcIP)
	keep, ok := s[flowKey{c.Forward.Protocol, to.Unmap(), c.Forward.DstPort}]
	if !ok {
		// A port of the node; but not somebody else's traffic to such a port elsewhere, which is not translated.
		if keep, ok = s[flowKey{c.Forward.Protocol, netip.Addr{}, c.Forward.DstPort}]; !ok || from == to {
			return false
		}
	}
	return !slices.Contains(keep, netip.AddrPortFrom(from.Unmap(), c.Reverse.SrcPort))
}

// ForgetRanges removes recorded connections that begin or end in one of the ranges.
func (h *Host) ForgetRanges(ranges []netip.Prefix) error {
	if len(ranges) == 0 {
		return nil
	}
	if _, err := h.nl.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, inRanges(ranges)); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("remove conntrack entries: %w", err)
	}
	return nil
}

type inRanges []netip.Prefix

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (r inRanges) MatchConntrackFlow(c *netlink.ConntrackFlow) bool {
	for _, ip := range []net.IP{c.Forward.SrcIP, c.Forward.DstIP, c.Reverse.SrcIP} {
		a, ok := netip.AddrFromSlice(ip)
		for _, p := range r {
			if ok && p.Contains(a.Unmap()) {
				return true
			}
		}
	}
	return false
}
