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
		{path(`{path: /, pathType: Exact, backend: {}}`), []string{`spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required`}},
		{path(`{path: /, pathType: Exact, backend: {service: {name: web, port: {}}}}`), []string{"spec.rules[0].http.paths[0].backend: Required value: port name or number is required"}},
		{path(`{path: /, pathType: Exact, backend: {service: {name: web, port: {name: a, number: 1}}}}`), []string{`spec.rules[0].http.paths[0].backend: Invalid value: "": cannot set both port name & port number`}},
		{path(`{path: /, pathType: Exact, backend: {service: {name: "-1", port: {number: 70000}}}}`), []string{
			`spec.rules[0].http.paths[0].backend.service.name: Invalid value: "-1": a lowercase RFC 1123 label`, "spec.rules[0].http.paths[0].backend.service.port.number: Invalid value: 70000"}},
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
		{`{spec: {parameters: {name: null}}}`, []string{"spec.parameters.name: Required value"}},
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
		{`{spec: {policyTypes: [Odd]}}`, []string{`spec.policyTypes[0]: Unsupported value: "Odd": supported values: "Ingress", "Egress"`}},
		{`{spec: {ingress: [{from: [{}]}]}}`, []string{"spec.ingress[0].from[0]: Required value: must specify a peer"}},
		{`{spec: {ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}}`, []string{"spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"}},
		{`{spec: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}}]}]}}`, []string{
			"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"11.0.0.0/8\": must be a strict subset of `cidr`"}},
		{`{spec: {ingress: [{from: [{ipBlock: {cidr: 10}}]}]}}`, []string{`spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10": must be a valid CIDR value`}},
		{`{spec: {ingress: [{ports: [{port: 80, endPort: 70}, {endPort: 1}, {port: http, endPort: 1}, {protocol: ICMP}]}]}}`, []string{
			"spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
			"spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is not specified",
			"spec.ingress[0].ports[2].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
			`spec.ingress[0].ports[3].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"`}},
	} {
		t.Run(c.patch, func(t *testing.T) { kindtest.Check(t, kindtest.Create(t, k, np, c.patch), c.want...) })
	}
}

