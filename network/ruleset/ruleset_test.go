package ruleset_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	. "sampan/network/ruleset"
)

func node() Node {
	return Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, PodCIDR: netip.MustParsePrefix("10.244.0.0/24"),
		Served: []netip.Addr{netip.MustParseAddr("10.96.0.10")}}
}

func service(mutate func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.0.20",
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, NodePort: 0}},
	}}
	if mutate != nil {
		mutate(s)
	}
	return s
}

// slice makes a slice of endpoints in short form: "10.244.0.5", with "@n2" for a node, "-" in front for not ready,
// "~" for terminating but serving.
func slice(port int32, endpoints ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: new("http"), Port: &port, Protocol: new(corev1.ProtocolTCP)}}}
	for _, text := range endpoints {
		addr, nodeName, hasNode := strings.Cut(text, "@")
		e := discoveryv1.Endpoint{}
		switch {
		case strings.HasPrefix(addr, "-"):
			e.Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(false), Terminating: new(false)}
		case strings.HasPrefix(addr, "~"):
			e.Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true), Terminating: new(true)}
		}
		e.Addresses = []string{strings.TrimLeft(addr, "-~")}
		if hasNode {
			e.NodeName = &nodeName
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

// text prints a part: a line per binding, with the backends of its group.
func text(p Part) string {
	var b strings.Builder
	group := func(name string) Group {
		i := slices.IndexFunc(p.Groups, func(g Group) bool { return g.Name == name })
		return p.Groups[i]
	}
	for _, x := range p.Bindings {
		where := "node"
		if x.Frontend.Addr.IsValid() {
			where = x.Frontend.Addr.String()
		}
		fmt.Fprintf(&b, "%s:%d/%d", where, x.Frontend.Port, x.Frontend.Protocol)
		switch {
		case x.Verdict.Group == "" && x.Verdict.Drop:
			b.WriteString(" drop")
		case x.Verdict.Group == "":
			b.WriteString(" refuse")
		}
		for name := x.Verdict.Group; name != ""; {
			g := group(name)
			for _, s := range g.Sources {
				fmt.Fprintf(&b, " from %s", s)
			}
			for _, e := range g.Backends {
				fmt.Fprintf(&b, " %s", e.Addr)
				if e.Remote {
					b.WriteString("!")
				}
			}
			if g.Affinity > 0 {
				fmt.Fprintf(&b, " sticky %s", g.Affinity)
			}
			if name = g.Inside; name != "" {
				b.WriteString(" | inside")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestServicesCompileAsKubernetesDocuments(t *testing.T) {
	nodePort := func(s *corev1.Service) {
		s.Spec.Type, s.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, 30080
	}
	for _, c := range []struct {
		name   string
		mutate func(*corev1.Service)
		slices []*discoveryv1.EndpointSlice
		want   string
	}{
		{"ready endpoints, on this node and another", nil,
			[]*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6", "10.244.1.5@n2", "-10.244.0.7"), slice(8081, "10.244.0.5@n1")},
			"10.96.0.20:80/6 10.244.0.5:8081 10.244.0.6:8080 10.244.1.5:8080!\n"},
		{"one endpoint in two slices counts once", nil,
			[]*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6"), slice(8080, "10.244.0.6", "-10.244.0.6")}, "10.96.0.20:80/6 10.244.0.6:8080\n"},
		{"terminating endpoints serve when none is ready", nil, []*discoveryv1.EndpointSlice{slice(8080, "~10.244.0.6", "-10.244.0.7")}, "10.96.0.20:80/6 10.244.0.6:8080\n"},
		{"terminating endpoints do not serve beside a ready one", nil, []*discoveryv1.EndpointSlice{slice(8080, "~10.244.0.6", "10.244.0.7")}, "10.96.0.20:80/6 10.244.0.7:8080\n"},
		{"no endpoints", nodePort, nil, "10.96.0.20:80/6 refuse\nnode:30080/6 refuse\n"},
		{"headless", func(s *corev1.Service) { s.Spec.ClusterIP = "None" }, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6")}, ""},
		{"external name", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName }, nil, ""},
		{"another proxy's", func(s *corev1.Service) { s.Labels = map[string]string{LabelProxyName: "x"} }, nil, ""},
		{"answered by the node itself", func(s *corev1.Service) { s.Spec.ClusterIP = "10.96.0.10" }, nil, ""},
		{"another port's endpoints", func(s *corev1.Service) { s.Spec.Ports[0].Name = "other" }, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6")}, "10.96.0.20:80/6 refuse\n"},
		{"IPv6 slice", nil, []*discoveryv1.EndpointSlice{{AddressType: discoveryv1.AddressTypeIPv6}}, "10.96.0.20:80/6 refuse\n"},
		{"node port", nodePort, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6")}, "10.96.0.20:80/6 10.244.0.6:8080\nnode:30080/6 10.244.0.6:8080\n"},
		{"session affinity", func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6")},
			"10.96.0.20:80/6 10.244.0.6:8080 sticky 3h0m0s\n"},
		{"session affinity with a timeout", func(s *corev1.Service) {
			s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
			s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: new(int32(60))}}
		}, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6")}, "10.96.0.20:80/6 10.244.0.6:8080 sticky 1m0s\n"},
		{"internal traffic policy Local", func(s *corev1.Service) {
			nodePort(s)
			s.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal)
		}, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6", "10.244.1.5@n2")}, "10.96.0.20:80/6 10.244.0.6:8080\nnode:30080/6 10.244.0.6:8080 10.244.1.5:8080!\n"},
		{"internal traffic policy Local, none here", func(s *corev1.Service) { s.Spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyLocal) },
			[]*discoveryv1.EndpointSlice{slice(8080, "10.244.1.5@n2")}, "10.96.0.20:80/6 drop\n"},
		{"external traffic policy Local", func(s *corev1.Service) {
			nodePort(s)
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6", "10.244.1.5@n2")},
			"10.96.0.20:80/6 10.244.0.6:8080 10.244.1.5:8080!\nnode:30080/6 10.244.0.6:8080 | inside 10.244.0.6:8080 10.244.1.5:8080!\n"},
		{"external traffic policy Local, none here", func(s *corev1.Service) {
			nodePort(s)
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
		}, []*discoveryv1.EndpointSlice{slice(8080, "10.244.1.5@n2")},
			"10.96.0.20:80/6 10.244.1.5:8080!\nnode:30080/6 | inside 10.244.1.5:8080!\n"},
		{"external and load balancer addresses", func(s *corev1.Service) {
			nodePort(s)
			s.Spec.Type, s.Spec.ExternalIPs = corev1.ServiceTypeLoadBalancer, []string{"198.51.100.1", "2001:db8::1"}
			s.Spec.LoadBalancerSourceRanges = []string{"203.0.113.0/24"}
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.2"}, {IP: "198.51.100.3", IPMode: new(corev1.LoadBalancerIPModeProxy)}, {Hostname: "x"}}
		}, []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.6")},
			"10.96.0.20:80/6 10.244.0.6:8080\n198.51.100.1:80/6 10.244.0.6:8080\n198.51.100.2:80/6 from 203.0.113.0/24 10.244.0.6:8080\nnode:30080/6 10.244.0.6:8080\n"},
		{"endpoint with the node's own address", nil, []*discoveryv1.EndpointSlice{slice(6443, "192.0.2.1")}, "10.96.0.20:80/6 192.0.2.1:6443\n"},
	} {
		if diff := cmp.Diff(c.want, text(Compile(service(c.mutate), c.slices, node()))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestOneChangedEndpointIsOneChangedGroup(t *testing.T) {
	var r Ruleset
	first := Compile(service(nil), []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.5", "10.244.0.6")}, node())
	r.Replace(map[string]Part{"web": first})
	if c := r.Replace(map[string]Part{"web": first}); !c.Empty() {
		t.Fatalf("the same again: %+v", c)
	}
	c := r.Replace(map[string]Part{"web": Compile(service(nil), []*discoveryv1.EndpointSlice{slice(8080, "10.244.0.5", "10.244.0.7")}, node())})
	if len(c.SetGroups) != 1 || len(c.SetBindings)+len(c.DelBindings)+len(c.DelGroups)+len(c.Flows) != 0 ||
		!slices.Equal(c.AddLocal, []netip.Addr{netip.MustParseAddr("10.244.0.7")}) || !slices.Equal(c.DelLocal, []netip.Addr{netip.MustParseAddr("10.244.0.6")}) {
		t.Fatalf("%+v", c)
	}
}

func TestSecondClaimOfAFrontendWaits(t *testing.T) {
	part := func(name string) Part {
		return HostPorts(name, []HostPort{{Port: 80, Protocol: TCP, Backend: netip.MustParseAddrPort("10.244.0.5:80")}})
	}
	var r Ruleset
	r.Replace(map[string]Part{"a": part("a")})
	if c := r.Replace(map[string]Part{"b": part("b")}); len(c.SetBindings) != 0 {
		t.Fatalf("the second took it: %+v", c)
	}
	c := r.Replace(map[string]Part{"a": {}})
	if len(c.SetBindings) != 1 || c.SetBindings[0].Verdict.Group != part("b").Groups[0].Name || len(c.DelBindings) != 0 {
		t.Fatalf("the second did not get it: %+v", c)
	}
}

func TestUDPFlowsAreForgottenOnlyWhenEndpointsMove(t *testing.T) {
	udp := func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolUDP }
	eps := func(addrs ...string) []*discoveryv1.EndpointSlice {
		s := slice(53, addrs...)
		s.Ports[0].Protocol = new(corev1.ProtocolUDP)
		return []*discoveryv1.EndpointSlice{s}
	}
	var r Ruleset
	replace := func(list []*discoveryv1.EndpointSlice) []Flow {
		return r.Replace(map[string]Part{"dns": Compile(service(udp), list, node())}).Flows
	}
	if f := replace(eps("10.244.0.5")); len(f) != 1 || len(f[0].Keep) != 1 {
		t.Fatalf("first endpoint: %+v", f)
	}
	if f := replace(eps("10.244.0.5")); len(f) != 0 {
		t.Fatalf("no change: %+v", f)
	}
	if f := replace(nil); len(f) != 1 || len(f[0].Keep) != 0 {
		t.Fatalf("no endpoint left: %+v", f)
	}
}

// TestChangesAddUpToTheWhole applies wild sequences of changes to a copy and compares it with what Full gives.
func TestChangesAddUpToTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Ruleset
		var x Index
		groups, bindings := map[string]Group{}, map[Frontend]Verdict{}
		local, remote := map[netip.Addr]bool{}, map[netip.Addr]bool{}
		apply := func(c Changes, groups map[string]Group, bindings map[Frontend]Verdict, local, remote map[netip.Addr]bool) {
			for _, g := range c.SetGroups {
				groups[g.Name] = g
			}
			for _, f := range c.DelBindings {
				delete(bindings, f)
			}
			for _, b := range c.SetBindings {
				bindings[b.Frontend] = b.Verdict
			}
			for _, n := range c.DelGroups {
				delete(groups, n)
			}
			for _, s := range []struct {
				m        map[netip.Addr]bool
				add, del []netip.Addr
			}{{local, c.AddLocal, c.DelLocal}, {remote, c.AddRemote, c.DelRemote}} {
				for _, a := range s.del {
					if !s.m[a] {
						t.Fatalf("%s removed twice", a)
					}
					delete(s.m, a)
				}
				for _, a := range s.add {
					if s.m[a] {
						t.Fatalf("%s added twice", a)
					}
					s.m[a] = true
				}
			}
			for f, v := range bindings {
				if _, ok := groups[v.Group]; v.Group != "" && !ok {
					t.Fatalf("%v leads to group %s, which is not there", f, v.Group)
				}
			}
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			parts := map[string]Part{}
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")
				key := types.NamespacedName{Namespace: "shop", Name: name}
				svc := service(func(s *corev1.Service) {
					s.Name, s.Spec.Type = name, corev1.ServiceTypeNodePort
					s.Spec.ClusterIP = rapid.SampledFrom([]string{"10.96.0.20", "10.96.0.21", "None"}).Draw(t, "ip")
					s.Spec.Ports[0].NodePort = int32(rapid.IntRange(30000, 30002).Draw(t, "nodePort"))
					if rapid.Bool().Draw(t, "local") {
						s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
					}
				})
				eps := slice(8080, rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"10.244.0.5", "10.244.0.6", "~10.244.0.7", "-10.244.0.8", "10.244.1.5@n2"}), 0, 4, rapid.ID).Draw(t, "endpoints")...)
				eps.Namespace, eps.Name, eps.Labels = "shop", name+"-1", map[string]string{discoveryv1.LabelServiceName: name}
				if rapid.IntRange(0, 4).Draw(t, "remove") == 0 {
					x.RemoveService(svc)
					x.RemoveSlice(eps)
				} else {
					x.PutService(svc)
					x.PutSlice(eps)
				}
				parts[key.String()] = x.Compile(key, node())
			}
			apply(r.Replace(parts), groups, bindings, local, remote)
		}
		wantGroups, wantBindings := map[string]Group{}, map[Frontend]Verdict{}
		wantLocal, wantRemote := map[netip.Addr]bool{}, map[netip.Addr]bool{}
		apply(r.Full(), wantGroups, wantBindings, wantLocal, wantRemote)
		opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, Frontend{})}
		for _, d := range []string{cmp.Diff(wantGroups, groups, opts), cmp.Diff(wantBindings, bindings, opts), cmp.Diff(wantLocal, local, opts), cmp.Diff(wantRemote, remote, opts)} {
			if d != "" {
				t.Fatalf("(-whole +sum):\n%s", d)
			}
		}
	})
}
