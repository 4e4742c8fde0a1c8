package dns

import (
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"sampan/dns/answer"
)

// FuzzPackets feeds wild packets to all that reads packets: nothing panics, and what is answered is an answer to
// that very packet that fits the client.
func FuzzPackets(f *testing.F) {
	for _, name := range []string{"web.shop.svc.cluster.local.", "example.com.", "5.0.244.10.in-addr.arpa.", "."} {
		var rh dnsmessage.ResourceHeader
		if err := rh.SetEDNS0(1232, 0, true); err != nil {
			f.Fatal(err)
		}
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
			Questions:   []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET}},
			Additionals: []dnsmessage.Resource{{Header: rh, Body: &dnsmessage.OPTResource{}}}}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	// A name that is a pointer into the header.
	f.Add([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\xc0\x06\x00\x01\x00\x01"))
	index := answer.New("cluster.local")
	index.PutService(svc("web", "10.96.0.20"))
	s := &Server{cfg: Config{Domain: "cluster.local"}, index: index, forward: newForwarder()}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, tcp := range []bool{false, true} {
			reply, q, _, later := s.quick(b, tcp)
			if reply != nil {
				var p dnsmessage.Parser
				h, err := p.Start(reply)
				if err != nil || !h.Response || h.ID != q.header.ID || len(reply) > q.size {
					t.Fatalf("answer %x: %v", reply, err)
				}
			}
			if later {
				s.forward.kept.put(q, b, time.Time{})
				s.forward.cached(q)
			}
			answers(b, q.header.ID, q.question)
		}
		_ = eachTTL(b, func([]byte) {})
	})
}
