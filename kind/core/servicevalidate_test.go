package core_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

func TestServiceValidation(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		want        []string
	}{
		{"plain", `{}`, nil},
		{"with an address", `{spec: {clusterIP: 10.96.0.7}}`, nil},
		{"node port", `{spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}]}}`, nil},
		{"headless without ports", `{spec: {clusterIP: None, ports: null}}`, nil},
		{"headless with another target", `{spec: {clusterIP: None, ports: [{port: 80, targetPort: 8080}]}}`, nil},
		{"no ports", `{spec: {ports: null}}`, []string{`spec.ports: Required value`}},
		{"name that begins with a digit", `{metadata: {name: 1a}}`, nil},
		{"name with a dot", `{metadata: {name: a.b}}`, []string{`metadata.name: Invalid value: "a.b": must not contain dots`}},
		{"hints", `{metadata: {annotations: {service.kubernetes.io/topology-aware-hints: auto, service.kubernetes.io/topology-mode: none}}}`,
			[]string{`metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "none": must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified`}},

		{"port range", `{spec: {ports: [{port: 0, targetPort: 1}]}}`, []string{`spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive`}},
		{"port name", `{spec: {ports: [{port: 1, name: A}]}}`, []string{`spec.ports[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of`}},
		{"protocol", `{spec: {ports: [{port: 1, protocol: ICMP}]}}`, []string{`spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`}},
		{"target port", `{spec: {ports: [{port: 1, targetPort: 70000}]}}`, []string{`spec.ports[0].targetPort: Invalid value: 70000: must be between 1 and 65535, inclusive`}},
		{"target port name", `{spec: {ports: [{port: 1, targetPort: a_b}]}}`, []string{`spec.ports[0].targetPort: Invalid value: "a_b": must contain only alpha-numeric characters`}},
		{"application protocol", `{spec: {ports: [{port: 1, appProtocol: "a b"}]}}`, []string{`spec.ports[0].appProtocol: Invalid value: "a b": name part must consist of`}},
		{"two ports without names", `{spec: {ports: [{port: 80}, {port: 81}]}}`, []string{`spec.ports[0].name: Required value`, `spec.ports[1].name: Required value`}},
		{"port name twice", `{spec: {ports: [{port: 80, name: a}, {port: 81, name: a}]}}`, []string{`spec.ports[1].name: Duplicate value: "a"`}},
		{"port twice", `{spec: {ports: [{port: 80, name: a}, {port: 80, name: b}]}}`, []string{`spec.ports[1]: Duplicate value: {`}},
		{"port of two protocols", `{spec: {ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]}}`, nil},
		{"node port twice", `{spec: {type: NodePort, ports: [{port: 80, name: a, nodePort: 30000}, {port: 81, name: b, nodePort: 30000}]}}`, []string{`spec.ports[1].nodePort: Duplicate value: 30000`}},
		{"node port of a cluster service", `{spec: {ports: [{port: 80, nodePort: 30000}]}}`, []string{"spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"}},
		{"node port of a name", `{spec: {type: ExternalName, externalName: example.com, ports: [{port: 80, nodePort: 30000}]}}`, nil},

		{"type", `{spec: {type: Magic}}`, []string{`spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`}},
		{"headless node port", `{spec: {type: NodePort, clusterIP: None}}`, []string{`spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`}},
		{"headless balancer", `{spec: {type: LoadBalancer, clusterIP: None}}`, []string{`spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for LoadBalancer services`}},
		{"external name missing", `{spec: {type: ExternalName, ports: null}}`, []string{`spec.externalName: Required value`}},
		{"external name", `{spec: {type: ExternalName, externalName: A., ports: null}}`, []string{`spec.externalName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
		{"external name with addresses", `{spec: {type: ExternalName, externalName: example.com., ports: null, clusterIP: 10.96.0.7, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}}`, []string{
			`spec.clusterIPs: Forbidden: may not be set for ExternalName services`, `spec.ipFamilies: Forbidden: may not be set for ExternalName services`,
			`spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services`}},

		{"affinity", `{spec: {sessionAffinity: Sometimes}}`, []string{`spec.sessionAffinity: Unsupported value: "Sometimes": supported values: "ClientIP", "None"`}},
		{"affinity for a day", `{spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 86400}}}}`, nil},
		{"affinity for two days", `{spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 172800}}}}`,
			[]string{`spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 172800: must be greater than 0 and less than 86400`}},
		{"selector", `{spec: {selector: {"a b": c}}}`, []string{`spec.selector: Invalid value: "a b": name part must consist of`}},

		{"bad address", `{spec: {clusterIP: 10.96.0.700}}`, []string{`spec.clusterIPs[0]: Invalid value: "10.96.0.700": must be a valid IP address`}},
		{"only the newer field", `{spec: {clusterIPs: [10.96.0.7]}}`, []string{"spec.clusterIPs: Invalid value: [\"10.96.0.7\"]: must be empty when `clusterIP` is not specified"}},
		{"two opinions", `{spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.8]}}`, []string{"spec.clusterIPs: Invalid value: [\"10.96.0.8\"]: first value must match `clusterIP`"}},
		{"none and more", `{spec: {clusterIP: None, clusterIPs: [None, "fd00::1"]}}`, []string{`spec.clusterIPs: Invalid value: ["None","fd00::1"]: 'None' must be the first and only value`}},
		{"three addresses", `{spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, "fd00::1", 10.96.0.8]}}`, []string{`spec.clusterIPs: Invalid value: ["10.96.0.7","fd00::1","10.96.0.8"]: may only hold up to 2 values`}},
		{"two of a family", `{spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, 10.96.0.8]}}`, []string{`spec.clusterIPs: Invalid value: ["10.96.0.7","10.96.0.8"]: may specify no more than one IP for each IP family`}},
		{"other family", `{spec: {clusterIP: "fd00::1", ipFamilies: [IPv4]}}`, []string{"spec.clusterIPs[0]: Invalid value: \"fd00::1\": expected an IPv4 value as indicated by `ipFamilies[0]`"}},
		{"unknown family", `{spec: {ipFamilies: [IPX]}}`, []string{`spec.ipFamilies[0]: Unsupported value: "IPX": supported values: "IPv4", "IPv6"`}},
		{"family twice", `{spec: {ipFamilies: [IPv4, IPv4]}}`, []string{`spec.ipFamilies[1]: Duplicate value: "IPv4"`}},
		{"family policy", `{spec: {ipFamilyPolicy: Any}}`, []string{`spec.ipFamilyPolicy: Unsupported value: "Any": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"`}},
		{"address outside", `{spec: {externalIPs: [192.0.2.1, 10.0.0.0.1, 127.0.0.1, 169.254.169.254]}}`, []string{
			`spec.externalIPs[1]: Invalid value: "10.0.0.0.1": must be a valid IP address`,
			`spec.externalIPs[2]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`,
			`spec.externalIPs[3]: Invalid value: "169.254.169.254": may not be in the link-local range (169.254.0.0/16, fe80::/10)`}},

		{"balancer's fields", `{spec: {loadBalancerClass: example.com/x, loadBalancerSourceRanges: [10.0.0.0/8], allocateLoadBalancerNodePorts: true}}`, []string{
			"spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
			"spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
			"spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"}},
		{"balancer's class", `{spec: {type: LoadBalancer, loadBalancerClass: "a b"}}`, []string{`spec.loadBalancerClass: Invalid value: "a b": name part must consist of`}},
		{"source ranges", `{spec: {type: LoadBalancer, loadBalancerSourceRanges: [" 10.0.0.0/8 ", 10.0.0.0]}}`, []string{`spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.0": must be a valid CIDR value`}},
		{"source ranges of old", `{metadata: {annotations: {service.beta.kubernetes.io/load-balancer-source-ranges: "10.0.0.0/8, x"}}, spec: {type: LoadBalancer}}`,
			[]string{`metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: "x": must be a valid CIDR value`}},
		{"source ranges of old inside", `{metadata: {annotations: {service.beta.kubernetes.io/load-balancer-source-ranges: ""}}}`,
			[]string{"metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Forbidden: may only be used when `type` is 'LoadBalancer'"}},

		{"traffic policy inside", `{spec: {externalTrafficPolicy: Local}}`, []string{`spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services`}},
		{"traffic policy", `{spec: {type: NodePort, externalTrafficPolicy: Near, internalTrafficPolicy: Near}}`, []string{
			`spec.externalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"`, `spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"`}},
		{"health port", `{spec: {type: NodePort, externalTrafficPolicy: Local, healthCheckNodePort: 30000}}`, []string{
			"spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"}},
		{"health port range", `{spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 70000}}`, []string{"spec.healthCheckNodePort: Invalid value: 70000: must be between 1 and 65535, inclusive"}},
		{"distribution", `{spec: {trafficDistribution: Far}}`, []string{`spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose", "PreferSameZone", "PreferSameNode"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, core.Service(), plainService, c.patch), c.want...)
		})
	}
}

func TestServiceUpdateValidation(t *testing.T) {
	const stack = `{spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, "fd00::7"], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack}}`
	const single = `{spec: {clusterIP: 10.96.0.7, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}}`
	const balanced = `{spec: {type: LoadBalancer, clusterIP: 10.96.0.7, loadBalancerClass: example.com/x, externalTrafficPolicy: Local, healthCheckNodePort: 31000}}`
	for _, c := range []struct {
		name, old, patch string
		want             []string
	}{
		{"same", single, `{}`, nil},
		{"another address", single, `{spec: {clusterIP: 10.96.0.8}}`, []string{`spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set`}},
		{"another family", single, `{spec: {ipFamilies: [IPv6]}}`, []string{
			`spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set`, "spec.clusterIPs[0]: Invalid value: \"10.96.0.7\": expected an IPv6 value as indicated by `ipFamilies[0]`"}},
		{"headless now", single, `{spec: {clusterIP: None}}`, []string{`spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set`}},
		{"headless in the other family", `{spec: {clusterIP: None, ipFamilies: [IPv4]}}`, `{spec: {ipFamilies: [IPv6]}}`, nil},
		{"second address", single, `{spec: {clusterIPs: [10.96.0.7, "fd00::7"], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: PreferDualStack}}`, nil},
		{"second address first", single, `{spec: {clusterIP: "fd00::7", clusterIPs: ["fd00::7", 10.96.0.7], ipFamilies: [IPv6, IPv4], ipFamilyPolicy: PreferDualStack}}`, []string{
			`spec.clusterIPs[0]: Invalid value: ["fd00::7","10.96.0.7"]: may not change once set`, `spec.ipFamilies[0]: Invalid value: ["IPv6","IPv4"]: may not change once set`}},
		{"second address away", stack, `{spec: {clusterIPs: [10.96.0.7], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}}`, nil},
		{"second address away without a word", stack, `{spec: {clusterIPs: [10.96.0.7], ipFamilies: [IPv4]}}`, []string{
			`spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be set to 'SingleStack' when releasing the secondary clusterIP`,
			`spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be set to 'SingleStack' when releasing the secondary ipFamily`}},
		{"second address changed", stack, `{spec: {clusterIPs: [10.96.0.7, "fd00::8"]}}`, []string{`spec.clusterIPs[1]: Invalid value: ["10.96.0.7","fd00::8"]: may not change once set`}},
		{"from a name", `{spec: {type: ExternalName, externalName: example.com}}`, `{spec: {type: ClusterIP, clusterIP: 10.96.0.7}}`, nil},
		{"balancer's class", balanced, `{spec: {loadBalancerClass: example.com/y}}`, []string{`spec.loadBalancerClass: Invalid value: "example.com/y": may not change once set`}},
		{"balancer's class away", balanced, `{spec: {loadBalancerClass: null}}`, []string{`spec.loadBalancerClass: Invalid value: null: may not change once set`}},
		{"health port", balanced, `{spec: {healthCheckNodePort: 31001}}`, []string{`spec.healthCheckNodePort: Forbidden: field is immutable`}},
		{"health port not repeated", balanced, `{spec: {healthCheckNodePort: null}}`, nil},
		{"health port no more", balanced, `{spec: {externalTrafficPolicy: Cluster}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := kindtest.Update(t, core.Service(), kindtest.Created(t, core.Service(), plainService, c.old), c.patch)
			kindtest.Check(t, errs, c.want...)
		})
	}
}

