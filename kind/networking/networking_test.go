package networking_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"

	"sampan/kind/kindtest"
	"sampan/kind/networking"
)

const ingress = `
spec:
  ingressClassName: nginx
  rules:
  - host: foo.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`

// path returns a patch that gives the ingress one path.
func path(text string) string {
	return `{spec: {rules: [{host: foo.example.com, http: {paths: [` + text + `]}}]}}`
}

func TestIngressValidation(t *testing.T) {
	const backend = `backend: {service: {name: web, port: {number: 80}}}`
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {rules: null}}`, []string{"spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"}},
		{`{spec: {rules: null, defaultBackend: {service: {name: web, port: {name: http}}}}}`, nil},
		{`{spec: {rules: [{host: "*.example.com"}], tls: [{hosts: ["*.example.com"], secretName: s}]}}`, nil},
		{`{spec: {rules: [{host: "foo.*.com"}]}}`, []string{`spec.rules[0].host: Invalid value: "foo.*.com": a wildcard DNS-1123 subdomain must start with '*.'`}},
		{`{spec: {rules: [{host: "10.0.0.1"}]}}`, []string{`spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address`}},
		{`{spec: {rules: [{host: "foo:80"}]}}`, []string{`spec.rules[0].host: Invalid value: "foo:80": a lowercase RFC 1123 subdomain`}},
		{path(`{path: /, ` + backend + `}`), []string{"spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"}},
		{path(`{path: foo, pathType: Prefix, ` + backend + `}`), []string{`spec.rules[0].http.paths[0].path: Invalid value: "foo": must be an absolute path`}},
		{path(`{path: /a//b, pathType: Exact, ` + backend + `}`), []string{`spec.rules[0].http.paths[0].path: Invalid value: "/a//b": must not contain '//'`}},
		{path(`{path: /a/.., pathType: Exact, ` + backend + `}`), []string{`spec.rules[0].http.paths[0].path: Invalid value: "/a/..": cannot end with '/..'`}},
		{path(`{path: /, pathType: Odd, ` + backend + `}`), []string{`spec.rules[0].http.paths[0].pathType: Unsupported value: "Odd": supported values: "Exact", "ImplementationSpecific", "Prefix"`}},
		{path(`{pathType: ImplementationSpecific, ` + backend + `}`), nil},
		{path(`{path: /, pathType: Exact, backend: {}}`), []string{"spec.rules[0].http.paths[0].backend: Required value: must specify either a service or resource backend"}},
		{path(`{path: /, pathType: Exact, backend: {service: {name: web, port: {}}}}`), []string{"spec.rules[0].http.paths[0].backend: Required value: port name or number is required"}},
		{path(`{path: /, pathType: Exact, backend: {service: {name: web, port: {name: a, number: 1}}}}`), []string{`spec.rules[0].http.paths[0].backend: Invalid value: "": cannot set both port name & port number`}},
		{path(`{path: /, pathType: Exact, backend: {service: {name: "1", port: {number: 70000}}}}`), []string{
			`spec.rules[0].http.paths[0].backend.service.name: Invalid value: "1"`, "spec.rules[0].http.paths[0].backend.service.port.number: Invalid value: 70000"}},
		{`{spec: {rules: [{http: {paths: []}}]}}`, []string{"spec.rules[0].http.paths: Required value"}},
		{`{spec: {ingressClassName: A}}`, []string{`spec.ingressClassName: Invalid value: "A"`}},
		{`{metadata: {annotations: {kubernetes.io/ingress.class: other}}}`, []string{"annotations.kubernetes.io/ingress.class: Invalid value: \"other\": must match `ingressClassName` when both are specified"}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, networking.Ingress(), ingress, c.patch), c.want...)
		})
	}
}

func TestIngressClassValidation(t *testing.T) {
	const class = `{spec: {controller: example.com/c, parameters: {kind: Settings, name: s}}}`
	k := networking.IngressClass()
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {controller: nginx}}`, []string{`spec.controller: Invalid value: "nginx": must be a domain-prefixed path`}},
		{`{spec: {parameters: {name: null}}}`, []string{"spec.parameters.name: Required value: name is required"}},
		{`{spec: {parameters: {scope: Namespace}}}`, []string{"spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"}},
		{`{spec: {parameters: {namespace: ns}}}`, []string{"spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'"}},
		{`{spec: {parameters: {scope: Odd}}}`, []string{`spec.parameters.scope: Unsupported value: "Odd": supported values: "Cluster", "Namespace"`}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, class, c.patch), c.want...) })
	}
	_, errs := kindtest.Update(t, k, kindtest.Created(t, k, class), `{spec: {controller: example.com/d}}`)
	kindtest.Check(t, errs, `spec.controller: Invalid value: "example.com/d": field is immutable`)
}

func TestNetworkPolicyDefaultsAndValidation(t *testing.T) {
	const np = `{spec: {podSelector: {}, egress: [{ports: [{port: 53}], to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}`
	k := networking.NetworkPolicy()
	p := kindtest.Created(t, k, np).(*networkingv1.NetworkPolicy)
	if d := cmp.Diff([]networkingv1.PolicyType{"Ingress", "Egress"}, p.Spec.PolicyTypes); d != "" || *p.Spec.Egress[0].Ports[0].Protocol != "TCP" {
		t.Errorf("%s %+v", d, p.Spec)
	}
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{spec: {policyTypes: [Odd]}}`, []string{`spec.policyTypes[0]: Unsupported value: "Odd": supported values: "Egress", "Ingress"`}},
		{`{spec: {ingress: [{from: [{}]}]}}`, []string{"spec.ingress[0].from[0]: Required value: must specify a peer"}},
		{`{spec: {ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}}`, []string{"spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"}},
		{`{spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}}`, []string{
			"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/8\": must be a strict subset of `cidr` \"10.0.0.0/8\""}},
		{`{spec: {ingress: [{from: [{ipBlock: {cidr: 10}}]}]}}`, []string{`spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10": must be a valid CIDR value`}},
		{`{spec: {ingress: [{ports: [{port: 80, endPort: 70}, {endPort: 1}, {port: http, endPort: 1}, {protocol: ICMP}]}]}}`, []string{
			"spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
			"spec.ingress[0].ports[1].port: Required value: must be specified when `endPort` is specified",
			"spec.ingress[0].ports[2].port: Invalid value: \"http\": may not specify `endPort` when `port` is non-numeric",
			`spec.ingress[0].ports[3].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, np, c.patch), c.want...) })
	}
}

func TestTable(t *testing.T) {
	k := networking.Ingress()
	obj := kindtest.Parse(t, k, ingress, `{spec: {tls: [{}], rules: [{host: a}, {host: b}, {host: c}, {host: d}]}, status: {loadBalancer: {ingress: [{ip: 10.0.0.2}, {hostname: lb}]}}}`)
	if d := cmp.Diff(`NAME   CLASS    HOSTS               ADDRESS       PORTS     AGE
a      <none>   *                                 80        5m
a      nginx    a,b,c + 1 more...   10.0.0.2,lb   80, 443   5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, `{spec: {rules: [{}]}}`), obj)); d != "" {
		t.Error(d)
	}
}
