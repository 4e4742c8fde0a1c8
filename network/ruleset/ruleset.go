// Package ruleset compiles Services into a rule set: a plain value that says which address and port leads to
// which endpoints, and what differs between two of them. It is pure; network/nft makes the kernel equal to it.
//
// Each Service compiles to a [Part] on its own, so that a change costs what the changed Service costs. A
// [Ruleset] joins parts, decides between parts that claim the same address and port, and reports as [Changes]
// what a change of parts means for the kernel.
//
// Nothing here fails: what a Service says that makes no sense for packets (no cluster IP, an unknown protocol)
// leads to no rule.
package ruleset

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Protocol is the IANA number of a transport protocol.
type Protocol uint8

// The protocols of Services.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// Frontend is where traffic arrives.
type Frontend struct {
	// Addr is invalid for a port of the node: every local address but the loopback ones.
	Addr     netip.Addr
	Protocol Protocol
	Port     uint16
}

// Compare orders frontends.
func (f Frontend) Compare(g Frontend) int {
	return cmp.Or(f.Addr.Compare(g.Addr), cmp.Compare(f.Protocol, g.Protocol), cmp.Compare(f.Port, g.Port))
}

// Backend is where traffic goes.
type Backend struct {
	Addr netip.AddrPort
	// Remote is true for an endpoint on another node.
	Remote bool
}

// Group is a set of backends that share new connections in turn.
type Group struct {
	Name     string // unique in the rule set
	Backends []Backend
	// Affinity keeps a client with its backend for so long after its last connection; 0 is off.
	Affinity time.Duration
	// Sources, if there are any, are the only clients; others are dropped.
	Sources []netip.Prefix
	// Inside is the name of the group that takes the traffic of this node and its pods; "" is this one. A group
	// with Inside and no backends drops what comes from elsewhere.
	Inside string
}

func (g Group) equal(h Group) bool {
	return g.Name == h.Name && g.Affinity == h.Affinity && g.Inside == h.Inside &&
		slices.Equal(g.Backends, h.Backends) && slices.Equal(g.Sources, h.Sources)
}

// Verdict is what happens to a frontend's traffic: it goes to the named group, or is refused at once (TCP
// reset, ICMP port unreachable) or dropped.
type Verdict struct {
	Group string
	Drop  bool // with an empty Group: drop instead of refuse
}

// Binding gives a frontend its verdict.
type Binding struct {
	Frontend Frontend
	Verdict  Verdict
}

// Part is what one owner (a Service, a pod with host ports) contributes. The zero value is nothing.
type Part struct {
	Groups   []Group
	Bindings []Binding
}

// Empty reports whether the part contributes nothing.
func (p Part) Empty() bool { return len(p.Groups) == 0 && len(p.Bindings) == 0 }

// Changes is what must be changed in the kernel, in orders that do not depend on chance. Groups that are named
// by others (Inside) come first.
type Changes struct {
	SetGroups []Group // new or different
	DelGroups []string

	SetBindings []Binding // new or different
	DelBindings []Frontend

	// Local are the addresses of backends on this node: a pod that reaches itself through a Service must see
	// another source address. Remote are those on other nodes: forwarded traffic must come back here.
	AddLocal, DelLocal   []netip.Addr
	AddRemote, DelRemote []netip.Addr

	// Flows are the UDP frontends whose recorded flows are to be forgotten unless they lead to one of Keep.
	Flows []Flow
}

// Flow says which recorded flows of a frontend are still good.
type Flow struct {
	Frontend Frontend
	Keep     []netip.AddrPort
}

// Empty reports whether there is nothing to do.
func (c *Changes) Empty() bool {
	return len(c.SetGroups)+len(c.DelGroups)+len(c.SetBindings)+len(c.DelBindings)+
		len(c.AddLocal)+len(c.DelLocal)+len(c.AddRemote)+len(c.DelRemote)+len(c.Flows) == 0
}

// Ruleset is the parts of a node, joined. The zero value is empty. It belongs to one goroutine.
type Ruleset struct {
	parts map[string]Part
	// claims has the owners of a frontend in order of name; the first has it.
	claims map[Frontend][]string
	local  map[netip.Addr]int // backends with the address
	remote map[netip.Addr]int
}

// Replace sets the parts of the owners (an empty part removes the owner) and returns what that changes.
func (r *Ruleset) Replace(parts map[string]Part) Changes {
	r.init()
	d := differ{r: r, touched: map[Frontend]Verdict{}, had: map[Frontend]bool{}, local: map[netip.Addr]int{}, remote: map[netip.Addr]int{}}
	owners := make([]string, 0, len(parts))
	for owner := range parts {
		owners = append(owners, owner)
	}
	slices.Sort(owners)
	for _, owner := range owners {
		d.replace(owner, parts[owner])
	}
	return d.finish()
}

// Full returns the changes that lead from nothing to the rule set.
func (r *Ruleset) Full() Changes {
	var fresh Ruleset
	return fresh.Replace(r.parts)
}

// Owners returns the number of owners that contribute something.
func (r *Ruleset) Owners() int { return len(r.parts) }

// Has reports whether the owner contributes something.
func (r *Ruleset) Has(owner string) bool { _, ok := r.parts[owner]; return ok }

func (r *Ruleset) init() {
	if r.parts == nil {
		r.parts = map[string]Part{}
		r.claims = map[Frontend][]string{}
		r.local = map[netip.Addr]int{}
		r.remote = map[netip.Addr]int{}
	}
}

// verdict returns what the winning owner of a frontend wants.
func (r *Ruleset) verdict(f Frontend) (Verdict, bool) {
	owners := r.claims[f]
	if len(owners) == 0 {
		return Verdict{}, false
	}
	for _, b := range r.parts[owners[0]].Bindings {
		if b.Frontend == f {
			return b.Verdict, true
		}
	}
	return Verdict{}, false
}

// group returns a group by name from the part of a frontend's winner.
func (r *Ruleset) group(f Frontend, name string) (Group, bool) {
	for _, g := range r.parts[r.claims[f][0]].Groups {
		if g.Name == name {
			return g, true
		}
	}
	return Group{}, false
}