func TestServiceStatusValidation(t *testing.T) {
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: lb.example.com}]}}}`, nil},
		{`{status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}`, []string{"status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"}},
		{`{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: x}]}}}`, []string{`status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address`}},
		{`{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1, ipMode: Odd}]}}}`, []string{`status.loadBalancer.ingress[0].ipMode: Unsupported value: "Odd": supported values: "Proxy", "VIP"`}},
		{`{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{hostname: a, ipMode: VIP}]}}}`, []string{"status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set"}},
		{`{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{hostname: 192.0.2.1}]}}}`, []string{`status.loadBalancer.ingress[0].hostname: Invalid value: "192.0.2.1": must be a DNS name, not an IP address`}},
		{`{spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{hostname: A}]}}}`, []string{`status.loadBalancer.ingress[0].hostname: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of`}},
	} {
		t.Run(c.patch, func(t *testing.T) {
			k := core.Service()
			svc := kindtest.Parse(t, k, plainService, c.patch)
			k.Default(svc)
			kindtest.Check(t, k.Status.Validate(svc, svc), c.want...)
		})
	}
}

func TestServiceFamilies(t *testing.T) {
	four, six := corev1.IPv4Protocol, corev1.IPv6Protocol
	one, both := []corev1.IPFamily{four}, []corev1.IPFamily{four, six}
	const stack = `{spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, "fd00::7"], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: PreferDualStack}}`
	for _, c := range []struct {
		name, old, patch string // old "" is a creation
		cluster          []corev1.IPFamily
		policy           corev1.IPFamilyPolicy
		families         []corev1.IPFamily
		want             []string
	}{
		{"usual", "", `{}`, one, "SingleStack", one, nil},
		{"usual of an IPv6 cluster", "", `{}`, []corev1.IPFamily{six}, "SingleStack", []corev1.IPFamily{six}, nil},
		{"headless", "", `{spec: {clusterIP: None}}`, one, "SingleStack", one, nil},
		{"headless without a selector", "", `{spec: {clusterIP: None, selector: null}}`, one, "RequireDualStack", both, nil},
		{"preferred, where there is one", "", `{spec: {ipFamilyPolicy: PreferDualStack}}`, one, "PreferDualStack", one, nil},
		{"preferred, where there are two", "", `{spec: {ipFamilyPolicy: PreferDualStack}}`, both, "PreferDualStack", both, nil},
		{"required, where there is one", "", `{spec: {ipFamilyPolicy: RequireDualStack}}`, one, "RequireDualStack", nil, []string{
			`spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services`}},
		{"foreign family", "", `{spec: {ipFamilies: [IPv6]}}`, one, "SingleStack", []corev1.IPFamily{six}, []string{`spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster`}},
		{"foreign address", "", `{spec: {clusterIP: "fd00::1"}}`, one, "SingleStack", nil, []string{`spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster`}},
		{"family of the address", "", `{spec: {clusterIP: "fd00::1"}}`, both, "SingleStack", []corev1.IPFamily{six}, nil},
		{"two families without a policy", "", `{spec: {ipFamilies: [IPv4, IPv6]}}`, both, "SingleStack", both, []string{
			`spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified`}},
		{"two addresses without a policy", "", `{spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7, "fd00::7"]}}`, both, "SingleStack", both, []string{
			`spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified`}},
		{"external name", "", `{spec: {type: ExternalName, externalName: a}}`, one, "", nil, nil},
		{"policy not repeated", stack, `{spec: {ipFamilyPolicy: null}}`, both, "PreferDualStack", both, nil},
		{"stays as the cluster changes", stack, `{}`, one, "PreferDualStack", both, nil},
		{"down", stack, `{spec: {ipFamilyPolicy: SingleStack}}`, both, "SingleStack", one, nil},
		{"down without a word", stack, `{spec: {clusterIPs: [10.96.0.7], ipFamilies: [IPv4]}}`, both, "PreferDualStack", one, []string{
			`spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be 'SingleStack' to release the secondary cluster IP`,
			`spec.ipFamilyPolicy: Invalid value: "PreferDualStack": must be 'SingleStack' to release the secondary IP family`}},
		{"IPv6 first", "", `{spec: {ipFamilies: [IPv6], ipFamilyPolicy: RequireDualStack}}`, both, "RequireDualStack", []corev1.IPFamily{six, four}, nil},
		{"an address that is none is left to validation", "", `{spec: {clusterIP: bad}}`, one, "SingleStack", nil, nil},
		{"headless with a selector, required", "", `{spec: {clusterIP: None, ipFamilyPolicy: RequireDualStack}}`, one, "RequireDualStack", nil, []string{
			`spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services`}},
		{"no selector, but an address", "", `{spec: {selector: null}}`, both, "SingleStack", one, nil},
		{"down, with other addresses", stack, `{spec: {ipFamilyPolicy: SingleStack, clusterIPs: [10.96.0.7, "fd00::8"]}}`, both, "SingleStack", both, []string{
			`spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified`}},
		{"down, with the families the other way round", stack, `{spec: {ipFamilyPolicy: SingleStack, ipFamilies: [IPv6, IPv4], clusterIPs: [10.96.0.7]}}`, both, "SingleStack", []corev1.IPFamily{six, four}, nil},
		{"another first address is left to validation", stack, `{spec: {clusterIP: 10.96.0.8, clusterIPs: [10.96.0.8]}}`, both, "PreferDualStack", both, nil},
		{"to a name and back", `{spec: {type: ExternalName, externalName: a, ports: null}}`, `{spec: {type: ClusterIP, externalName: null, ports: [{port: 80}]}}`, both, "SingleStack", one, nil},
		{"preferred at last", `{spec: {clusterIP: 10.96.0.7, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}}`, `{spec: {ipFamilyPolicy: PreferDualStack}}`, both, "PreferDualStack", both, nil},
		{"preferred still, as the type changes", `{spec: {clusterIP: 10.96.0.7, ipFamilies: [IPv4], ipFamilyPolicy: PreferDualStack}}`, `{spec: {type: NodePort}}`, both, "PreferDualStack", both, nil},
		{"preferred still, as nothing changes", `{spec: {clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ipFamilies: [IPv4], ipFamilyPolicy: PreferDualStack}}`, `{}`, both, "PreferDualStack", one, nil},
		{"up", `{spec: {clusterIP: 10.96.0.7, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack}}`, `{spec: {ipFamilyPolicy: RequireDualStack}}`, both, "RequireDualStack", both, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var old *corev1.Service
			svc := kindtest.Created(t, core.Service(), plainService, c.patch).(*corev1.Service)
			if c.old != "" {
				old = kindtest.Created(t, core.Service(), plainService, c.old).(*corev1.Service)
				next, _ := kindtest.Update(t, core.Service(), old, c.patch)
				svc = next.(*corev1.Service)
			}
			kindtest.Check(t, core.InitServiceFamilies(svc, old, c.cluster), c.want...)
			if p := svc.Spec.IPFamilyPolicy; p == nil && c.policy != "" || p != nil && *p != c.policy {
				t.Errorf("policy %v, want %q", p, c.policy)
			}
			if !slices.Equal(svc.Spec.IPFamilies, c.families) {
				t.Errorf("families %v, want %v", svc.Spec.IPFamilies, c.families)
			}
		})
	}
}

func TestServiceWarnings(t *testing.T) {
	for _, c := range []struct {
		patch string
		want  []string
	}{
		{`{}`, nil},
		{`{metadata: {annotations: {service.kubernetes.io/topology-aware-hints: auto}}}`, []string{
			"annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"}},
		{`{spec: {clusterIP: None, loadBalancerIP: 192.0.2.1, externalIPs: [192.0.2.1], sessionAffinity: ClientIP}}`, []string{
			"spec.loadBalancerIP is ignored for headless services", "spec.externalIPs is ignored for headless services", "spec.SessionAffinity is ignored for headless services"}},
		{`{spec: {clusterIP: "fd00:0::1"}}`, []string{`spec.clusterIPs[0]: IPv6 address "fd00:0::1" should be in RFC 5952 canonical format ("fd00::1")`}},
		{`{spec: {externalIPs: ["2001:db8:0::1"]}}`, []string{`spec.externalIPs[0]: IPv6 address "2001:db8:0::1" should be in RFC 5952 canonical format ("2001:db8::1")`,
			"spec.externalIPs is deprecated and may no longer be implemented in some clusters"}},
		{`{spec: {type: LoadBalancer, loadBalancerIP: any, loadBalancerSourceRanges: [" 2001:db8:0::/32"]}}`, []string{
			`spec.loadBalancerSourceRanges[0]: IPv6 CIDR value "2001:db8:0::/32" should be in RFC 5952 canonical format ("2001:db8::/32")`}},
		{`{spec: {type: ExternalName, externalName: a, externalIPs: [192.0.2.1]}}`, []string{`spec.externalIPs is ignored when spec.type is "ExternalName"`}},
		{`{spec: {externalName: a}}`, []string{`spec.externalName is ignored when spec.type is not "ExternalName"`}},
		{`{spec: {trafficDistribution: PreferClose}}`, []string{`spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"`}},
	} {
		if d := cmp.Diff(c.want, core.Service().Warnings(kindtest.Created(t, core.Service(), plainService, c.patch))); d != "" {
			t.Errorf("%s: %s", c.patch, d)
		}
	}
}
