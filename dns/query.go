package dns

import (
	"context"

	"golang.org/x/net/dns/dnsmessage"

	"sampan/dns/answer"
)

// query is a request as far as it had to be read.
type query struct {
	raw      []byte
	header   dnsmessage.Header
	question dnsmessage.Question
	edns     bool
	version  byte // of EDNS
	dnssecOK bool
	size     int // the largest answer that the client takes
	tcp      bool
}

const (
	sizePlain = 512  // without EDNS, over UDP
	sizeEDNS  = 1232 // what we offer, and the most that we send over UDP: it passes every path in one piece
	sizeTCP   = 65535
)

// parse reads a request. ok is false for what must be dropped: it is not DNS, or it is an answer. A query that
// cannot be served has a code for its answer.
func parse(raw []byte, tcp bool) (q query, code dnsmessage.RCode, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(raw)
	if err != nil || h.Response {
		return q, 0, false
	}
	q = query{raw: raw, header: h, size: sizePlain, tcp: tcp}
	if tcp {
		q.size = sizeTCP
	}
	if h.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, true
	}
	if q.question, err = p.Question(); err != nil || !plainName(raw, q.question.Name) {
		q.question = dnsmessage.Question{}
		return q, dnsmessage.RCodeFormatError, true
	}
	if _, err := p.Question(); err != dnsmessage.ErrSectionDone {
		return q, dnsmessage.RCodeFormatError, true
	}
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, dnsmessage.RCodeFormatError, true
	}
	for {
		rh, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		}
		if err != nil || rh.Type == dnsmessage.TypeOPT && q.edns || p.SkipAdditional() != nil {
			return q, dnsmessage.RCodeFormatError, true
		}
		if rh.Type == dnsmessage.TypeOPT {
			q.edns, q.version, q.dnssecOK = true, byte(rh.TTL>>16), rh.DNSSECAllowed()
			if !tcp {
				q.size = min(max(int(rh.Class), sizePlain), sizeEDNS)
			}
		}
	}
	switch {
	case q.question.Type == dnsmessage.TypeAXFR || q.question.Class != dnsmessage.ClassINET && q.question.Class != dnsmessage.ClassANY:
		return q, dnsmessage.RCodeRefused, true
	}
	return q, dnsmessage.RCodeSuccess, true
}

// badVersion is the extended code for a version of EDNS that we do not speak.
const badVersion = 16

// aliasesMax bounds how many aliases are followed, as names can lead in circles.
const aliasesMax = 8

// local answers from what the server has; ok is false when another server has to be asked, for follow if that is
// not empty and for the question else.
func (s *Server) local(q query) (r answer.Result, ok bool, ready bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.index == nil {
		// The forwarder's names do not depend on the index, but which they are does for addresses only.
		return answer.New(s.cfg.Domain).For(q.question), false, false
	}
	r = s.index.For(q.question)
	if !r.Ours {
		return r, false, true
	}
	for range aliasesMax {
		if r.Follow == "" {
			return r, true, true
		}
		name, err := dnsmessage.NewName(r.Follow)
		if err != nil {
			return r, true, true
		}
		next := s.index.For(dnsmessage.Question{Name: name, Type: q.question.Type, Class: q.question.Class})
		if !next.Ours {
			return r, false, true
		}
		r.Answers = append(r.Answers, next.Answers...)
		r.Authority, r.Additional, r.Follow = next.Authority, next.Additional, next.Follow
	}
	return answer.Result{Ours: true, RCode: dnsmessage.RCodeServerFailure}, true, true
}

// quick answers a request without waiting for anybody. later is true when another server has to be asked;
// answer nil and later false mean to say nothing.
func (s *Server) quick(raw []byte, tcp bool) (reply []byte, q query, r answer.Result, later bool) {
	q, code, ok := parse(raw, tcp)
	switch {
	case !ok:
		return nil, q, r, false
	case code != dnsmessage.RCodeSuccess:
		return build(q, answer.Result{RCode: code}, false), q, r, false
	case q.edns && q.version > 0:
		return build(q, answer.Result{RCode: badVersion}, false), q, r, false
	}
	r, done, ready := s.local(q)
	switch {
	case done:
		return build(q, r, true), q, r, false
	case !ready && r.Ours:
		return build(q, answer.Result{RCode: dnsmessage.RCodeServerFailure}, true), q, r, false
	}
	return nil, q, r, true
}

// slow asks other servers: for the question itself, or for the name that our alias leads to.
func (s *Server) slow(ctx context.Context, q query, r answer.Result) []byte {
	if r.Follow == "" {
		if reply := s.forward.ask(ctx, q); reply != nil {
			return reply
		}
		return build(q, answer.Result{RCode: dnsmessage.RCodeServerFailure}, false)
	}
	rest, err := s.forward.resolve(ctx, r.Follow, q.question)
	if err != nil {
		return build(q, answer.Result{RCode: dnsmessage.RCodeServerFailure}, false)
	}
	r.RCode = rest.RCode
	r.Answers = append(r.Answers, rest.Answers...)
	r.Authority = nil
	return build(q, r, true)
}

// build makes the answer's packet, cut to what the client takes.
func build(q query, r answer.Result, authoritative bool) []byte {
	answers := rotated(r.Answers, int(q.header.ID))
	if b, err := pack(q, r, answers, authoritative, false); err == nil && len(b) <= q.size {
		return b
	}
	// What does not fit is left out: first what nobody asked for, then answers, with the mark that makes
	// the client come again by TCP.
	r.Additional, r.Authority = nil, nil
	if b, err := pack(q, r, answers, authoritative, false); err == nil && len(b) <= q.size {
		return b
	}
	low, high := 0, len(answers) // low fits, high does not
	best, _ := pack(q, r, nil, authoritative, true)
	for high-low > 1 {
		mid := (low + high) / 2
		if b, err := pack(q, r, answers[:mid], authoritative, true); err == nil && len(b) <= q.size {
			low, best = mid, b
		} else {
			high = mid
		}
	}
	return best
}

func pack(q query, r answer.Result, answers []dnsmessage.Resource, authoritative, truncated bool) ([]byte, error) {
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: q.header.ID, Response: true, OpCode: q.header.OpCode, Authoritative: authoritative && r.Ours,
			Truncated: truncated, RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true, RCode: r.RCode & 0xf,
		},
		Answers: answers, Authorities: r.Authority, Additionals: r.Additional,
	}
	if q.question.Name.Length > 0 {
		m.Questions = []dnsmessage.Question{q.question}
	}
	if q.edns {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(sizeEDNS, r.RCode, false); err != nil {
			return nil, err
		}
		m.Additionals = append(m.Additionals[:len(m.Additionals):len(m.Additionals)], dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}})
	}
	return m.Pack()
}

// rotated returns the answers beginning at another one for another number, so that clients that take the first
// spread. An alias stays in front.
func rotated(list []dnsmessage.Resource, n int) []dnsmessage.Resource {
	aliases := 0
	for aliases < len(list) && list[aliases].Header.Type == dnsmessage.TypeCNAME {
		aliases++
	}
	rest := list[aliases:]
	if len(rest) < 2 {
		return list
	}
	n %= len(rest)
	out := make([]dnsmessage.Resource, 0, len(list))
	out = append(out, list[:aliases]...)
	out = append(out, rest[n:]...)
	return append(out, rest[:n]...)
}
