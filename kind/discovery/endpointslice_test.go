package discovery_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/discovery"
	"sampan/kind/kindtest"
)

func TestEndpointSliceValidation(t *testing.T) {
	const slice = `{addressType: IPv4, endpoints: [{addresses: [10.0.0.1]}], ports: [{port: 80}]}`
	for _, c := range []struct {
		name, patch string
		want        []string
	}{
		{"plain", `{}`, nil},
		{"any port", `{ports: [{name: a}]}`, nil},
		{"no type", `{addressType: ""}`, []string{`addressType: Required value`}},
		{"other family", `{endpoints: [{addresses: ["fd00::1"]}]}`, []string{`endpoints[0].addresses[0]: Invalid value: "fd00::1": must be an IPv4 address`}},
		{"no address", `{endpoints: [{addresses: []}]}`, []string{`endpoints[0].addresses: Required value: must contain at least 1 address`}},
		{"loopback", `{endpoints: [{addresses: [127.0.0.1]}]}`, []string{`endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`}},
		{"host name", `{endpoints: [{addresses: [10.0.0.1], hostname: A}]}`, []string{`endpoints[0].hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of`}},
		{"port name twice", `{ports: [{port: 1}, {port: 2}]}`, []string{`ports[1].name: Duplicate value: ""`}},
		{"port range", `{ports: [{port: 70000}]}`, []string{`ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, discovery.EndpointSlice(), slice, c.patch), c.want...)
		})
	}

	old := kindtest.Created(t, discovery.EndpointSlice(), slice)
	_, errs := kindtest.Update(t, discovery.EndpointSlice(), old, `{addressType: FQDN, endpoints: []}`)
	kindtest.Check(t, errs, `addressType: Invalid value: "FQDN": field is immutable`)
	next, _ := kindtest.Update(t, discovery.EndpointSlice(), old, `{metadata: {annotations: {a: b}}}`)
	if next.GetGeneration() != 1 {
		t.Errorf("an annotation raised the generation to %d", next.GetGeneration())
	}
	next, _ = kindtest.Update(t, discovery.EndpointSlice(), old, `{endpoints: []}`)
	if next.GetGeneration() != 2 {
		t.Errorf("after a change of endpoints the generation is %d", next.GetGeneration())
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