func TestIngressUpdateBearsWithWhatIsThere(t *testing.T) {
	k := networking.Ingress()
	for _, c := range []struct {
		was, patch string
		want       []string
	}{
		{`{spec: {tls: [{secretName: Bad!}]}}`, `{spec: {tls: [{secretName: Worse!}]}}`, nil},
		{`{}`, `{spec: {tls: [{secretName: Bad!}]}}`, []string{`spec.tls[0].secretName: Invalid value: "Bad!"`}},
		{`{spec: {rules: [{host: "*.a.com", http: {paths: []}}]}}`, `{metadata: {labels: {x: "1"}}}`, nil},
		{`{}`, `{spec: {rules: [{host: "*.a.com", http: {paths: []}}]}}`, []string{"spec.rules[0].http.paths: Required value"}},
		{`{}`, `{metadata: {annotations: {kubernetes.io/ingress.class: other}}}`, nil},
		{`{}`, `{spec: {defaultBackend: {resource: {kind: K, name: n, apiGroup: Bad!}}}}`, []string{`spec.defaultBackend.resource.apiGroup: Invalid value: "Bad!"`}},
		{`{}`, `{spec: {defaultBackend: {resource: {kind: "", name: a/b}}}}`, []string{"spec.defaultBackend.resource.kind: Required value", `spec.defaultBackend.resource.name: Invalid value: "a/b": may not contain '/'`}},
		{`{}`, `{spec: {defaultBackend: {resource: {kind: K, name: n}, service: {name: s, port: {number: 1}}}}}`, []string{`spec.defaultBackend: Invalid value: "": cannot set both resource and service backends`}},
		{`{}`, `{spec: {tls: [{hosts: ["a.*.b"]}]}}`, []string{`spec.tls[0].hosts[0]: Invalid value: "a.*.b"`}},
	} {
		t.Run(c.was+c.patch, func(t *testing.T) {
			_, errs := kindtest.Update(t, k, kindtest.Created(t, k, ingress, c.was), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
	old := kindtest.Stored(t, k, ingress, `{status: {loadBalancer: {ingress: [{ip: 010.0.0.1}]}}}`)
	_, errs := kindtest.UpdateStatus(t, k, old, `{status: {loadBalancer: {ingress: [{ip: 010.0.0.1}, {ip: 010.0.0.2}, {hostname: 10.0.0.3}, {hostname: Bad!}]}}}`)
	kindtest.Check(t, errs, `status.loadBalancer.ingress[1].ip: Invalid value: "010.0.0.2"`,
		`status.loadBalancer.ingress[2].hostname: Invalid value: "10.0.0.3": must be a DNS name, not an IP address`, `status.loadBalancer.ingress[3].hostname: Invalid value: "Bad!"`)
}

func TestWarnings(t *testing.T) {
	k := networking.Ingress()
	old := kindtest.Created(t, k, ingress, `{metadata: {annotations: {kubernetes.io/ingress.class: nginx}}, spec: {ingressClassName: null}}`)
	kindtest.CheckTexts(t, k.Warnings(old), `annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead`)
	kindtest.CheckTexts(t, k.WarningsForUpdate(old, old))
	kindtest.CheckTexts(t, k.Warnings(kindtest.Created(t, k, ingress, `{metadata: {annotations: {kubernetes.io/ingress.class: nginx}}}`)))

	k = networking.NetworkPolicy()
	const np = `{spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8, except: ["10.1.0.1/16"]}}]}], egress: [{to: [{ipBlock: {cidr: "fd00::0/8"}}]}]}}`
	p := kindtest.Created(t, k, np)
	want := []string{`spec.ingress[0].from[0].ipBlock.cidr: CIDR value "10.0.0.1/8" is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)`,
		`spec.ingress[0].from[0].ipBlock.except[0]: CIDR value "10.1.0.1/16" is ambiguous`, `spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "fd00::0/8" should be in RFC 5952 canonical format`}
	kindtest.CheckTexts(t, k.Warnings(p), want...)
	kindtest.CheckTexts(t, k.WarningsForUpdate(p, p), want...)
}

func TestNetworkPolicyUpdateBearsWithOldAddresses(t *testing.T) {
	k := networking.NetworkPolicy()
	const np = `{spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 010.0.0.0/8}}]}]}}`
	kindtest.Check(t, kindtest.Create(t, k, np), `spec.egress[0].to[0].ipBlock.cidr: Invalid value: "010.0.0.0/8"`)
	_, errs := kindtest.Update(t, k, kindtest.Created(t, k, np), `{spec: {ingress: [{from: [{ipBlock: {cidr: 010.0.0.0/8}}]}]}}`)
	kindtest.Check(t, errs)
	kindtest.Check(t, kindtest.Create(t, k, np, `{spec: {egress: null, podSelector: {matchLabels: {"-": a}}, policyTypes: [Ingress, Egress, Ingress]}}`),
		`spec.podSelector.matchLabels: Invalid value: "-"`, "spec.policyTypes: Invalid value: [\"Ingress\",\"Egress\",\"Ingress\"]: may not specify more than two policyTypes")
	kindtest.Check(t, kindtest.Create(t, k, np, `{spec: {egress: [{to: [{ipBlock: {cidr: ""}}], ports: [{port: 0}, {port: "Bad!"}, {port: 1, endPort: 70000}]}]}}`),
		"spec.egress[0].to[0].ipBlock.cidr: Required value", "spec.egress[0].ports[0].port: Invalid value: 0", `spec.egress[0].ports[1].port: Invalid value: "Bad!"`, "spec.egress[0].ports[2].endPort: Invalid value: 70000")
}

func TestTables(t *testing.T) {
	k := networking.IngressClass()
	if d := cmp.Diff(`NAME   CONTROLLER      PARAMETERS               AGE
a      example.com/c   <none>                   5m
a      example.com/c   Settings.example.com/s   5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, `{spec: {controller: example.com/c}}`), kindtest.Parse(t, k, `{spec: {controller: example.com/c, parameters: {apiGroup: example.com, kind: Settings, name: s}}}`))); d != "" {
		t.Error(d)
	}
	k = networking.NetworkPolicy()
	if d := cmp.Diff(`NAME   POD-SELECTOR   AGE
a      a=b            5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, `{spec: {podSelector: {matchLabels: {a: b}}}}`))); d != "" {
		t.Error(d)
	}
}

func TestTable(t *testing.T) {
	k := networking.Ingress()
	obj := kindtest.Parse(t, k, ingress, `{spec: {tls: [{}], rules: [{host: a}, {host: b}, {host: c}, {host: d}]}, status: {loadBalancer: {ingress: [{ip: 10.0.0.2}, {hostname: lb}]}}}`)
	if d := cmp.Diff(`NAME   CLASS    HOSTS               ADDRESS       PORTS     AGE
a      <none>   *                                 80        5m
a      <none>   *                                 80        5m
a      nginx    a,b,c + 1 more...   10.0.0.2,lb   80, 443   5m
`, kindtest.Table(t, k, kindtest.Parse(t, k, `{spec: {rules: [{}]}}`),
		kindtest.Parse(t, k, `{metadata: {annotations: {kubernetes.io/ingress.class: old}}}`), obj)); d != "" {
		t.Error(d)
	}
}
