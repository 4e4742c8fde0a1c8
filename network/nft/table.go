// Package nft makes the kernel's rules equal to a rule set, in one nftables table of the instance's own, by
// netlink. It is an OS leaf: network/ruleset decides what is to be there.
//
// The table is laid out so that a packet costs the same with ten Services or ten thousand, and a changed endpoint
// costs one replaced map element:
//
//	prerouting, output   nat: services {address . protocol . port : goto group}, nodeports {protocol . port : goto group}
//	svc-…                one chain per group: numgen inc modulo n, looked up in a map of backends, dnat
//	eps-0 … eps-255      the maps of backends: {slot : address . port}; a group has a run of slots in one of them
//	affinity             {client . group : address . port}, written by the rules of groups with session affinity
//	postrouting          nat: hairpin {pod . pod}, remote {address}; masquerade of what leaves the cluster
//	forward, output-…    filter: refuse at once what nothing takes
//
// The slots are spread over many maps because the kernel's cost of binding a rule to a map grows with the map.
//
// Each change is one transaction: it is there as a whole or not at all. When one fails the table must be
// written anew with [Table.Sync]. Established connections do not depend on the table; they go on through any
// change, through Sync, and when the process is gone.
package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sort"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"sampan/network/ruleset"
)

// Config is what a table is for.
type Config struct {
	Name string // of the table
	// NetNS is the descriptor of the network namespace; 0 is the process's own.
	NetNS int
	// Anchor is the interface at which traffic ends that nothing takes; LinkPrefix is what the names of all
	// interfaces of the instance begin with.
	Anchor     string
	LinkPrefix string
	Gateway    netip.Addr // the source address that a pod sees when it reaches itself
	PodCIDR    netip.Prefix
	// ServiceCIDR is where addresses without a Service are refused.
	ServiceCIDR netip.Prefix
	// Served are addresses in it that the node answers itself.
	Served []netip.Addr
}

// ErrStale means that an earlier change failed, so that Sync must come first.
var ErrStale = errors.New("the table in the kernel is not known")

// Table is the instance's table. It belongs to one goroutine (or one lock).
type Table struct {
	cfg   Config
	table *nftables.Table

	netlink  *nftables.Conn // nil until it is needed
	known    bool           // the kernel has what the fields below say
	setID    uint32
	sets     fixedSets
	eps      map[int]*nftables.Set // by bucket
	groups   map[string]*group
	bindings map[ruleset.Frontend]ruleset.Verdict
	slots    slotSpace
	// doomed are slots of groups that moved or went. They are deleted with the next change, so that a packet
	// that is under way in the rules of before still finds them.
	doomed []slotRun
}

// New returns the table of the configuration. It does nothing in the kernel.
func New(cfg Config) *Table {
	return &Table{cfg: cfg, table: &nftables.Table{Name: cfg.Name, Family: nftables.TableFamilyIPv4}}
}

// Exists reports whether the kernel has the table.
func (t *Table) Exists() (bool, error) {
	c, err := t.conn()
	if err != nil {
		return false, err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return false, t.reset(fmt.Errorf("list nftables tables: %w", err))
	}
	return slices.ContainsFunc(tables, func(x *nftables.Table) bool { return x.Name == t.cfg.Name }), nil
}

// Sync writes the table anew, in one transaction that replaces what is there. full is the rule set's Full.
// Clients that the old table kept with a backend are kept.
func (t *Table) Sync(full ruleset.Changes) error {
	kept, err := t.affinities()
	if err != nil {
		return err
	}
	c, err := t.conn()
	if err != nil {
		return err
	}
	t.known, t.setID = false, 0
	t.eps, t.groups = map[int]*nftables.Set{}, map[string]*group{}
	t.bindings, t.slots, t.doomed = map[ruleset.Frontend]ruleset.Verdict{}, slotSpace{}, nil

	c.AddTable(t.table)
	c.DelTable(t.table)
	c.AddTable(t.table)
	b := &batch{conn: c, table: t}
	t.addBase(b)
	t.change(b, full)
	groups := t.byID()
	for _, e := range kept {
		if g := groups[e.id]; g != nil && g.has(e.backend) {
			b.add(t.sets.affinity, nftables.SetElement{Key: e.key, Val: backendData(e.backend), Timeout: e.expires})
		}
	}
	if err := b.commit(); err != nil {
		return t.reset(fmt.Errorf("write nftables table %s: %w", t.cfg.Name, err))
	}
	t.known = true
	return nil
}

// Apply makes the changes in one transaction. After an error the next call must be Sync.
func (t *Table) Apply(changes ruleset.Changes) error {
	if !t.known {
		return ErrStale
	}
	c, err := t.conn()
	if err != nil {
		return err
	}
	b := &batch{conn: c, table: t}
	shrunk := t.change(b, changes)
	t.known = false
	if err := b.commit(); err != nil {
		return t.reset(fmt.Errorf("change nftables table %s: %w", t.cfg.Name, err))
	}
	t.known = true
	if shrunk {
		return t.forgetAffinities()
	}
	return nil
}

