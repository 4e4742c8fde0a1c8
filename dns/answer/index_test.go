package answer

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"pgregory.net/rapid"
)

// questions asks everything that the objects of the property below can have an answer to.
func questions(t *rapid.T) (list []dnsmessage.Question) {
	ask := func(kind dnsmessage.Type, name string) {
		n, err := dnsmessage.NewName(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET})
	}
	for s := range 3 {
		svc := fmt.Sprintf("s%d.ns.svc.c.", s)
		ask(dnsmessage.TypeA, svc)
		ask(dnsmessage.TypeSRV, svc)
		ask(dnsmessage.TypeSRV, "_p._tcp."+svc)
		ask(dnsmessage.TypeA, "h1."+svc)
		ask(dnsmessage.TypeA, "10-0-0-1."+svc)
	}
	ask(dnsmessage.TypeA, "ns.svc.c.")
	for a := range 5 {
		ask(dnsmessage.TypePTR, fmt.Sprintf("%d.0.0.10.in-addr.arpa.", a))
	}
	return list
}

// TestHistoryLeavesNoTrace makes random changes, and compares with an index that has seen the last state only.
func TestHistoryLeavesNoTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		services, sliceOf := map[string]Service{}, map[string]Slice{}
		x := New("c")
		address := rapid.Custom(func(t *rapid.T) netip.Addr {
			return netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteRange(0, 4).Draw(t, "address")})
		})
		port := []Port{{Name: "p", Protocol: "tcp", Number: 80}}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			svc := fmt.Sprintf("s%d", rapid.IntRange(0, 2).Draw(t, "service"))
			name := fmt.Sprintf("e%d", rapid.IntRange(0, 3).Draw(t, "slice"))
			switch rapid.SampledFrom([]string{"put", "remove", "put slice", "put slice", "remove slice"}).Draw(t, "change") {
			case "put":
				s := Service{Namespace: "ns", Name: svc, PublishNotReady: rapid.Bool().Draw(t, "publish"), Ports: port}
				if s.Headless = rapid.Bool().Draw(t, "headless"); !s.Headless {
					s.Addresses = []netip.Addr{address.Draw(t, "cluster address")}
				}
				services[svc] = s
				x.PutService(s)
			case "remove":
				delete(services, svc)
				x.RemoveService("ns", svc)
			case "put slice":
				e := Slice{Namespace: "ns", Name: name, Service: rapid.SampledFrom([]string{svc, svc, svc, ""}).Draw(t, "owner"), Ports: port}
				for range rapid.IntRange(0, 3).Draw(t, "endpoints") {
					e.Endpoints = append(e.Endpoints, Endpoint{
						Addresses: []netip.Addr{address.Draw(t, "pod address")},
						Hostname:  rapid.SampledFrom([]string{"", "h1"}).Draw(t, "host"), Ready: rapid.Bool().Draw(t, "ready"),
					})
				}
				sliceOf[name] = e
				x.PutSlice(e)
			case "remove slice":
				delete(sliceOf, name)
				x.RemoveSlice("ns", name)
			}
		}
		fresh := New("c")
		for _, e := range sliceOf {
			fresh.PutSlice(e)
		}
		for _, s := range services {
			fresh.PutService(s)
		}
		for _, q := range questions(t) {
			if got, want := x.For(q), fresh.For(q); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s %s: %+v, want %+v", q.Name, q.Type, got, want)
			}
		}
		for name := range services {
			x.RemoveService("ns", name)
		}
		for name := range sliceOf {
			x.RemoveSlice("ns", name)
		}
		if len(x.namespaces)+len(x.owners)+len(x.addresses) > 0 {
			t.Fatalf("left behind: %+v", x)
		}
	})
}
