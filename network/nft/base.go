package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"sampan/network/ruleset"
)

// fixedSets are the sets and maps that are always there.
type fixedSets struct {
	services, nodePorts, affinity, hairpin, remote *nftables.Set
}

const (
	chainDispatch = "dispatch"
	chainRefuse   = "refuse"
)

// affinityMax bounds the map of clients, for the kernel's memory; when it is full, new clients are balanced
// like those of other Services.
const affinityMax = 1 << 18

func (t *Table) addSets(b *batch) {
	address, protocol, port := nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService
	t.sets = fixedSets{
		services:  &nftables.Set{Name: "services", IsMap: true, Concatenation: true, KeyType: concat(address, protocol, port), DataType: nftables.TypeVerdict},
		nodePorts: &nftables.Set{Name: "nodeports", IsMap: true, Concatenation: true, KeyType: concat(protocol, port), DataType: nftables.TypeVerdict},
		affinity: &nftables.Set{Name: "affinity", IsMap: true, Concatenation: true, KeyType: concat(address, nftables.TypeMark, nftables.TypeMark),
			DataType: concat(address, port), Dynamic: true, HasTimeout: true, Size: affinityMax},
		hairpin: &nftables.Set{Name: "hairpin", Concatenation: true, KeyType: concat(address, address)},
		remote:  &nftables.Set{Name: "remote", KeyType: address},
	}
	for _, s := range []*nftables.Set{t.sets.services, t.sets.nodePorts, t.sets.affinity, t.sets.hairpin, t.sets.remote} {
		b.addSet(s)
	}
}

// addBase writes what does not depend on Services.
func (t *Table) addBase(b *batch) {
	t.addSets(b)
	c := b.conn
	refuse := c.AddChain(&nftables.Chain{Name: chainRefuse, Table: t.table})
	t.rule(c, refuse, l4proto(reg1), equal(reg1, byte(ruleset.TCP)), &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	t.rule(c, refuse, &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpPortUnreachable})

	t.addDispatch(c)
	for name, hook := range map[string]*nftables.ChainHook{"prerouting": nftables.ChainHookPrerouting, "output": nftables.ChainHookOutput} {
		ch := t.baseChain(c, name, nftables.ChainTypeNAT, hook, nftables.ChainPriorityNATDest)
		t.rule(c, ch, &expr.Verdict{Kind: expr.VerdictJump, Chain: chainDispatch})
	}
	t.addPostrouting(c)

	// What is routed to the anchor is for an address of the cluster that nobody has.
	forward := t.baseChain(c, "forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	t.rule(c, forward, all(outInterface(t.cfg.Anchor), gotoChain(chainRefuse))...)
	// In the output hook the interface is the one from before the translation, so that what was translated
	// must be let through.
	out := t.baseChain(c, "output-filter", nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter)
	t.rule(c, out, all(outInterface(t.cfg.Anchor), translated(false), gotoChain(chainRefuse))...)
}

// addDispatch writes the chain that finds the group of a new connection.
func (t *Table) addDispatch(c *nftables.Conn) {
	ch := c.AddChain(&nftables.Chain{Name: chainDispatch, Table: t.table})
	for _, a := range t.cfg.Served {
		t.rule(c, ch, daddr(reg1), equal(reg1, a.AsSlice()...), &expr.Verdict{Kind: expr.VerdictReturn})
	}
	t.rule(c, ch, daddr(reg1), l4proto(reg32+1), dport(reg32+2), lookupVerdict(reg1, t.sets.services))
	t.rule(c, ch,
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true}, equal(reg1, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)...),
		daddr(reg1), mask(reg1, 0xff, 0, 0, 0), &expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{127, 0, 0, 0}},
		l4proto(reg1), dport(reg32+1), lookupVerdict(reg1, t.sets.nodePorts))
	t.rule(c, ch, all(within(daddr(reg1), t.cfg.ServiceCIDR), gotoChain(chainRefuse))...)
}

func (t *Table) addPostrouting(c *nftables.Conn) {
	ch := t.baseChain(c, "postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	// A pod that reaches itself through a Service would answer to itself without the node in between.
	t.rule(c, ch, saddr(reg1), daddr(reg32+1), &expr.Lookup{SourceRegister: reg1, SetName: t.sets.hairpin.Name, SetID: t.sets.hairpin.ID},
		&expr.Immediate{Register: reg1, Data: t.cfg.Gateway.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg1})
	// Inside the node every address is known: clients keep theirs.
	t.rule(c, ch, all(outInterfacePrefix(t.cfg.LinkPrefix), verdict(expr.VerdictReturn))...)
	// Nobody beyond knows the pods' addresses.
	t.rule(c, ch, all(within(saddr(reg1), t.cfg.PodCIDR), &expr.Masq{FullyRandom: true})...)
	// The answers of an endpoint on another node must come back through this one, which translated.
	t.rule(c, ch, all(list(daddr(reg1), &expr.Lookup{SourceRegister: reg1, SetName: t.sets.remote.Name, SetID: t.sets.remote.ID}),
		translated(true), &expr.Masq{FullyRandom: true})...)
}

func (t *Table) baseChain(c *nftables.Conn, name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return c.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: priority, Policy: &accept})
}

func (t *Table) rule(c *nftables.Conn, ch *nftables.Chain, exprs ...expr.Any) {
	c.AddRule(&nftables.Rule{Table: t.table, Chain: ch, Exprs: exprs})
}

func (t *Table) verdict(v ruleset.Verdict) *expr.Verdict {
	switch {
	case v.Group != "":
		return gotoChain(chainName(v.Group))
	case v.Drop:
		return verdict(expr.VerdictDrop)
	}
	return gotoChain(chainRefuse)
}
