package answer

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// TTL is how many seconds a client may keep an answer.
const TTL = 5

// Version is the version of the Kubernetes DNS specification that is answered to dns-version.
const Version = "1.1.0"

// Result is the answer to one question.
type Result struct {
	// Ours is false for names that the cluster does not have; another name server is to be asked.
	Ours       bool
	RCode      dnsmessage.RCode
	Answers    []dnsmessage.Resource
	Authority  []dnsmessage.Resource // the start of authority, if there is no answer
	Additional []dnsmessage.Resource
	// Follow is the name that the last answer, an alias, leads to. Its records of the question's type belong
	// behind it.
	Follow string
}

// For answers a question of class IN.
func (x *Index) For(q dnsmessage.Question) Result {
	name := strings.ToLower(strings.TrimSuffix(q.Name.String(), "."))
	switch {
	case name == x.domain:
		return x.finish(x.apex(q), true)
	case strings.HasSuffix(name, "."+x.domain):
		labels := strings.Split(strings.TrimSuffix(name, "."+x.domain), ".")
		r, exists := x.inside(q, labels)
		return x.finish(r, exists)
	case strings.HasSuffix(name, ".in-addr.arpa"), strings.HasSuffix(name, ".ip6.arpa"):
		return x.reverse(q, name)
	}
	return Result{}
}

func (x *Index) apex(q dnsmessage.Question) (r Result) {
	switch q.Type {
	case dnsmessage.TypeSOA:
		r.Answers = append(r.Answers, x.authority())
	case dnsmessage.TypeNS:
		r.Answers = append(r.Answers, resource(q.Name, dnsmessage.TypeNS, &dnsmessage.NSResource{NS: x.name("ns.dns")}))
	}
	return r
}

// inside answers for a name below the cluster domain; exists is false if neither it nor a name below it is there.
func (x *Index) inside(q dnsmessage.Question, labels []string) (r Result, exists bool) {
	n := len(labels)
	rest := labels[:n-1] // without "svc", "pod"
	switch {
	case labels[n-1] == "dns-version" && n == 1:
		if q.Type == dnsmessage.TypeTXT {
			r.Answers = append(r.Answers, resource(q.Name, q.Type, &dnsmessage.TXTResource{TXT: []string{Version}}))
		}
		return r, true
	case labels[n-1] == "pod":
		return podRecord(q, rest)
	case labels[n-1] == "svc":
		return x.below(q, rest)
	}
	return r, false
}

// podRecord answers for 10-244-0-5.namespace.pod: the address is in the name.
func podRecord(q dnsmessage.Question, labels []string) (r Result, exists bool) {
	if len(labels) < 2 {
		return r, true // "pod" and "namespace.pod" have names below them
	}
	if len(labels) > 2 {
		return r, false
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(labels[0], "-", "."))
	if err != nil {
		if a, err = netip.ParseAddr(strings.ReplaceAll(labels[0], "-", ":")); err != nil {
			return r, false
		}
	}
	r.add(q, a)
	return r, true
}

// below answers for what is in front of "svc": [endpoint | _port _protocol] service namespace.
func (x *Index) below(q dnsmessage.Question, labels []string) (r Result, exists bool) {
	n := len(labels)
	if n == 0 {
		return r, true
	}
	if n == 1 {
		_, exists = x.namespaces[labels[0]]
		return r, exists
	}
	s := x.lookup(labels[n-1], labels[n-2])
	if s == nil {
		return r, false
	}
	switch front := labels[:n-2]; {
	case len(front) == 0:
		return x.serviceRecord(q, s), true
	case s.External != "":
		return r, false
	case len(front) == 1 && strings.HasPrefix(front[0], "_"):
		return r, slices.ContainsFunc(s.Ports, func(p Port) bool { return "_"+p.Protocol == front[0] })
	case len(front) == 1:
		return s.endpointRecord(q, front[0])
	case len(front) == 2:
		return x.portRecord(q, s, front[0], front[1])
	}
	return r, false
}

func (x *Index) serviceRecord(q dnsmessage.Question, s *service) (r Result) {
	switch {
	case s.External != "":
		target, err := dnsmessage.NewName(strings.TrimSuffix(s.External, ".") + ".")
		if err != nil {
			return r
		}
		r.Answers = append(r.Answers, resource(q.Name, dnsmessage.TypeCNAME, &dnsmessage.CNAMEResource{CNAME: target}))
		if q.Type != dnsmessage.TypeCNAME {
			r.Follow = target.String()
		}
	case q.Type == dnsmessage.TypeSRV:
		for _, p := range s.Ports {
			x.addServers(&r, q, s, p)
		}
	case s.Headless:
		for _, e := range s.endpoints {
			r.add(q, e.addr)
		}
	default:
		for _, a := range s.Addresses {
			r.add(q, a)
		}
	}
	return r
}

func (s *service) endpointRecord(q dnsmessage.Question, label string) (r Result, exists bool) {
	if !s.Headless {
		// Upstream's server answers for endpoints with a name behind a cluster IP too; the index has no others.
		for _, e := range s.endpoints {
			if e.hostname == label {
				r.add(q, e.addr)
				exists = true
			}
		}
		return r, exists
	}
	for _, e := range s.endpoints {
		if e.label() == label {
			r.add(q, e.addr)
			exists = true
		}
	}
	return r, exists
}

func (x *Index) portRecord(q dnsmessage.Question, s *service, port, protocol string) (r Result, exists bool) {
	for _, p := range s.Ports {
		if p.Name == "" || "_"+strings.ToLower(p.Name) != port || "_"+p.Protocol != protocol {
			continue
		}
		exists = true
		if q.Type == dnsmessage.TypeSRV {
			x.addServers(&r, q, s, p)
		}
	}
	return r, exists
}

