package nft

import (
	"github.com/google/nftables"
)

// elementsMax is how many elements go into one message: an attribute is at most 64 KiB.
const elementsMax = 500

// batch is one transaction under construction. Chains and rules go to the kernel in the order of the calls;
// elements follow them, deletions first, since a replaced element is a deletion and an addition of one key;
// chains are deleted last, when nothing leads to them.
type batch struct {
	conn   *nftables.Conn
	table  *Table
	order  []*nftables.Set // in order of first use
	adds   map[*nftables.Set][]nftables.SetElement
	dels   map[*nftables.Set][]nftables.SetElement
	chains []*nftables.Chain // to delete
	err    error
}

func (b *batch) note(s *nftables.Set) {
	if b.adds == nil {
		b.adds = map[*nftables.Set][]nftables.SetElement{}
		b.dels = map[*nftables.Set][]nftables.SetElement{}
	}
	if len(b.adds[s])+len(b.dels[s]) == 0 {
		b.order = append(b.order, s)
	}
}

func (b *batch) add(s *nftables.Set, e nftables.SetElement) {
	b.note(s)
	b.adds[s] = append(b.adds[s], e)
}

func (b *batch) del(s *nftables.Set, e nftables.SetElement) {
	b.note(s)
	b.dels[s] = append(b.dels[s], e)
}

func (b *batch) addSet(s *nftables.Set) {
	b.table.setID++
	s.Table, s.ID = b.table.table, b.table.setID
	b.keep(b.conn.AddSet(s, nil))
}

func (b *batch) keep(err error) {
	if b.err == nil {
		b.err = err
	}
}

// commit sends the transaction.
func (b *batch) commit() error {
	for _, s := range b.order {
		for list := b.dels[s]; len(list) > 0; list = list[min(elementsMax, len(list)):] {
			b.keep(b.conn.SetDeleteElements(s, list[:min(elementsMax, len(list))]))
		}
	}
	for _, s := range b.order {
		for list := b.adds[s]; len(list) > 0; list = list[min(elementsMax, len(list)):] {
			b.keep(b.conn.SetAddElements(s, list[:min(elementsMax, len(list))]))
		}
	}
	for _, c := range b.chains {
		b.conn.FlushChain(c)
	}
	for _, c := range b.chains {
		b.conn.DelChain(c)
	}
	if b.err != nil {
		return b.err
	}
	return b.conn.Flush()
}
