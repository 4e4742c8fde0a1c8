package nft_test

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
	"pgregory.net/rapid"

	"sampan/network/nft"
	"sampan/network/ruleset"
)

// space returns the descriptor of a new network namespace.
func space(t testing.TB) int {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("SAMPAN_E2E") == "require" {
			t.Fatal("not root")
		}
		t.Skip("needs root")
	}
	made := make(chan netns.NsHandle)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		h, err := netns.New()
		if err != nil {
			t.Error(err)
		}
		made <- h
	}()
	h := <-made
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(func() { h.Close() })
	return int(h)
}

func config(ns int) nft.Config {
	return nft.Config{Name: "sampan-test", NetNS: ns, Anchor: "sp-test", LinkPrefix: "sp-test", Gateway: netip.MustParseAddr("10.244.0.1"),
		PodCIDR: netip.MustParsePrefix("10.244.0.0/16"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/12"), Served: []netip.Addr{netip.MustParseAddr("10.96.0.10")}}
}

func part(i int, backends ...int) ruleset.Part {
	name := fmt.Sprintf("ns/svc-%d:http/TCP", i)
	g := ruleset.Group{Name: name}
	for _, b := range backends {
		g.Backends = append(g.Backends, ruleset.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, byte(b >> 8), byte(b)}), 8080)})
	}
	ip := netip.AddrFrom4([4]byte{10, 96 + byte(i>>16), byte(i >> 8), byte(i)})
	return ruleset.Part{Groups: []ruleset.Group{g}, Bindings: []ruleset.Binding{{Frontend: ruleset.Frontend{Addr: ip, Protocol: ruleset.TCP, Port: 80}, Verdict: ruleset.Verdict{Group: name}}}}
}

func services(n int) map[string]ruleset.Part {
	parts := map[string]ruleset.Part{}
	for i := range n {
		parts[fmt.Sprint(i)] = part(1000+i, 3*i+10, 3*i+11, 3*i+12)
	}
	return parts
}

// TestAnyOrderOfChangesIsAccepted drives the kernel through wild changes; it refuses a transaction that does
// not fit what it has, so what we believe it has must be right.
func TestAnyOrderOfChangesIsAccepted(t *testing.T) {
	ns := space(t)
	rapid.Check(t, func(rt *rapid.T) {
		table := nft.New(config(ns))
		var rules ruleset.Ruleset
		if err := table.Sync(rules.Full()); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			i := rapid.IntRange(0, 3).Draw(rt, "service")
			p := ruleset.Part{}
			if n := rapid.IntRange(0, 20).Draw(rt, "backends"); n > 0 {
				first := rapid.IntRange(10, 20).Draw(rt, "first")
				var list []int
				for k := range n {
					list = append(list, first+k)
				}
				p = part(1000+i, list...)
				if rapid.Bool().Draw(rt, "sources") {
					p.Groups[0].Sources = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
				}
				if rapid.Bool().Draw(rt, "affinity") {
					p.Groups[0].Affinity = 1e10
				}
				if rapid.Bool().Draw(rt, "inside") {
					outer := p.Groups[0]
					outer.Name, outer.Inside, outer.Backends = outer.Name+"/external", outer.Name, outer.Backends[:n/2]
					p.Groups = append(p.Groups, outer)
					p.Bindings = append(p.Bindings, ruleset.Binding{Frontend: ruleset.Frontend{Protocol: ruleset.TCP, Port: uint16(30000 + i)}, Verdict: ruleset.Verdict{Group: outer.Name}})
				}
			} else if rapid.Bool().Draw(rt, "refuse") {
				p = part(1000 + i)
				p.Groups, p.Bindings[0].Verdict = nil, ruleset.Verdict{Drop: rapid.Bool().Draw(rt, "drop")}
			}
			if err := table.Apply(rules.Replace(map[string]ruleset.Part{fmt.Sprint(i): p})); err != nil {
				rt.Fatal(err)
			}
		}
		if err := table.Sync(rules.Full()); err != nil {
			rt.Fatal(err)
		}
	})
	table := nft.New(config(ns))
	for range 2 {
		if err := table.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if exists, err := table.Exists(); exists || err != nil {
		t.Fatal(exists, err)
	}
}

func TestApplyBeforeSyncIsRefused(t *testing.T) {
	if err := nft.New(config(0)).Apply(ruleset.Changes{}); err != nft.ErrStale {
		t.Fatal(err)
	}
}

func BenchmarkSync(b *testing.B) {
	ns := space(b)
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var rules ruleset.Ruleset
			rules.Replace(services(n))
			table := nft.New(config(ns))
			for b.Loop() {
				if err := table.Sync(rules.Full()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChange(b *testing.B) {
	ns := space(b)
	for _, n := range []int{100, 1000, 10_000} {
		var rules ruleset.Ruleset
		rules.Replace(services(n))
		table := nft.New(config(ns))
		if err := table.Sync(rules.Full()); err != nil {
			b.Fatal(err)
		}
		apply := func(b *testing.B, p ruleset.Part) {
			if err := table.Apply(rules.Replace(map[string]ruleset.Part{"x": p})); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("endpoint/%d", n), func(b *testing.B) {
			apply(b, part(500, 1, 2, 3))
			for i := 0; b.Loop(); i++ {
				apply(b, part(500, 1, 2, 4+i%2))
			}
			apply(b, ruleset.Part{})
		})
		b.Run(fmt.Sprintf("service/%d", n), func(b *testing.B) {
			for b.Loop() {
				apply(b, part(500, 1, 2, 3))
				apply(b, ruleset.Part{})
			}
		})
	}
}
