package ipam_test

import (
	"errors"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"sampan/network/ipam"
)

func TestAddressesAreGivenInTurn(t *testing.T) {
	pool := netip.MustParsePrefix("10.244.0.0/29") // usable: .2 to .6
	held := map[netip.Addr]bool{}
	var cursor netip.Addr
	give := func() string {
		a, err := ipam.Next(pool, cursor, func(a netip.Addr) bool { return held[a] })
		if err != nil {
			return err.Error()
		}
		held[a], cursor = true, a
		return a.String()
	}
	free := func(s string) { delete(held, netip.MustParseAddr(s)) }
	expect := func(got, want string) {
		t.Helper()
		if got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	expect(give(), "10.244.0.2")
	free("10.244.0.2")
	expect(give(), "10.244.0.3") // not .2 again at once
	expect(give(), "10.244.0.4")
	expect(give(), "10.244.0.5")
	expect(give(), "10.244.0.6")
	expect(give(), "10.244.0.2") // round
	expect(give(), "no address is free in 10.244.0.0/29")
	free("10.244.0.4")
	expect(give(), "10.244.0.4")
}

func TestNoAddressHasTwoHolders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := netip.PrefixFrom(netip.MustParseAddr("10.9.8.0"), rapid.IntRange(24, 32).Draw(t, "bits"))
		held := map[netip.Addr]bool{}
		var order []netip.Addr
		var cursor netip.Addr
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(order) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(order)-1).Draw(t, "which")
				delete(held, order[i])
				order = append(order[:i], order[i+1:]...)
				continue
			}
			a, err := ipam.Next(pool, cursor, func(a netip.Addr) bool { return held[a] })
			if errors.As(err, new(ipam.ExhaustedError)) {
				if want := max(1<<(32-pool.Bits())-3, 0); len(held) != want {
					t.Fatalf("exhausted with %d of %d held", len(held), want)
				}
				continue
			}
			if held[a] || !ipam.Usable(pool, a) {
				t.Fatalf("gave %s, which is held or reserved", a)
			}
			held[a], cursor = true, a
			order = append(order, a)
		}
	})
}

func TestOverlapNamesTheRoute(t *testing.T) {
	used := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("10.244.3.0/24")}
	if got, ok := ipam.Overlap(netip.MustParsePrefix("10.244.0.0/16"), used); !ok || got != used[2] {
		t.Fatalf("got %v %v", got, ok)
	}
	if got, ok := ipam.Overlap(netip.MustParsePrefix("10.96.0.0/16"), used); ok {
		t.Fatalf("got %v", got)
	}
}

func TestOffsetCrossesBytes(t *testing.T) {
	if d := ipam.Offset(netip.MustParsePrefix("10.244.0.0/16"), netip.MustParseAddr("10.244.1.2")); d != 258 {
		t.Fatal(d)
	}
}
