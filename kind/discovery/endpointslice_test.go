package discovery_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"

	"sampan/kind/discovery"
	"sampan/kind/kindtest"
)

func TestEndpointSliceValidation(t *testing.T) {
	const slice = `{addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}`
	nine := strings.TrimSuffix(strings.Repeat("{name: a},", 9), ",")
	for _, c := range []struct {
		name, patch string
		want        []string
	}{
		{"plain", `{}`, nil},
		{"any port", `{ports: [{name: a}]}`, nil},
		{"no type", `{addressType: ""}`, []string{`addressType: Required value`}},
		{"other family", `{endpoints: [{addresses: ["fd00::1"]}]}`, []string{`endpoints[0].addresses[0]: Invalid value: "fd00::1": must be an IPv4 address`}},
		{"no address", `{endpoints: [{addresses: []}]}`, []string{`endpoints[0].addresses: Required value`}},
		{"loopback", `{endpoints: [{addresses: [127.0.0.1]}]}`, []string{`endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`}},
		{"host name", `{endpoints: [{addresses: [10.0.0.1], hostname: A}]}`, []string{`endpoints[0].hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of`}},
		{"unknown type", `{addressType: IP, endpoints: []}`, []string{`addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6"`}},
		{"no IP", `{endpoints: [{addresses: [10.0.0]}]}`, []string{`endpoints[0].addresses[0]: Invalid value: "10.0.0": must be a valid IP address`}},
		{"six in a four", `{addressType: IPv6}`, []string{`endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be an IPv6 address`}},
		{"domain", `{addressType: FQDN, endpoints: [{addresses: [a.example.com]}]}`, nil},
		{"domain of one part", `{addressType: FQDN, endpoints: [{addresses: [a]}]}`, []string{`endpoints[0].addresses[0]: Invalid value: "a": should be a domain with at least two segments separated by dots`}},
		{"node name", `{endpoints: [{addresses: [10.0.0.1], nodeName: A}]}`, []string{`endpoints[0].nodeName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"hints", `{endpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: a}], forNodes: [{name: n.example.com}]}}]}`, nil},
		{"bad hints", `{endpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: "a b"}], forNodes: [{name: A}]}}]}`, []string{
			`endpoints[0].hints.forZones[0].name: Invalid value: "a b": a valid label must be`, `endpoints[0].hints.forNodes[0].name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"hints twice", `{endpoints: [{addresses: [10.0.0.1], hints: {forZones: [{name: a}, {name: a}], forNodes: [{name: m}, {name: m}]}}]}`, []string{
			`endpoints[0].hints.forZones[1].name: Duplicate value: "a"`, `endpoints[0].hints.forNodes[1].name: Duplicate value: "m"`}},
		{"nine hints", `{endpoints: [{addresses: [10.0.0.1], hints: {forZones: [` + nine + `], forNodes: [` + nine + `]}}]}`, []string{
			`endpoints[0].hints.forZones: Too many: 9: must have at most 8 items`, `endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items`}},
		{"addresses without end", `{endpoints: [{addresses: [` + strings.Repeat("10.0.0.1,", 101) + `]}]}`, []string{`endpoints[0].addresses: Too many: 101: must have at most 100 items`}},
		{"endpoints without end", `{endpoints: [` + strings.Repeat("{addresses: [10.0.0.1]},", 1001) + `]}`, []string{`endpoints: Too many: 1001: must have at most 1000 items`}},
		{"ports without end", `{ports: [` + strings.Repeat("{port: 1},", 20001) + `]}`, []string{`ports: Too many: 20001: must have at most 20000 items`}},
		{"port name", `{ports: [{name: A}]}`, []string{`ports[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of`}},
		{"protocol", `{ports: [{protocol: ICMP}]}`, []string{`ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`}},
		{"empty protocol", `{ports: [{protocol: ""}]}`, []string{`ports[0].protocol: Unsupported value: "": supported values: "SCTP", "TCP", "UDP"`}},
		{"application protocol", `{ports: [{appProtocol: "a b"}]}`, []string{`ports[0].appProtocol: Invalid value: "a b": name part must consist of`}},
		{"port name twice", `{ports: [{port: 1}, {port: 2}]}`, []string{`ports[1].name: Duplicate value: ""`}},
		{"port range", `{ports: [{port: 70000}]}`, []string{`ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, discovery.EndpointSlice(), slice, c.patch), c.want...)
		})
	}

	old := kindtest.Created(t, discovery.EndpointSlice(), slice)
	_, errs := kindtest.Update(t, discovery.EndpointSlice(), old, `{addressType: FQDN, endpoints: []}`)
	kindtest.Check(t, errs, `addressType: Invalid value: null: field is immutable`)
	next, _ := kindtest.Update(t, discovery.EndpointSlice(), old, `{metadata: {annotations: {a: b}}}`)
	if next.GetGeneration() != 1 {
		t.Errorf("an annotation raised the generation to %d", next.GetGeneration())
	}
	next, _ = kindtest.Update(t, discovery.EndpointSlice(), old, `{endpoints: []}`)
	if next.GetGeneration() != 2 {
		t.Errorf("after a change of endpoints the generation is %d", next.GetGeneration())
	}
}

func TestDeprecatedTopologyIsNotWritten(t *testing.T) {
	k := discovery.EndpointSlice()
	const written = `{addressType: IPv4, endpoints: [{addresses: [10.0.0.1], deprecatedTopology: {zone: a}}]}`
	made := kindtest.Created(t, k, written).(*discoveryv1.EndpointSlice)
	if made.Endpoints[0].DeprecatedTopology != nil {
		t.Errorf("created with %v", made.Endpoints[0].DeprecatedTopology)
	}
	old := kindtest.Parse(t, k, written).(*discoveryv1.EndpointSlice) // stored by a server of old
	for patch, want := range map[string]int{`{metadata: {labels: {a: b}}}`: 1, `{endpoints: [{addresses: [10.0.0.2], deprecatedTopology: {zone: a}}]}`: 0} {
		next, _ := kindtest.Update(t, k, old, patch)
		if got := next.(*discoveryv1.EndpointSlice).Endpoints[0].DeprecatedTopology; len(got) != want {
			t.Errorf("%s: %v", patch, got)
		}
	}
}

func TestEndpointSliceWarnings(t *testing.T) {
	for slice, want := range map[string]string{
		`{addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}]}`:         "",
		`{addressType: FQDN, endpoints: [{addresses: [a.b]}]}`:              "spec.addressType: FQDN endpoints are deprecated",
		`{addressType: IPv6, endpoints: [{addresses: ["2001:db8::0001"]}]}`: `endpoints[0].addresses[0]: IPv6 address "2001:db8::0001" should be in RFC 5952 canonical format ("2001:db8::1")`,
		`{metadata: {labels: {endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}, addressType: IPv6, endpoints: [{addresses: ["2001:db8::0001"]}]}`: "",
	} {
		if got := strings.Join(discovery.EndpointSlice().Warnings(kindtest.Parse(t, discovery.EndpointSlice(), slice)), "; "); got != want {
			t.Errorf("%s: %q", slice, got)
		}
	}
}

func TestEndpointSliceTable(t *testing.T) {
	const want = `NAME    ADDRESSTYPE   PORTS     ENDPOINTS                                AGE
full    IPv4          80,dns    10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...   5m
empty   IPv4          <unset>   <unset>                                  5m
`
	k := discovery.EndpointSlice()
	full := kindtest.Parse(t, k, `{metadata: {name: full}, addressType: IPv4, ports: [{port: 80}, {name: dns}], endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}, {addresses: [10.0.0.4]}]}`)
	empty := kindtest.Parse(t, k, `{metadata: {name: empty}, addressType: IPv4}`)
	if d := cmp.Diff(want, kindtest.Table(t, k, full, empty)); d != "" {
		t.Error(d)
	}
}
