package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// tryTimeout is for one server, totalTimeout for all of them: less than a stub resolver waits.
	tryTimeout   = 2 * time.Second
	totalTimeout = 4500 * time.Millisecond
	// askingMax bounds the questions under way. Should the node's resolver ask us in turn, the circle ends here.
	askingMax = 512
)

// forwarder asks the node's resolvers, in order, and keeps answers for a short time.
type forwarder struct {
	asking chan struct{} // one place per question under way
	kept   *cache

	mu      sync.Mutex       // guards what follows
	self    []netip.AddrPort // where we listen ourselves: never asked
	servers []netip.AddrPort
}

func newForwarder() *forwarder {
	return &forwarder{asking: make(chan struct{}, askingMax), kept: newCache()}
}

// avoid adds an address that setServers leaves out.
func (f *forwarder) avoid(a netip.AddrPort) {
	f.mu.Lock()
	f.self = append(f.self, a)
	f.mu.Unlock()
}

func (f *forwarder) setServers(list []netip.AddrPort) {
	f.mu.Lock()
	list = slices.DeleteFunc(slices.Clone(list), func(a netip.AddrPort) bool { return slices.Contains(f.self, a) })
	same := slices.Equal(f.servers, list)
	f.servers = list
	f.mu.Unlock()
	if !same {
		f.kept.clear()
	}
}

// cached returns a kept answer that suits the query, or nil.
func (f *forwarder) cached(q query) []byte { return f.kept.get(q, time.Now()) }

// ask relays a query and returns the answer, nil if no server has one.
func (f *forwarder) ask(ctx context.Context, q query) []byte {
	if hit := f.cached(q); hit != nil {
		return hit
	}
	select {
	case f.asking <- struct{}{}:
		defer func() { <-f.asking }()
	default:
		return nil
	}
	f.mu.Lock()
	servers := f.servers
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, totalTimeout)
	defer cancel()
	var refusal []byte
	for _, server := range servers {
		reply, err := exchange(ctx, server, q)
		if err != nil {
			continue
		}
		// A server that cannot or will not is no better than none, as long as there is another.
		if code := dnsmessage.RCode(reply[3] & 0xf); code == dnsmessage.RCodeServerFailure || code == dnsmessage.RCodeRefused {
			refusal = reply
			continue
		}
		f.kept.put(q, reply, time.Now())
		return reply
	}
	return refusal
}

// resolve asks for another name than the client's, with the type of its question.
func (f *forwarder) resolve(ctx context.Context, name string, question dnsmessage.Question) (dnsmessage.Message, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return dnsmessage.Message{}, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: question.Type, Class: dnsmessage.ClassINET}},
	}
	raw, err := m.Pack()
	if err != nil {
		return dnsmessage.Message{}, err
	}
	q, _, ok := parse(raw, false)
	if !ok {
		return dnsmessage.Message{}, fmt.Errorf("name %q", name)
	}
	reply := f.ask(ctx, q)
	if reply != nil && reply[2]&2 != 0 {
		q, _, _ = parse(raw, true)
		reply = f.ask(ctx, q)
	}
	if reply == nil {
		return dnsmessage.Message{}, errors.New("no name server answers")
	}
	var out dnsmessage.Message
	return out, out.Unpack(reply)
}

// exchange sends a query to one server under a number and from a port of our own, and returns its answer under the
// client's number.
func exchange(ctx context.Context, server netip.AddrPort, q query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	network := "udp"
	if q.tcp {
		network = "tcp"
	}
	c, err := new(net.Dialer).DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()

	out := slices.Clone(q.raw)
	id := uint16(rand.Uint32())
	binary.BigEndian.PutUint16(out, id)
	if q.tcp {
		err = writeMessage(c, out)
	} else {
		_, err = c.Write(out)
	}
	if err != nil {
		return nil, err
	}
	for {
		in, err := receive(c, q.tcp)
		if err != nil {
			return nil, err
		}
		// Somebody who guesses must not get an answer in; the right one may still come.
		if !answers(in, id, q.question) {
			continue
		}
		binary.BigEndian.PutUint16(in, q.header.ID)
		// The question with the client's own letters, which some clients check.
		copy(in[headerSize:], q.raw[headerSize:headerSize+nameSize(q.raw)])
		return in, nil
	}
}

func receive(c net.Conn, tcp bool) ([]byte, error) {
	if tcp {
		return readMessage(c)
	}
	buf := make([]byte, 65535)
	n, err := c.Read(buf)
	return bytes.Clone(buf[:n]), err
}

// answers reports whether a packet is an answer to the question under the number.
func answers(in []byte, id uint16, question dnsmessage.Question) bool {
	var p dnsmessage.Parser
	h, err := p.Start(in)
	if err != nil || !h.Response || h.ID != id {
		return false
	}
	got, err := p.Question()
	return err == nil && plainName(in, got.Name) && got.Type == question.Type && got.Class == question.Class && equalFold(got.Name, question.Name)
}

func equalFold(a, b dnsmessage.Name) bool {
	return bytes.EqualFold(a.Data[:a.Length], b.Data[:b.Length])
}
