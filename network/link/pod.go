package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Pod is one pod's connection.
type Pod struct {
	Name    string // of the interface on the host's side
	NetNS   string // path of the pod's network namespace
	Address netip.Addr
	Gateway netip.Addr // the pod's way out, an address of the node
	MTU     int
}

// podInterface is the name of the interface inside the pod.
const podInterface = "eth0"

// hostMAC is the hardware address of every host end: each pair is a segment of its own, and with a fixed
// address a pod's entry for its gateway stays right when the host end is made anew.
func hostMAC() net.HardwareAddr { return net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee} }

// podMAC derives the pod's hardware address from its address, so that nobody (udev, for one) makes up another.
func podMAC(a netip.Addr) net.HardwareAddr {
	b := a.AsSlice()
	return append(net.HardwareAddr{0x0a, 0x58}, b[len(b)-4:]...)
}

// Connect gives the pod's namespace an interface with the address, a default route and loopback, and the host a
// route to it. If it fails, nothing of it is left.
func (h *Host) Connect(p Pod) (err error) {
	ns, err := netns.GetFromPath(p.NetNS)
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", p.NetNS, err)
	}
	defer ns.Close()
	pod, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink in %s: %w", p.NetNS, err)
	}
	defer pod.Close()

	host, err := h.pair(p, ns)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Remove(p.Name))
		}
	}()
	eth, err := pod.LinkByName(podInterface)
	if err != nil {
		return fmt.Errorf("in the pod's namespace: interface %s: %w", podInterface, err)
	}
	if err := h.raise(p.Name, host, pod, eth); err != nil {
		return err
	}
	if err := inside(pod, eth.Attrs().Index, p); err != nil {
		return fmt.Errorf("in the pod's namespace: %w", err)
	}
	neighbour := &netlink.Neigh{LinkIndex: host, IP: p.Address.AsSlice(), HardwareAddr: podMAC(p.Address), State: netlink.NUD_PERMANENT}
	if err := h.nl.NeighSet(neighbour); err != nil {
		return fmt.Errorf("interface %s: add neighbour %s: %w", p.Name, p.Address, err)
	}
	route := &netlink.Route{LinkIndex: host, Dst: ipNet(netip.PrefixFrom(p.Address, p.Address.BitLen())), Scope: netlink.SCOPE_LINK, Src: p.Gateway.AsSlice()}
	if err := h.nl.RouteReplace(route); err != nil {
		return fmt.Errorf("interface %s: add route to %s: %w", p.Name, p.Address, err)
	}
	// Strict reverse path filtering: a pod can send from no address but its own.
	err = h.within(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/conf/"+p.Name+"/rp_filter", []byte("1\n"), 0)
	})
	if err != nil {
		return fmt.Errorf("interface %s: set rp_filter: %w", p.Name, err)
	}
	return nil
}

// pair makes the veth pair and returns the index of the host's end.
func (h *Host) pair(p Pod, ns netns.NsHandle) (int, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = p.Name, p.MTU, hostMAC()
	veth := &netlink.Veth{
		LinkAttrs: attrs, PeerName: podInterface, PeerNamespace: netlink.NsFd(ns),
		PeerHardwareAddr: podMAC(p.Address), PeerMTU: uint32(p.MTU),
	}
	err := h.nl.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) {
		// Left by an attempt that was cut short, or the one of another sandbox with this address before.
		if err := h.Remove(p.Name); err != nil {
			return 0, err
		}
		err = h.nl.LinkAdd(veth)
	}
	if err != nil {
		return 0, fmt.Errorf("create interface %s: %w", p.Name, err)
	}
	return veth.Index, nil
}

// raise sets both ends up, so that neither loses a packet afterwards.
//
// The end that is set up last sends at once. The one that is set up first gets its carrier by that, and the kernel
// lets it send only when its link watch has run: up to a second later, and what is sent meanwhile is lost. Since
// Linux 6.8 to ask for one interface makes the link watch do it first; before, setting the end down and up
// again makes it the last one (and nearly always keeps the other one sending).
func (h *Host) raise(name string, host int, pod *netlink.Handle, eth netlink.Link) error {
	if err := pod.LinkSetUp(eth); err != nil {
		return fmt.Errorf("in the pod's namespace: interface %s: set up: %w", podInterface, err)
	}
	if err := h.nl.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: host}}); err != nil {
		return fmt.Errorf("interface %s: set up: %w", name, err)
	}
	now, err := pod.LinkByIndex(eth.Attrs().Index)
	if err == nil && now.Attrs().OperState != netlink.OperUp {
		if err = pod.LinkSetDown(eth); err == nil {
			err = pod.LinkSetUp(eth)
		}
	}
	if err != nil {
		return fmt.Errorf("in the pod's namespace: interface %s: set up: %w", podInterface, err)
	}
	return nil
}

// inside sets up what only the pod sees, on its interface of the index.
func inside(pod *netlink.Handle, index int, p Pod) error {
	lo, err := pod.LinkByName("lo")
	if err == nil {
		err = pod.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set up lo: %w", err)
	}
	on := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
	if err := pod.AddrReplace(on, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(p.Address, p.Address.BitLen()))}); err != nil {
		return fmt.Errorf("interface %s: add address %s: %w", podInterface, p.Address, err)
	}
	// The gateway's hardware address is known, so the first packet need not ask for it.
	neighbour := &netlink.Neigh{LinkIndex: index, IP: p.Gateway.AsSlice(), HardwareAddr: hostMAC(), State: netlink.NUD_PERMANENT}
	if err := pod.NeighSet(neighbour); err != nil {
		return fmt.Errorf("interface %s: add neighbour %s: %w", podInterface, p.Gateway, err)
	}
	if err := pod.RouteReplace(&netlink.Route{LinkIndex: index, Gw: p.Gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}); err != nil {
		return fmt.Errorf("interface %s: add default route by %s: %w", podInterface, p.Gateway, err)
	}
	return nil
}

// Connected reports whether the pod is connected as described, so that Connect has nothing to do.
func (h *Host) Connected(p Pod) bool {
	host, err := h.nl.LinkByName(p.Name)
	if err != nil || host.Attrs().Flags&net.FlagUp == 0 {
		return false
	}
	ns, err := netns.GetFromPath(p.NetNS)
	if err != nil {
		return false
	}
	defer ns.Close()
	pod, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return false
	}
	defer pod.Close()
	eth, err := pod.LinkByName(podInterface)
	// The two ends name each other by index.
	if err != nil || eth.Attrs().ParentIndex != host.Attrs().Index || host.Attrs().ParentIndex != eth.Attrs().Index {
		return false
	}
	addrs, err := pod.AddrList(eth, netlink.FAMILY_V4)
	if err != nil || len(addrs) != 1 || !addrs[0].IP.Equal(p.Address.AsSlice()) {
		return false
	}
	routes, err := h.nl.RouteList(host, netlink.FAMILY_V4)
	return err == nil && len(routes) == 1
}
