package core_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestEndpointsRules(t *testing.T) {
	checkRules(t, core.Endpoints(), `{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]}`, []rule{
		{"good", `{}`, nil},
		{"empty subset", `{subsets: [{ports: [{port: 80}]}]}`, []string{"subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"}},
		{"only unready", `{subsets: [{notReadyAddresses: [{ip: 10.0.0.1}]}]}`, nil},
		{"address", `{subsets: [{notReadyAddresses: [{ip: x}]}]}`, []string{`subsets[0].notReadyAddresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. `, `subsets[0].notReadyAddresses[0].ip: Invalid value: "x": must be a valid IP address`}},
		{"own machine with a zero in front", `{subsets: [{addresses: [{ip: 127.0.0.01}]}]}`, []string{`subsets[0].addresses[0].ip: Invalid value: "127.0.0.01": must not have leading 0s`,
			`subsets[0].addresses[0].ip: Invalid value: "127.0.0.01": may not be in the loopback range (127.0.0.0/8, ::1/128)`}},
		{"host name", `{subsets: [{addresses: [{ip: 10.0.0.1, hostname: a.b}]}]}`, []string{`subsets[0].addresses[0].hostname: Invalid value: "a.b": must not contain dots`}},
		{"node name", `{subsets: [{addresses: [{ip: 10.0.0.1, nodeName: A}]}]}`, []string{`subsets[0].addresses[0].nodeName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"two ports without names", `{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}, {port: 81}]}]}`, []string{`subsets[0].ports[0].name: Required value`, `subsets[0].ports[1].name: Required value`}},
		{"port name", `{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80, name: a.b}]}]}`, []string{`subsets[0].ports[0].name: Invalid value: "a.b": must not contain dots`}},
		{"protocol", `{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80, protocol: ICMP}]}]}`, []string{`subsets[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`}},
		{"application protocol", `{subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80, appProtocol: "a b"}]}]}`, []string{`subsets[0].ports[0].appProtocol: Invalid value: "a b": name part must consist of`}},
	})
}

func TestEndpointsWarnings(t *testing.T) {
	e := kindtest.Parse(t, core.Endpoints(), `{subsets: [{notReadyAddresses: [{ip: "fd00:0::1"}]}]}`)
	want := []string{
		`subsets[0].notReadyAddresses[0].ip: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")`,
	}
	if got := core.Endpoints().Warnings(e); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestEndpointsTable(t *testing.T) {
	none := kindtest.Parse(t, core.Endpoints(), `{}`)
	unready := kindtest.Parse(t, core.Endpoints(), `{metadata: {name: b}, subsets: [{notReadyAddresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]}`)
	portless := kindtest.Parse(t, core.Endpoints(), `{metadata: {name: c}, subsets: [{addresses: [{ip: "fd00::1"}]}]}`)
	want := "NAME   ENDPOINTS   AGE\na      <none>      5m\nb                  5m\nc      fd00::1     5m\n"
	if d := cmp.Diff(want, kindtest.Table(t, core.Endpoints(), none, unready, portless)); d != "" {
		t.Error(d)
	}
}
