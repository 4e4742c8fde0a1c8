// Package link makes the interfaces, addresses and routes of the pod network, by netlink. It is an OS leaf:
// it decides nothing, keeps nothing, and every call may be repeated.
//
// Each pod has a veth pair of its own, and the node routes to it; there is no bridge between pods (see
// docs/design/network.md). One interface of the instance, the anchor, carries the addresses that the node
// itself answers at. Errors say which interface and which step they are about.
package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is the network namespace that plays the host. It is safe for concurrent use.
type Host struct {
	nl *netlink.Handle
	ns netns.NsHandle // netns.None for the process's own
}

// Open opens the network namespace at the path; "" is the caller's own.
func Open(path string) (*Host, error) {
	h := &Host{ns: netns.None()}
	if path != "" {
		ns, err := netns.GetFromPath(path)
		if err != nil {
			return nil, fmt.Errorf("network namespace %s: %w", path, err)
		}
		h.ns = ns
	}
	var err error
	if h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER); err != nil {
		h.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return h, nil
}

// Close releases the sockets. It changes nothing in the kernel, and may be called again.
func (h *Host) Close() {
	if h.nl != nil {
		h.nl.Close()
		h.nl = nil
	}
	if h.ns.IsOpen() {
		h.ns.Close()
	}
}

// FD returns the descriptor of the namespace, 0 for the process's own. It is good until Close.
func (h *Host) FD() int {
	if h.ns.IsOpen() {
		return int(h.ns)
	}
	return 0
}

// Anchor is the instance's own interface.
type Anchor struct {
	Name      string
	MTU       int
	Addresses []netip.Addr // local to the node; the first is the source of the node's own traffic to Routes
	// Routes are the ranges that are the instance's. Traffic to an address in them that nothing more particular
	// takes ends at the anchor.
	Routes []netip.Prefix
}

// SetAnchor makes the anchor be as described: it is created, or changed to it.
func (h *Host) SetAnchor(a Anchor) error {
	l, err := h.nl.LinkByName(a.Name)
	if isNotFound(err) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = a.Name, a.MTU
		// A bridge without ports is the one kind of virtual interface that every kernel has.
		if err := h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("create interface %s: %w", a.Name, err)
		}
		l, err = h.nl.LinkByName(a.Name)
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", a.Name, err)
	}
	if l.Attrs().MTU != a.MTU {
		if err := h.nl.LinkSetMTU(l, a.MTU); err != nil {
			return fmt.Errorf("interface %s: set MTU %d: %w", a.Name, a.MTU, err)
		}
	}
	if err := h.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("interface %s: set up: %w", a.Name, err)
	}
	have, err := h.nl.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("interface %s: list addresses: %w", a.Name, err)
	}
	want := map[string]bool{}
	for _, addr := range a.Addresses {
		n := ipNet(netip.PrefixFrom(addr, addr.BitLen()))
		want[n.String()] = true
		if err := h.nl.AddrReplace(l, &netlink.Addr{IPNet: n}); err != nil {
			return fmt.Errorf("interface %s: add address %s: %w", a.Name, addr, err)
		}
	}
	for i := range have {
		if !want[have[i].IPNet.String()] {
			if err := h.nl.AddrDel(l, &have[i]); err != nil {
				return fmt.Errorf("interface %s: remove address %s: %w", a.Name, have[i].IPNet, err)
			}
		}
	}
	for _, p := range a.Routes {
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(p), Scope: netlink.SCOPE_LINK, Src: a.Addresses[0].AsSlice()}
		if err := h.nl.RouteReplace(r); err != nil {
			return fmt.Errorf("interface %s: add route to %s: %w", a.Name, p, err)
		}
	}
	return nil
}

// Used returns the ranges that the host has routes to, with the interface's name, but for those by
// interfaces whose name begins with except.
func (h *Host) Used(except string) (map[netip.Prefix]string, error) {
	names := map[int]string{}
	links, err := h.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	routes, err := h.nl.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	used := map[netip.Prefix]string{}
	for _, r := range routes {
		if r.Dst == nil || strings.HasPrefix(names[r.LinkIndex], except) {
			continue
		}
		if a, ok := netip.AddrFromSlice(r.Dst.IP); ok {
			bits, _ := r.Dst.Mask.Size()
			used[netip.PrefixFrom(a.Unmap(), bits)] = names[r.LinkIndex]
		}
	}
	return used, nil
}

// UplinkMTU returns the MTU of the interface of the default route, 1500 if there is none.
func (h *Host) UplinkMTU() (int, error) {
	routes, err := h.nl.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return 0, fmt.Errorf("list routes: %w", err)
	}
	mtu := 0
	for _, r := range routes {
		if r.Dst != nil {
			if ones, _ := r.Dst.Mask.Size(); ones > 0 {
				continue
			}
		}
		index := []int{r.LinkIndex}
		for _, hop := range r.MultiPath {
			index = append(index, hop.LinkIndex)
		}
		for _, i := range index {
			if l, err := h.nl.LinkByIndex(i); err == nil && (mtu == 0 || l.Attrs().MTU < mtu) {
				mtu = l.Attrs().MTU
			}
		}
	}
	if mtu == 0 {
		mtu = 1500
	}
	return mtu, nil
}

// Names returns the names of the interfaces that begin with the prefix.
func (h *Host) Names(prefix string) ([]string, error) {
	links, err := h.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var names []string
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, prefix) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// Remove removes an interface with its addresses and routes, and its other end. It is no error if it is not there.
func (h *Host) Remove(name string) error {
	l, err := h.nl.LinkByName(name)
	if err == nil {
		err = h.nl.LinkDel(l)
	}
	if err != nil && !isNotFound(err) {
		return fmt.Errorf("remove interface %s: %w", name, err)
	}
	return nil
}

// EnableForwarding switches on forwarding of IPv4 packets and returns whether it was on.
func (h *Host) EnableForwarding() (was bool, err error) {
	const file = "/proc/sys/net/ipv4/ip_forward"
	err = h.within(func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		on, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if was = on != 0; was || err != nil {
			return err
		}
		return os.WriteFile(file, []byte("1\n"), 0)
	})
	if err != nil {
		return was, fmt.Errorf("switch on IPv4 forwarding: %w", err)
	}
	return was, nil
}

// within runs f on a thread that is in the host's namespace; /proc/sys/net shows the namespace of the reader.
func (h *Host) within(f func() error) error {
	if !h.ns.IsOpen() {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked, so it ends with the goroutine and no other gets the namespace.
		runtime.LockOSThread()
		if err := netns.Set(h.ns); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

func isNotFound(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
