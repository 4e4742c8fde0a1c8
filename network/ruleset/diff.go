package ruleset

import (
	"net/netip"
	"slices"
)

// differ collects what a Replace changes.
type differ struct {
	r       *Ruleset
	changes Changes
	touched map[Frontend]Verdict // frontends that may have changed, with the verdict from before
	had     map[Frontend]bool
	local   map[netip.Addr]int // counts from before, of addresses that changed
	remote  map[netip.Addr]int
	flows   map[Frontend]bool
}

func (d *differ) replace(owner string, next Part) {
	prev := d.r.parts[owner]
	d.groups(prev.Groups, next.Groups)

	for _, b := range prev.Bindings {
		d.touch(b.Frontend)
	}
	for _, b := range next.Bindings {
		d.touch(b.Frontend)
	}
	for _, b := range prev.Bindings {
		d.unclaim(b.Frontend, owner)
	}
	if next.Empty() {
		delete(d.r.parts, owner)
	} else {
		d.r.parts[owner] = next
	}
	for _, b := range next.Bindings {
		d.claim(b.Frontend, owner)
	}
	for _, g := range prev.Groups {
		d.count(g, -1)
	}
	for _, g := range next.Groups {
		d.count(g, +1)
	}
	d.flowsOf(prev, next)
}

func (d *differ) groups(prev, next []Group) {
	for _, g := range next {
		i := slices.IndexFunc(prev, func(p Group) bool { return p.Name == g.Name })
		if i < 0 || !prev[i].equal(g) {
			d.changes.SetGroups = append(d.changes.SetGroups, g)
		}
	}
	for _, g := range prev {
		if !slices.ContainsFunc(next, func(n Group) bool { return n.Name == g.Name }) {
			d.changes.DelGroups = append(d.changes.DelGroups, g.Name)
		}
	}
}

// touch remembers a frontend's verdict from before the first change to it.
func (d *differ) touch(f Frontend) {
	if _, ok := d.touched[f]; ok {
		return
	}
	v, had := d.r.verdict(f)
	d.touched[f], d.had[f] = v, had
}

func (d *differ) claim(f Frontend, owner string) {
	owners := d.r.claims[f]
	if i, found := slices.BinarySearch(owners, owner); !found {
		d.r.claims[f] = slices.Insert(slices.Clone(owners), i, owner)
	}
}

func (d *differ) unclaim(f Frontend, owner string) {
	owners := d.r.claims[f]
	if i, found := slices.BinarySearch(owners, owner); found {
		owners = slices.Delete(slices.Clone(owners), i, i+1)
	}
	if len(owners) == 0 {
		delete(d.r.claims, f)
	} else {
		d.r.claims[f] = owners
	}
}

func (d *differ) count(g Group, by int) {
	for _, b := range g.Backends {
		now, before := d.r.local, d.local
		if b.Remote {
			now, before = d.r.remote, d.remote
		}
		a := b.Addr.Addr()
		if _, ok := before[a]; !ok {
			before[a] = now[a]
		}
		if now[a] += by; now[a] == 0 {
			delete(now, a)
		}
	}
}

// flowsOf marks the UDP frontends of an owner whose backends changed: a backend that is gone leaves flows that
// lead nowhere, and a first backend finds flows that were recorded before it was there.
func (d *differ) flowsOf(prev, next Part) {
	moved := func(group string) bool {
		return slices.Contains(d.changes.DelGroups, group) ||
			slices.ContainsFunc(d.changes.SetGroups, func(g Group) bool { return g.Name == group })
	}
	mark := func(p, other Part) {
		for _, b := range p.Bindings {
			if b.Frontend.Protocol == UDP && (!slices.Contains(other.Bindings, b) || b.Verdict.Group != "" && moved(b.Verdict.Group)) {
				if d.flows == nil {
					d.flows = map[Frontend]bool{}
				}
				d.flows[b.Frontend] = true
			}
		}
	}
	mark(prev, next)
	mark(next, prev)
}

func (d *differ) finish() Changes {
	c := &d.changes
	for f, before := range d.touched {
		now, ok := d.r.verdict(f)
		switch {
		case !ok && d.had[f]:
			c.DelBindings = append(c.DelBindings, f)
		case ok && (!d.had[f] || now != before):
			c.SetBindings = append(c.SetBindings, Binding{f, now})
		}
	}
	slices.SortFunc(c.DelBindings, Frontend.Compare)
	slices.SortFunc(c.SetBindings, func(a, b Binding) int { return a.Frontend.Compare(b.Frontend) })
	c.AddLocal, c.DelLocal = members(d.local, d.r.local)
	c.AddRemote, c.DelRemote = members(d.remote, d.r.remote)
	for f := range d.flows {
		c.Flows = append(c.Flows, Flow{Frontend: f, Keep: d.keep(f)})
	}
	slices.SortFunc(c.Flows, func(a, b Flow) int { return a.Frontend.Compare(b.Frontend) })
	return *c
}

func (d *differ) keep(f Frontend) []netip.AddrPort {
	v, ok := d.r.verdict(f)
	if !ok || v.Group == "" {
		return nil
	}
	var keep []netip.AddrPort
	for name := v.Group; name != ""; {
		g, ok := d.r.group(f, name)
		if !ok {
			break
		}
		for _, b := range g.Backends {
			keep = append(keep, b.Addr)
		}
		name = g.Inside
	}
	return keep
}

func members(before, now map[netip.Addr]int) (added, removed []netip.Addr) {
	for a, n := range before {
		switch {
		case n == 0 && now[a] > 0:
			added = append(added, a)
		case n > 0 && now[a] == 0:
			removed = append(removed, a)
		}
	}
	slices.SortFunc(added, netip.Addr.Compare)
	slices.SortFunc(removed, netip.Addr.Compare)
	return added, removed
}
