package network_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"

	"sampan/network"
	"sampan/podruntime"
)

func TestRangesThatTheHostUsesAreRefused(t *testing.T) {
	m := newMachine(t)
	for _, c := range []struct{ pods, services, want string }{
		{"192.168.0.0/16", "10.97.0.0/16", "pod CIDR 192.168.0.0/16 overlaps 192.168.77.0/24, which this machine routes by interface up0: choose another range with --pod-cidr"},
		{"10.245.0.0/24", "192.168.77.128/25", "service CIDR 192.168.77.128/25 overlaps 192.168.77.0/24, which this machine routes by interface up0: choose another range with --service-cidr"},
		{"10.245.0.0/24", "10.245.0.0/16", "pod CIDR 10.245.0.0/24 and service CIDR 10.245.0.0/16 overlap: choose another range with --pod-cidr or --service-cidr"},
		{"fd00::/64", "10.97.0.0/16", "pod CIDR fd00::/64: want an IPv4 range (--pod-cidr)"},
		{"10.244.0.0/25", "10.97.0.0/16", "another instance"},
	} {
		cfg := m.config
		cfg.Instance, cfg.StateDir = "other", t.TempDir()
		cfg.PodCIDR, cfg.ServiceCIDR = netip.MustParsePrefix(c.pods), netip.MustParsePrefix(c.services)
		_, err := network.New(cfg)
		switch {
		case err == nil:
			t.Errorf("%s %s was accepted", c.pods, c.services)
		case c.want == "another instance":
			if !strings.Contains(err.Error(), "overlaps 10.244.0.") || !strings.Contains(err.Error(), "by interface sp-") {
				t.Errorf("another instance's range: %v", err)
			}
		case err.Error() != c.want:
			t.Errorf("got  %v\nwant %v", err, c.want)
		}
	}
}

func TestInstancesLiveSideBySide(t *testing.T) {
	m := newMachine(t)
	cfg := m.config
	cfg.Instance, cfg.StateDir = "second", t.TempDir()+"/n"
	cfg.PodCIDR, cfg.ServiceCIDR = netip.MustParsePrefix("10.245.0.0/24"), netip.MustParsePrefix("10.97.0.0/16")
	cfg.DNSAddress = netip.MustParseAddr("10.97.0.10")
	second, err := network.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := m.pod()
	p.serve(":80", "first")
	if err := second.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	m.host.wantAnswer(p.addr.String()+":80", "first", "")
}

func TestAddressesOutliveTheProcessAndAreNotReusedAtOnce(t *testing.T) {
	m := newMachine(t)
	a, b := m.pod(), m.pod()
	b.serve(":80", "b")
	if err := m.net.Detach(context.Background(), b.id); err != nil {
		t.Fatal(err)
	}
	m.stop()
	m.start()
	again, err := m.net.Attach(context.Background(), podruntime.Attachment{SandboxID: a.id, NetNS: a.path()})
	if err != nil || again[0] != a.addr {
		t.Fatal("the sandbox lost its address:", again, err)
	}
	if c := m.pod(); c.addr == b.addr || c.addr == a.addr {
		t.Fatalf("%s was given again at once", c.addr)
	}
	if err := m.net.Detach(context.Background(), "unknown"); err != nil {
		t.Fatal("Detach of an unknown sandbox:", err)
	}
	if _, err := m.net.Attach(context.Background(), podruntime.Attachment{SandboxID: "../x", NetNS: a.path()}); err == nil {
		t.Fatal("an ID that is a path was accepted")
	}
	if _, err := m.net.Attach(context.Background(), podruntime.Attachment{SandboxID: "y", NetNS: "/nowhere"}); err == nil {
		t.Fatal("a namespace that is not there was accepted")
	}
}

func TestLinksOfUnknownSandboxesAreRemoved(t *testing.T) {
	m := newMachine(t)
	p := m.pod()
	m.stop()
	m.config.StateDir = t.TempDir() + "/lost"
	m.start()
	m.host.links(func(h *netlink.Handle) {
		links, err := h.LinkList()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, "sp-") {
				t.Errorf("%s of sandbox %s is left", l.Attrs().Name, p.id)
			}
		}
	})
}

func TestForeignFirewallIsNamedAndLeftAlone(t *testing.T) {
	m := newMachine(t)
	m.stop()
	c, err := nftables.New(nftables.WithNetNSFd(int(m.host.handle)))
	if err != nil {
		t.Fatal(err)
	}
	drop := nftables.ChainPolicyDrop
	c.AddChain(&nftables.Chain{Name: "FORWARD", Table: c.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4}),
		Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	m.config.Log = slog.New(slog.NewTextHandler(&log, nil))
	m.start()
	m.stop()
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), `chains="ip filter FORWARD"`) {
		t.Fatalf("no warning: %q", log.String())
	}
	if chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyIPv4); err != nil || len(chains) == 0 {
		t.Fatal("the foreign table is gone:", err)
	}
}
