package core_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind/core"
	"sampan/kind/kindtest"
)

// What a writer does not repeat stays, and what the new type of a service has no use for goes, unless the writer has
// changed it: then validation says that it does not belong there.
func TestServiceChangesItsType(t *testing.T) {
	const (
		node = `{spec: {type: NodePort, clusterIP: 10.96.0.7, ipFamilies: [IPv4], ipFamilyPolicy: SingleStack,
			ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 81, nodePort: 30081}]}}`
		local = `{spec: {type: LoadBalancer, clusterIP: 10.96.0.7, loadBalancerClass: example.com/x, externalTrafficPolicy: Local, healthCheckNodePort: 31000,
			ports: [{port: 80, nodePort: 30080}]}}`
		named = `type: ExternalName, externalName: example.com, ports: null`
	)
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	for _, c := range []struct {
		name, old, patch string
		want             string // cluster IPs, families, policy; ports, health port, external policy, class
	}{
		{"a status", node, `{status: {conditions: [{type: A, status: "True"}]}}`, "[10.96.0.7] [IPv4] SingleStack; 30080 30081; 0 Cluster -"},
		{"nothing", node, `{}`, "[10.96.0.7] [IPv4] SingleStack; 30080 30081; 0 Cluster -"},
		{"to a name", node, `{spec: {` + named + `}}`, "[] [] -;; 0  -"},
		{"to a name, with another address", node, `{spec: {` + named + `, clusterIP: 10.96.0.8}}`, "[10.96.0.8] [] -;; 0  -"},
		{"to a name, with a second address", node, `{spec: {` + named + `, clusterIPs: [10.96.0.7, "fd00::7"]}}`, "[10.96.0.7 fd00::7] [] -;; 0  -"},
		{"to a name, without the address in the old field", node, `{spec: {` + named + `, clusterIP: null}}`, "[] [] -;; 0  -"},
		{"to a name, with other families", node, `{spec: {` + named + `, ipFamilies: [IPv6], ipFamilyPolicy: PreferDualStack}}`, "[] [IPv6] PreferDualStack;; 0  -"},
		{"inside the cluster", node, `{spec: {type: ClusterIP}}`, "[10.96.0.7] [IPv4] SingleStack; 0 0; 0  -"},
		{"inside, with a port less", node, `{spec: {type: ClusterIP, ports: [{name: a, port: 80, nodePort: 30080}]}}`, "[10.96.0.7] [IPv4] SingleStack; 0; 0  -"},
		{"inside, with another node port", node, `{spec: {type: ClusterIP, ports: [{name: a, port: 80, nodePort: 30099}]}}`, "[10.96.0.7] [IPv4] SingleStack; 30099; 0  -"},
		{"inside, with another policy", node, `{spec: {type: ClusterIP, externalTrafficPolicy: Local}}`, "[10.96.0.7] [IPv4] SingleStack; 0 0; 0 Local -"},
		{"inside, and reached from outside", node, `{spec: {type: ClusterIP, externalIPs: [192.0.2.1]}}`, "[10.96.0.7] [IPv4] SingleStack; 0 0; 0 Cluster -"},
		{"ports not repeated", node, `{spec: {ports: [{name: b, port: 81}, {name: a, port: 80}]}}`, "[10.96.0.7] [IPv4] SingleStack; 30081 30080; 0 Cluster -"},
		{"a node port that another port has now", node, `{spec: {ports: [{name: a, port: 80}, {name: b, port: 81, nodePort: 30080}]}}`, "[10.96.0.7] [IPv4] SingleStack; 0 30080; 0 Cluster -"},
		{"a port of another name", node, `{spec: {ports: [{name: c, port: 80}]}}`, "[10.96.0.7] [IPv4] SingleStack; 0; 0 Cluster -"},
		{"another node port", node, `{spec: {ports: [{name: a, port: 80, nodePort: 30099}]}}`, "[10.96.0.7] [IPv4] SingleStack; 30099; 0 Cluster -"},
		{"health port not repeated", local, `{spec: {healthCheckNodePort: null}}`, "[10.96.0.7] [] -; 30080; 31000 Local example.com/x"},
		{"another health port", local, `{spec: {healthCheckNodePort: 31001}}`, "[10.96.0.7] [] -; 30080; 31001 Local example.com/x"},
		{"no health port any more", local, `{spec: {externalTrafficPolicy: Cluster}}`, "[10.96.0.7] [] -; 30080; 0 Cluster example.com/x"},
		{"another health port that is none", local, `{spec: {externalTrafficPolicy: Cluster, healthCheckNodePort: 31001}}`, "[10.96.0.7] [] -; 30080; 31001 Cluster example.com/x"},
		{"no balancer any more", local, `{spec: {type: NodePort}}`, "[10.96.0.7] [] -; 30080; 0 Local -"},
		{"no balancer, of another class", local, `{spec: {type: NodePort, loadBalancerClass: example.com/y}}`, "[10.96.0.7] [] -; 30080; 0 Local example.com/y"},
		{"another address in the old field", node, `{spec: {clusterIP: 10.96.0.8}}`, "[10.96.0.8] [IPv4] SingleStack; 30080 30081; 0 Cluster -"},
		{"another address in the old field alone", node, `{spec: {clusterIP: 10.96.0.8, clusterIPs: null}}`, "[10.96.0.8] [IPv4] SingleStack; 30080 30081; 0 Cluster -"},
		{"another address in both fields", node, `{spec: {clusterIP: 10.96.0.8, clusterIPs: [10.96.0.8, "fd00::8"]}}`, "[10.96.0.8 fd00::8] [IPv4] SingleStack; 30080 30081; 0 Cluster -"},
		{"no address", node, `{spec: {clusterIP: "", clusterIPs: null}}`, "[10.96.0.7] [IPv4] SingleStack; 30080 30081; 0 Cluster -"},
	} {
		k := core.Service()
		old := kindtest.Created(t, k, plainService, c.old)
		next, _ := kindtest.Update(t, k, old, c.patch)
		if status := next.(*corev1.Service).Status; len(status.Conditions) != 0 {
			t.Errorf("%s: the status is written too: %v", c.name, status)
		}
		s := next.(*corev1.Service).Spec
		got := fmt.Sprint(s.ClusterIPs, " ", s.IPFamilies, " ", text((*string)(s.IPFamilyPolicy)), ";")
		for _, p := range s.Ports {
			got += fmt.Sprint(" ", p.NodePort)
		}
		got += fmt.Sprintf("; %d %s %s", s.HealthCheckNodePort, s.ExternalTrafficPolicy, text(s.LoadBalancerClass))
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
