package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/google/nftables"
)

// affinity is one client that is kept with a backend.
type affinity struct {
	key     []byte
	id      uint64 // of the group
	backend netip.AddrPort
	expires time.Duration
}

func (g *group) idData() []byte { return binary.BigEndian.AppendUint64(nil, g.id) }

// affinities reads the clients that the kernel's table keeps; none if there is no table.
func (t *Table) affinities() ([]affinity, error) {
	if exists, err := t.Exists(); err != nil || !exists {
		return nil, err
	}
	c, err := t.conn()
	if err != nil {
		return nil, err
	}
	elements, err := c.GetSetElements(&nftables.Set{Table: t.table, Name: "affinity"})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, t.reset(nil)
	}
	if err != nil {
		return nil, t.reset(fmt.Errorf("read session affinities of nftables table %s: %w", t.cfg.Name, err))
	}
	var list []affinity
	for _, e := range elements {
		if len(e.Key) == 12 && len(e.Val) == 8 {
			list = append(list, affinity{e.Key, binary.BigEndian.Uint64(e.Key[4:]), backendOf(e.Val), e.Expires})
		}
	}
	return list, nil
}

// forgetAffinities removes the clients whose backend is gone. The rules can add no more of them, so what is
// read after the change is all.
func (t *Table) forgetAffinities() error {
	// An element may expire between the reading and the removal, which fails the removal of all.
	for range 5 {
		list, err := t.affinities()
		if err != nil {
			return err
		}
		c, err := t.conn()
		if err != nil {
			return err
		}
		b := &batch{conn: c, table: t}
		groups := t.byID()
		for _, a := range list {
			if g := groups[a.id]; g == nil || !g.has(a.backend) {
				b.del(t.sets.affinity, nftables.SetElement{Key: a.key})
			}
		}
		if len(b.order) == 0 {
			return nil
		}
		err = b.commit()
		if err == nil {
			return nil
		}
		_ = t.reset(nil)
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove session affinities from nftables table %s: %w", t.cfg.Name, err)
		}
	}
	return fmt.Errorf("remove session affinities from nftables table %s: they change too fast", t.cfg.Name)
}
