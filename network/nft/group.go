package nft

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"sampan/network/ruleset"
)

// group is a ruleset.Group as the kernel has it.
type group struct {
	spec ruleset.Group
	id   uint64 // in the affinity map; a function of the name, so that it outlives the process
	run  slotRun
	// slots has the run's backends. The first len(spec.Backends) are what the rule balances over; the rest
	// repeats them, so that a packet in the rule of before, which went further, finds a backend too.
	slots []netip.AddrPort
}

func (g *group) has(a netip.AddrPort) bool {
	return slices.ContainsFunc(g.spec.Backends, func(b ruleset.Backend) bool { return b.Addr == a })
}

// chainName returns the name of a group's chain, in characters that nft's own syntax accepts.
func chainName(group string) string {
	return "svc-" + strings.ReplaceAll(group, ":", "/")
}

// allowed is the chain behind the check of source ranges.
func allowedChain(group string) string { return chainName(group) + "/allowed" }

// setGroup makes a group as described. It reports whether affinities to a backend that is gone are to be removed.
func (t *Table) setGroup(b *batch, spec ruleset.Group) (shrunk bool) {
	old := t.groups[spec.Name]
	h := fnv.New64a()
	h.Write([]byte(spec.Name))
	g := &group{spec: spec, id: h.Sum64()}
	n := len(spec.Backends)

	var previous []netip.AddrPort
	switch {
	case old != nil && n > 0 && n <= old.run.size && (n > old.run.size/4 || old.run.size <= 4):
		g.run, previous = old.run, old.slots
	case old != nil && old.run.size > 0:
		t.doomed = append(t.doomed, old.run)
		fallthrough
	default:
		g.run = t.slots.take(n)
	}
	var order []netip.AddrPort
	if old != nil {
		order = old.slots[:min(len(old.spec.Backends), len(old.slots))]
	}
	g.slots = arrange(order, spec.Backends, g.run.size)
	for i, a := range g.slots {
		key := nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(g.run.offset + i))}
		if previous != nil {
			if previous[i] == a {
				continue
			}
			b.del(t.bucket(b, g.run.bucket), key)
		}
		key.Val = backendData(a)
		b.add(t.bucket(b, g.run.bucket), key)
	}
	if old == nil || !sameRules(old, g) {
		t.writeRules(b, old, g)
	}
	t.groups[spec.Name] = g
	return old != nil && spec.Affinity > 0 && slices.ContainsFunc(old.spec.Backends, func(x ruleset.Backend) bool { return !g.has(x.Addr) })
}

// sameRules reports whether the chains of two states of a group are the same, so that only elements differ.
func sameRules(a, b *group) bool {
	return a.run == b.run && len(a.spec.Backends) == len(b.spec.Backends) && a.spec.Affinity == b.spec.Affinity &&
		a.spec.Inside == b.spec.Inside && slices.Equal(a.spec.Sources, b.spec.Sources)
}

// arrange returns the backends in size slots: those that were there keep their place in the first len(backends)
// slots, new ones fill the gaps, and the rest repeats them.
func arrange(order []netip.AddrPort, backends []ruleset.Backend, size int) []netip.AddrPort {
	if len(backends) == 0 {
		return nil
	}
	slots := make([]netip.AddrPort, len(backends), size)
	placed := map[netip.AddrPort]bool{}
	wanted := make(map[netip.AddrPort]bool, len(backends))
	for _, x := range backends {
		wanted[x.Addr] = true
	}
	for i, a := range order {
		if i < len(slots) && wanted[a] && !placed[a] {
			slots[i], placed[a] = a, true
		}
	}
	free := 0
	for _, x := range backends {
		if placed[x.Addr] {
			continue
		}
		for slots[free].IsValid() {
			free++
		}
		slots[free], placed[x.Addr] = x.Addr, true
	}
	for i := 0; len(slots) < size; i++ {
		slots = append(slots, slots[i])
	}
	return slots
}