// Remove deletes the table. It is no error if there is none.
func (t *Table) Remove() error {
	exists, err := t.Exists()
	if err != nil || !exists {
		return err
	}
	c, err := t.conn()
	if err != nil {
		return err
	}
	t.known = false
	c.DelTable(t.table)
	if err := c.Flush(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t.reset(fmt.Errorf("remove nftables table %s: %w", t.cfg.Name, err))
	}
	return nil
}

// ForeignDrops returns the chains of others ("ip filter FORWARD") whose policy is to drop what they do not know:
// of the packets that the host forwards, or of those that it receives.
func (t *Table) ForeignDrops() ([]string, error) {
	c, err := t.conn()
	if err != nil {
		return nil, err
	}
	var found []string
	for family, name := range map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyINet: "inet"} {
		chains, err := c.ListChainsOfTableFamily(family)
		if err != nil {
			return nil, t.reset(fmt.Errorf("list nftables chains: %w", err))
		}
		for _, ch := range chains {
			if ch.Type == nftables.ChainTypeFilter && ch.Hooknum != nil && (*ch.Hooknum == *nftables.ChainHookForward || *ch.Hooknum == *nftables.ChainHookInput) &&
				ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop && ch.Table.Name != t.cfg.Name {
				found = append(found, name+" "+ch.Table.Name+" "+ch.Name)
			}
		}
	}
	sort.Strings(found)
	return found, nil
}

// socketBytes is for the acknowledgements of a full write, which the kernel sends before we read the first.
const socketBytes = 64 << 20

// conn returns the connection to the kernel. It is kept: to close one waits until the kernel has freed what
// earlier changes deleted, which takes longer than the changes.
func (t *Table) conn() (*nftables.Conn, error) {
	if t.netlink != nil {
		return t.netlink, nil
	}
	opts := []nftables.ConnOption{nftables.AsLasting(), nftables.WithSockOptions(
		func(c *netlink.Conn) error { return c.SetReadBuffer(socketBytes) },
		func(c *netlink.Conn) error { return c.SetWriteBuffer(socketBytes) },
	)}
	if t.cfg.NetNS != 0 {
		opts = append(opts, nftables.WithNetNSFd(t.cfg.NetNS))
	}
	c, err := nftables.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	t.netlink = c
	return c, nil
}

// Close closes the connection to the kernel. The table stays.
func (t *Table) Close() { _ = t.reset(nil) }

// reset passes an error on. The connection is given up with it: it may still hold the rest of an answer.
func (t *Table) reset(err error) error {
	if t.netlink != nil {
		_ = t.netlink.CloseLasting()
		t.netlink = nil
	}
	return err
}

// change writes the changes to the batch and to what we know. It reports whether a group with affinity lost a
// backend.
func (t *Table) change(b *batch, ch ruleset.Changes) (shrunk bool) {
	for _, run := range t.doomed {
		t.freeRun(b, run)
	}
	t.doomed = nil
	for _, g := range ch.SetGroups {
		if t.setGroup(b, g) {
			shrunk = true
		}
	}
	for _, f := range ch.DelBindings {
		t.unbind(b, f)
	}
	for _, x := range ch.SetBindings {
		t.unbind(b, x.Frontend)
		set, key := t.frontend(x.Frontend)
		b.add(set, nftables.SetElement{Key: key, VerdictData: t.verdict(x.Verdict)})
		t.bindings[x.Frontend] = x.Verdict
	}
	t.delGroups(b, ch.DelGroups)
	for _, a := range ch.DelLocal {
		b.del(t.sets.hairpin, nftables.SetElement{Key: slices.Concat(a.AsSlice(), a.AsSlice())})
	}
	for _, a := range ch.AddLocal {
		b.add(t.sets.hairpin, nftables.SetElement{Key: slices.Concat(a.AsSlice(), a.AsSlice())})
	}
	for _, a := range ch.DelRemote {
		b.del(t.sets.remote, nftables.SetElement{Key: a.AsSlice()})
	}
	for _, a := range ch.AddRemote {
		b.add(t.sets.remote, nftables.SetElement{Key: a.AsSlice()})
	}
	return shrunk
}

func (t *Table) unbind(b *batch, f ruleset.Frontend) {
	if _, ok := t.bindings[f]; ok {
		set, key := t.frontend(f)
		b.del(set, nftables.SetElement{Key: key})
		delete(t.bindings, f)
	}
}

// frontend returns the map that a frontend is in, and its key.
func (t *Table) frontend(f ruleset.Frontend) (*nftables.Set, []byte) {
	rest := []byte{byte(f.Protocol), 0, 0, 0, byte(f.Port >> 8), byte(f.Port), 0, 0}
	if !f.Addr.IsValid() {
		return t.sets.nodePorts, rest
	}
	return t.sets.services, append(f.Addr.AsSlice(), rest...)
}

// byID returns the groups by their number in the affinity map.
func (t *Table) byID() map[uint64]*group {
	m := make(map[uint64]*group, len(t.groups))
	for _, g := range t.groups {
		m[g.id] = g
	}
	return m
}

func backendData(a netip.AddrPort) []byte {
	return append(a.Addr().AsSlice(), byte(a.Port()>>8), byte(a.Port()), 0, 0)
}

func backendOf(data []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(data[:4])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(data[4:]))
}
