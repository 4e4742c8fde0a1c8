package network

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"

	"sampan/network/ipam"
)

// names are what an instance's things in the kernel are called. Interface names are at most 15 characters.
type names struct{ hash string }

func namesOf(instance string) names {
	sum := sha256.Sum256([]byte(instance))
	return names{hex.EncodeToString(sum[:3])}
}

// anchor is the name of the instance's own interface, and what the names of all its interfaces begin with.
func (n names) anchor() string { return "sp-" + n.hash }

func (n names) pods() string { return n.anchor() + "-" }

// pod is the name of the host's end of a pod's connection. It follows from the address, so no two pods share it.
func (n names) pod(pool netip.Prefix, a netip.Addr) string {
	return n.pods() + strconv.FormatUint(ipam.Offset(pool, a), 36)
}

func (n names) table() string { return "sampan-" + n.hash }