// writeRules writes the chains of a group in place of those of its old state.
func (t *Table) writeRules(b *batch, old, g *group) {
	c, name := b.conn, g.spec.Name
	ch := t.chain(b, chainName(name), old != nil)
	hadSources := old != nil && len(old.spec.Sources) > 0
	if len(g.spec.Sources) > 0 {
		body := t.chain(b, allowedChain(name), hadSources)
		for _, p := range g.spec.Sources {
			t.rule(c, ch, all(within(saddr(reg1), p), gotoChain(body.Name))...)
		}
		t.rule(c, ch, verdict(expr.VerdictDrop))
		ch = body
	} else if hadSources {
		b.chains = append(b.chains, &nftables.Chain{Name: allowedChain(name), Table: t.table})
	}
	if g.spec.Inside != "" {
		inside := gotoChain(chainName(g.spec.Inside))
		t.rule(c, ch, all(within(saddr(reg1), t.cfg.PodCIDR), inside)...)
		t.rule(c, ch, &expr.Fib{Register: reg1, FlagSADDR: true, ResultADDRTYPE: true}, equal(reg1, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)...), inside)
	}
	if len(g.spec.Backends) == 0 {
		t.rule(c, ch, verdict(expr.VerdictDrop))
		return
	}
	pick := func(dest uint32) []expr.Any {
		return []expr.Any{
			&expr.Numgen{Register: reg3, Modulus: uint32(len(g.spec.Backends)), Type: unix.NFT_NG_INCREMENTAL, Offset: uint32(g.run.offset)},
			lookupData(reg3, dest, t.bucket(b, g.run.bucket)),
		}
	}
	dnat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg2, RegProtoMin: reg32 + 5}
	if g.spec.Affinity == 0 {
		t.rule(c, ch, all(pick(reg2), dnat)...)
		return
	}
	client := []expr.Any{saddr(reg1), &expr.Immediate{Register: reg32 + 1, Data: g.idData()[:4]}, &expr.Immediate{Register: reg32 + 2, Data: g.idData()[4:]}}
	remember := &expr.Dynset{SrcRegKey: reg1, SrcRegData: reg2, SetName: t.sets.affinity.Name, SetID: t.sets.affinity.ID,
		Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: g.spec.Affinity}
	t.rule(c, ch, all(client, lookupData(reg1, reg2, t.sets.affinity), remember, dnat)...)
	t.rule(c, ch, all(pick(reg2), client, remember)...)
	// Looked up again, because another connection of the client may have been quicker. When the map is full
	// nothing is found, and the client is balanced.
	t.rule(c, ch, all(client, lookupData(reg1, reg2, t.sets.affinity), dnat)...)
	t.rule(c, ch, all(pick(reg2), dnat)...)
}

// chain makes a chain empty.
func (t *Table) chain(b *batch, name string, exists bool) *nftables.Chain {
	ch := &nftables.Chain{Name: name, Table: t.table}
	if exists {
		b.conn.FlushChain(ch)
		return ch
	}
	return b.conn.AddChain(ch)
}

func (t *Table) delGroups(b *batch, names []string) {
	for _, name := range names {
		g := t.groups[name]
		if g == nil {
			continue
		}
		b.chains = append(b.chains, &nftables.Chain{Name: chainName(name), Table: t.table})
		if len(g.spec.Sources) > 0 {
			b.chains = append(b.chains, &nftables.Chain{Name: allowedChain(name), Table: t.table})
		}
		if g.run.size > 0 {
			t.doomed = append(t.doomed, g.run)
		}
		delete(t.groups, name)
	}
}

// bucket returns a map of backends, making it when it is used first.
func (t *Table) bucket(b *batch, i int) *nftables.Set {
	if s := t.eps[i]; s != nil {
		return s
	}
	s := &nftables.Set{Name: bucketName(i), IsMap: true, KeyType: nftables.TypeInteger, KeyByteOrder: binaryutil.NativeEndian,
		DataType: concat(nftables.TypeIPAddr, nftables.TypeInetService)}
	b.addSet(s)
	t.eps[i] = s
	return s
}

func (t *Table) freeRun(b *batch, run slotRun) {
	for i := range run.size {
		b.del(t.bucket(b, run.bucket), nftables.SetElement{Key: binaryutil.NativeEndian.PutUint32(uint32(run.offset + i))})
	}
	t.slots.give(run)
}
