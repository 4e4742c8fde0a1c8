package network_test

import (
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

// wantClean fails unless the host's namespace is as the test made it.
func (m *machine) wantClean() {
	m.t.Helper()
	m.host.links(func(h *netlink.Handle) {
		links, err := h.LinkList()
		if err != nil {
			m.t.Fatal(err)
		}
		for _, l := range links {
			if n := l.Attrs().Name; n != "lo" && n != "up0" && l.Type() != "ifb" {
				m.t.Errorf("interface %s is left", n)
			}
		}
		routes, err := h.RouteList(nil, netlink.FAMILY_V4)
		if err != nil {
			m.t.Fatal(err)
		}
		if len(routes) != 2 {
			m.t.Errorf("routes are left: %v", routes)
		}
	})
	c, err := nftables.New(nftables.WithNetNSFd(int(m.host.handle)))
	if err != nil {
		m.t.Fatal(err)
	}
	tables, err := c.ListTables()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, x := range tables {
		m.t.Errorf("nftables table %s is left", x.Name)
	}
}
