package cluster

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// preflight finds what is missing on the machine before anything is started.
func preflight(s Settings) error {
	if s.Node && os.Geteuid() != 0 {
		return errors.New("running pods needs root (namespaces, mounts, nftables): start it with sudo, or without pods with --node=false")
	}
	return nil
}

// machineAddresses returns the machine's IPv4 addresses that others may know it by: first that of the
// interface with the default route, then the others that are not loopback, link-local or Sampan's own.
func machineAddresses() []netip.Addr {
	first := -1
	if routes, err := netlink.RouteList(nil, netlink.FAMILY_V4); err == nil {
		for _, r := range routes {
			if r.Dst == nil || r.Dst.IP.IsUnspecified() {
				first = r.LinkIndex
				break
			}
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var primary, others []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 || strings.HasPrefix(i.Name, "sp") {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil || !prefix.Addr().Is4() || prefix.Addr().IsLinkLocalUnicast() {
				continue
			}
			if i.Index == first {
				primary = append(primary, prefix.Addr())
			} else {
				others = append(others, prefix.Addr())
			}
		}
	}
	return append(primary, others...)
}

// processStart returns when this process began, so that start-up figures include what happens before main.
func processStart() time.Time {
	now := time.Now()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return now
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return now
	}
	// The name of the program, in parentheses, may hold spaces; field 22 counts from before it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields, up := strings.Fields(rest), strings.Fields(string(uptime))
	if len(fields) < 20 || len(up) == 0 {
		return now
	}
	ticks, err1 := strconv.ParseInt(fields[19], 10, 64)
	seconds, err2 := strconv.ParseFloat(up[0], 64)
	if err := errors.Join(err1, err2); err != nil {
		return now
	}
	const ticksPerSecond = 100 // USER_HZ, the same on every Linux that Go runs on
	age := time.Duration(seconds*float64(time.Second)) - time.Duration(ticks)*time.Second/ticksPerSecond
	return now.Add(-max(age, 0))
}
