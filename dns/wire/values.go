package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"sampan/dns/answer"
)

// Strings and lists begin with their length as an unsigned varint. An address is its bytes as a string.

var errMalformed = errors.New("malformed payload")

// AppendService appends a PutService frame.
func AppendService(b []byte, s answer.Service) []byte {
	return framed(b, PutService, func(b []byte) []byte {
		b = appendText(appendText(b, s.Namespace), s.Name)
		b = appendAddresses(b, s.Addresses)
		b = appendBool(b, s.Headless)
		b = appendText(b, s.External)
		b = appendBool(b, s.PublishNotReady)
		return appendPorts(b, s.Ports)
	})
}

// ParseService reads the payload of a PutService frame.
func ParseService(payload []byte) (answer.Service, error) {
	r := reader{rest: payload}
	s := answer.Service{
		Namespace: r.text(), Name: r.text(), Addresses: r.addresses(), Headless: r.bool(), External: r.text(),
		PublishNotReady: r.bool(), Ports: r.ports(),
	}
	return s, r.end()
}

// AppendSlice appends a PutSlice frame.
func AppendSlice(b []byte, s answer.Slice) []byte {
	return framed(b, PutSlice, func(b []byte) []byte {
		b = appendText(appendText(appendText(b, s.Namespace), s.Name), s.Service)
		b = appendPorts(b, s.Ports)
		b = binary.AppendUvarint(b, uint64(len(s.Endpoints)))
		for _, e := range s.Endpoints {
			b = appendBool(appendText(appendAddresses(b, e.Addresses), e.Hostname), e.Ready)
		}
		return b
	})
}

// ParseSlice reads the payload of a PutSlice frame.
func ParseSlice(payload []byte) (answer.Slice, error) {
	r := reader{rest: payload}
	s := answer.Slice{Namespace: r.text(), Name: r.text(), Service: r.text(), Ports: r.ports()}
	s.Endpoints = list(&r, func() answer.Endpoint {
		return answer.Endpoint{Addresses: r.addresses(), Hostname: r.text(), Ready: r.bool()}
	})
	return s, r.end()
}

// AppendKey appends a frame that names an object: RemoveService, RemoveSlice.
func AppendKey(b []byte, kind Kind, namespace, name string) []byte {
	return framed(b, kind, func(b []byte) []byte { return appendText(appendText(b, namespace), name) })
}

// ParseKey reads the payload of RemoveService and RemoveSlice.
func ParseKey(payload []byte) (namespace, name string, err error) {
	r := reader{rest: payload}
	namespace, name = r.text(), r.text()
	return namespace, name, r.end()
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendAddresses(b []byte, list []netip.Addr) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, a := range list {
		raw := a.AsSlice()
		b = append(append(b, byte(len(raw))), raw...)
	}
	return b
}

func appendPorts(b []byte, list []answer.Port) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, p := range list {
		b = binary.BigEndian.AppendUint16(appendText(appendText(b, p.Name), p.Protocol), p.Number)
	}
	return b
}

// reader reads a payload from the front. After the first error it returns zero values.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) end() error {
	if r.failed || len(r.rest) > 0 {
		return errMalformed
	}
	return nil
}

// take returns the next n bytes, or nil.
func (r *reader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) size() uint64 {
	n, used := binary.Uvarint(r.rest)
	if used <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.take(uint64(used))
	return n
}

func (r *reader) text() string {
	switch b := r.take(r.size()); string(b) {
	case "tcp": // most texts are this one
		return "tcp"
	default:
		return string(b)
	}
}

func (r *reader) bool() bool {
	b := r.take(1)
	if len(b) == 1 && b[0] > 1 {
		r.failed = true
	}
	return len(b) == 1 && b[0] == 1
}

func (r *reader) number() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// list reads the length of a list and then its items, each of which has at least one byte.
func list[T any](r *reader, item func() T) []T {
	n := r.size()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
	}
	if r.failed || n == 0 {
		return nil
	}
	var out []T
	for range n {
		v := item()
		if r.failed {
			return nil
		}
		out = append(out, v)
	}
	return out
}

func (r *reader) addresses() []netip.Addr {
	return list(r, func() netip.Addr {
		a, ok := netip.AddrFromSlice(r.take(r.size()))
		if !ok || a.Is4In6() {
			r.failed, r.rest = true, nil
		}
		return a
	})
}

func (r *reader) ports() []answer.Port {
	return list(r, func() answer.Port {
		return answer.Port{Name: r.text(), Protocol: r.text(), Number: r.number()}
	})
}
