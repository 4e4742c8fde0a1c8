package nft

import (
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Registers: reg1 to reg3 are 16 bytes wide; reg32+i is the i-th word of reg1 and what follows it, four words
// to each.
const (
	reg1  = unix.NFT_REG_1
	reg2  = unix.NFT_REG_2
	reg3  = unix.NFT_REG_3
	reg32 = unix.NFT_REG32_00
)

const icmpPortUnreachable = 3

// ipsDstNAT is the conntrack status bit of a connection whose destination was translated (IPS_DST_NAT).
const ipsDstNAT = 1 << 5

func saddr(reg uint32) expr.Any { return payload(reg, expr.PayloadBaseNetworkHeader, 12, 4) }
func daddr(reg uint32) expr.Any { return payload(reg, expr.PayloadBaseNetworkHeader, 16, 4) }

// dport is at the same place in TCP, UDP and SCTP.
func dport(reg uint32) expr.Any { return payload(reg, expr.PayloadBaseTransportHeader, 2, 2) }

func payload(reg uint32, base expr.PayloadBase, offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: base, Offset: offset, Len: length}
}

func l4proto(reg uint32) expr.Any { return &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg} }

func equal(reg uint32, data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}
}

func mask(reg uint32, m ...byte) expr.Any {
	return &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(len(m)), Mask: m, Xor: make([]byte, len(m))}
}

// within is true for an address (that load puts into reg1) of the range.
func within(load expr.Any, p netip.Prefix) []expr.Any {
	return []expr.Any{load, mask(reg1, net.CIDRMask(p.Bits(), 32)...), equal(reg1, p.Masked().Addr().AsSlice()...)}
}

func outInterface(name string) []expr.Any {
	full := make([]byte, unix.IFNAMSIZ)
	copy(full, name)
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, equal(reg1, full...)}
}

func outInterfacePrefix(prefix string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, equal(reg1, []byte(prefix)...)}
}

// translated is true for connections whose destination was translated, or was not.
func translated(is bool) []expr.Any {
	op := expr.CmpOpEq
	if is {
		op = expr.CmpOpNeq
	}
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATUS, Register: reg1}, mask(reg1, binaryutil.NativeEndian.PutUint32(ipsDstNAT)...),
		&expr.Cmp{Op: op, Register: reg1, Data: []byte{0, 0, 0, 0}},
	}
}

func lookupVerdict(reg uint32, s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg, DestRegister: 0, IsDestRegSet: true, SetName: s.Name, SetID: s.ID}
}

func lookupData(reg, dest uint32, s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg, DestRegister: dest, IsDestRegSet: true, SetName: s.Name, SetID: s.ID}
}

func verdict(kind expr.VerdictKind) *expr.Verdict { return &expr.Verdict{Kind: kind} }

func gotoChain(name string) *expr.Verdict { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: name} }

func list(exprs ...expr.Any) []expr.Any { return exprs }

// all joins expressions and lists of them.
func all(parts ...any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		switch p := p.(type) {
		case []expr.Any:
			out = append(out, p...)
		case expr.Any:
			out = append(out, p)
		}
	}
	return out
}

// concat joins types; it panics for more than the kernel takes, which is a mistake in the program.
func concat(types ...nftables.SetDatatype) nftables.SetDatatype {
	return nftables.MustConcatSetType(types...)
}
