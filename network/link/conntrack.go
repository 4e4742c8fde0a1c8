package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

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
	filters := make([]netlink.CustomConntrackFilter, len(flows))
	for i := range flows {
		filters[i] = &flows[i]
	}
	if _, err := h.nl.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, filters...); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return fmt.Errorf("remove conntrack entries: %w", err)
	}
	return nil
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f *Flow) MatchConntrackFlow(c *netlink.ConntrackFlow) bool {
	if c.Forward.Protocol != f.Protocol || c.Forward.DstPort != f.Port {
		return false
	}
	if to, ok := netip.AddrFromSlice(c.Forward.DstIP); f.Addr.IsValid() && (!ok || to.Unmap() != f.Addr) {
		return false
	}
	if !f.Addr.IsValid() && c.Reverse.SrcIP.Equal(c.Forward.DstIP) {
		return false // somebody else's traffic to such a port
	}
	from, _ := netip.AddrFromSlice(c.Reverse.SrcIP)
	for _, k := range f.Keep {
		if k == netip.AddrPortFrom(from.Unmap(), c.Reverse.SrcPort) {
			return false
		}
	}
	return true
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