// addServers adds the SRV records of a port, and the addresses of the names in them.
func (x *Index) addServers(r *Result, q dnsmessage.Question, s *service, p Port) {
	suffix := s.name + "." + s.namespace + ".svc"
	type key struct {
		target dnsmessage.Name
		port   uint16
	}
	seen := map[key]bool{}
	extra := map[dnsmessage.Name]bool{}
	for _, o := range r.Additional {
		extra[o.Header.Name] = true
	}
	add := func(target dnsmessage.Name, port uint16, a netip.Addr) {
		if k := (key{target, port}); !seen[k] {
			seen[k] = true
			r.Answers = append(r.Answers, resource(q.Name, dnsmessage.TypeSRV, &dnsmessage.SRVResource{Weight: 100, Port: port, Target: target}))
		}
		if !extra[target] {
			extra[target] = true
			r.Additional = append(r.Additional, address(target, a))
		}
	}
	if !s.Headless {
		for _, a := range s.Addresses {
			add(x.name(suffix), p.Number, a)
		}
		return
	}
	for _, e := range s.endpoints {
		for _, ep := range e.ports {
			if ep.Name == p.Name && ep.Protocol == p.Protocol {
				add(x.name(e.label()+"."+suffix), ep.Number, e.addr)
			}
		}
	}
}

// reverse answers for the name of an address: Services by cluster IP, endpoints of headless ones by their name.
func (x *Index) reverse(q dnsmessage.Question, name string) (r Result) {
	a, ok := reverseAddr(name)
	if !ok {
		return Result{}
	}
	owners := x.addresses[a]
	var targets []string
	for _, s := range owners {
		suffix := s.name + "." + s.namespace + ".svc"
		if !s.Headless {
			targets = append(targets, suffix)
			continue
		}
		for _, e := range s.endpoints {
			if e.addr == a {
				targets = append(targets, e.label()+"."+suffix)
			}
		}
	}
	if len(targets) == 0 {
		return Result{}
	}
	slices.Sort(targets)
	if q.Type == dnsmessage.TypePTR || q.Type == dnsmessage.TypeALL {
		for _, t := range slices.Compact(targets) {
			r.Answers = append(r.Answers, resource(q.Name, dnsmessage.TypePTR, &dnsmessage.PTRResource{PTR: x.name(t)}))
		}
	}
	return x.finish(r, true)
}

// finish adds what every answer from the cluster has.
func (x *Index) finish(r Result, exists bool) Result {
	r.Ours = true
	if !exists {
		r.RCode = dnsmessage.RCodeNameError
	}
	if len(r.Answers) == 0 {
		r.Authority = []dnsmessage.Resource{x.authority()}
	}
	return r
}

// authority is the start of authority: how long "no such name" may be kept is its last number.
func (x *Index) authority() dnsmessage.Resource {
	return resource(x.name(""), dnsmessage.TypeSOA, &dnsmessage.SOAResource{
		NS: x.name("ns.dns"), MBox: x.name("hostmaster"), Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, MinTTL: TTL,
	})
}

// name returns a name in the cluster domain. Names of objects are short enough that it always fits.
func (x *Index) name(front string) dnsmessage.Name {
	if front != "" {
		front += "."
	}
	n, err := dnsmessage.NewName(front + x.domain + ".")
	if err != nil {
		n, _ = dnsmessage.NewName(".")
	}
	return n
}

// add adds an address if the question asks for its kind.
func (r *Result) add(q dnsmessage.Question, a netip.Addr) {
	rec := address(q.Name, a)
	if q.Type != rec.Header.Type && q.Type != dnsmessage.TypeALL {
		return
	}
	// Addresses come in order, so that equal ones (one pod in several slices) are neighbours.
	if n := len(r.Answers); n == 0 || !sameAddress(r.Answers[n-1], rec) {
		r.Answers = append(r.Answers, rec)
	}
}

func address(name dnsmessage.Name, a netip.Addr) dnsmessage.Resource {
	if a.Is4() {
		return resource(name, dnsmessage.TypeA, &dnsmessage.AResource{A: a.As4()})
	}
	return resource(name, dnsmessage.TypeAAAA, &dnsmessage.AAAAResource{AAAA: a.As16()})
}

func sameAddress(a, b dnsmessage.Resource) bool {
	if a.Header.Name != b.Header.Name {
		return false
	}
	switch x := a.Body.(type) {
	case *dnsmessage.AResource:
		y, ok := b.Body.(*dnsmessage.AResource)
		return ok && *x == *y
	case *dnsmessage.AAAAResource:
		y, ok := b.Body.(*dnsmessage.AAAAResource)
		return ok && *x == *y
	}
	return false
}

func resource(name dnsmessage.Name, kind dnsmessage.Type, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name, Type: kind, Class: dnsmessage.ClassINET, TTL: TTL}, Body: body}
}

// reverseAddr returns the address that a name like 5.0.244.10.in-addr.arpa stands for.
func reverseAddr(name string) (netip.Addr, bool) {
	if front, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(front, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4()
	}
	front, _ := strings.CutSuffix(name, ".ip6.arpa")
	parts := strings.Split(front, ".")
	if len(parts) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(parts)
	var b strings.Builder
	for i, p := range parts {
		if i > 0 && i%4 == 0 {
			b.WriteByte(':')
		}
		b.WriteString(p)
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}
