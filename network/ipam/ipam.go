// Package ipam decides which address a pod gets from its node's range. It is pure: the caller keeps the record
// of who holds what, and the cursor.
//
// Addresses are given out in turn: one that was given back is not given again before the rest of the range was,
// since a connection to the pod that had it may still be on its way.
package ipam

import (
	"fmt"
	"net/netip"
)

// ExhaustedError means that every address of the range is held.
type ExhaustedError struct{ Pool netip.Prefix }

func (e ExhaustedError) Error() string { return fmt.Sprintf("no address is free in %s", e.Pool) }

// Next returns the first address behind the cursor that is neither held nor reserved by [Usable]; it goes round
// at the end of the range. An invalid cursor begins at the start. The address is the next cursor.
func Next(pool netip.Prefix, cursor netip.Addr, held func(netip.Addr) bool) (netip.Addr, error) {
	pool = pool.Masked()
	first := pool.Addr()
	if !cursor.IsValid() || !pool.Contains(cursor) {
		cursor = first
	}
	for a := cursor.Next(); ; a = a.Next() {
		if !pool.Contains(a) {
			a = first
		}
		if Usable(pool, a) && !held(a) {
			return a, nil
		}
		if a == cursor {
			return netip.Addr{}, ExhaustedError{pool}
		}
	}
}

// Gateway returns the address of the range that the node itself has: the first after the network's own.
func Gateway(pool netip.Prefix) netip.Addr { return pool.Masked().Addr().Next() }

// Usable reports whether a pod may have the address: not the network's own, not the gateway, not the last one
// (which some programs take for a broadcast address).
func Usable(pool netip.Prefix, a netip.Addr) bool {
	pool = pool.Masked()
	return pool.Contains(a) && a != pool.Addr() && a != Gateway(pool) && pool.Contains(a.Next())
}

// Offset returns the distance of an address from the start of the range, which names it within the range.
func Offset(pool netip.Prefix, a netip.Addr) uint64 {
	from, to := pool.Masked().Addr().AsSlice(), a.AsSlice()
	var d uint64
	for i := range to {
		d = d<<8 + uint64(to[i]) - uint64(from[i])
	}
	return d
}

// Overlap returns the first of the used ranges that has an address in common with the range, and whether there
// is one. A range that covers everything (a default route) does not count.
func Overlap(p netip.Prefix, used []netip.Prefix) (netip.Prefix, bool) {
	for _, u := range used {
		if u.Bits() > 0 && u.Overlaps(p) {
			return u, true
		}
	}
	return netip.Prefix{}, false
}
