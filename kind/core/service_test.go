package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/kind/core"
	"sampan/kind/kindtest"
)

const plainService = `{spec: {ports: [{port: 80}], selector: {app: a}}}`

func TestServiceDefaults(t *testing.T) {
	for _, c := range []struct{ name, patch, want string }{
		{"cluster", `{}`, `spec:
  internalTrafficPolicy: Cluster
  ports:
  - port: 80
    protocol: TCP
    targetPort: 80
  selector:
    app: a
  sessionAffinity: None
  type: ClusterIP
`},
		{"balanced with affinity", `{spec: {type: LoadBalancer, sessionAffinity: ClientIP, clusterIP: 10.96.0.9}}`, `spec:
  allocateLoadBalancerNodePorts: true
  clusterIP: 10.96.0.9
  clusterIPs:
  - 10.96.0.9
  externalTrafficPolicy: Cluster
  internalTrafficPolicy: Cluster
  ports:
  - port: 80
    protocol: TCP
    targetPort: 80
  selector:
    app: a
  sessionAffinity: ClientIP
  sessionAffinityConfig:
    clientIP:
      timeoutSeconds: 10800
  type: LoadBalancer
`},
		{"external name", `{spec: {type: ExternalName, externalName: example.com, ports: null, selector: null}}`, `spec:
  externalName: example.com
  sessionAffinity: None
  type: ExternalName
`},
	} {
		const head, tail = "metadata:\n  name: a\n  namespace: ns\n", "status:\n  loadBalancer: {}\n"
		if d := cmp.Diff(head+c.want+tail, kindtest.YAML(t, kindtest.Created(t, core.Service(), plainService, c.patch))); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestServiceKeepsItsAddressAndPorts(t *testing.T) {
	k := core.Service()
	old := kindtest.Created(t, k, plainService, `{spec: {type: NodePort, clusterIP: 10.96.0.7, ports: [{port: 80, nodePort: 30080}]}}`)

	applied, errs := kindtest.Update(t, k, old, `{spec: {clusterIP: null, clusterIPs: null, ports: [{port: 80, targetPort: 8080}]}}`)
	kindtest.Check(t, errs)
	if s := applied.(*corev1.Service).Spec; s.ClusterIP != "10.96.0.7" || len(s.ClusterIPs) != 1 || s.Ports[0].NodePort != 30080 || s.Ports[0].TargetPort.IntVal != 8080 {
		t.Errorf("applied again: %+v", s)
	}

	inside, errs := kindtest.Update(t, k, old, `{spec: {type: ClusterIP}}`)
	kindtest.Check(t, errs)
	if s := inside.(*corev1.Service).Spec; s.Ports[0].NodePort != 0 || s.ExternalTrafficPolicy != "" || s.ClusterIP != "10.96.0.7" {
		t.Errorf("changed to ClusterIP: %+v", s)
	}

	named, errs := kindtest.Update(t, k, old, `{spec: {type: ExternalName, externalName: example.com}}`)
	kindtest.Check(t, errs)
	if s := named.(*corev1.Service).Spec; s.ClusterIP != "" || s.ClusterIPs != nil || s.IPFamilies != nil {
		t.Errorf("changed to ExternalName: %+v", s)
	}

	renumbered, errs := kindtest.Update(t, k, old, `{spec: {ports: [{port: 81}]}}`)
	kindtest.Check(t, errs)
	if p := renumbered.(*corev1.Service).Spec.Ports[0]; p.NodePort != 30080 {
		t.Errorf("the port of the same name has node port %d", p.NodePort)
	}

	balanced, errs := kindtest.Update(t, k, old, `{spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false}}`)
	kindtest.Check(t, errs)
	if p := balanced.(*corev1.Service).Spec.Ports[0]; p.NodePort != 30080 {
		t.Errorf("a balanced service keeps the node ports that it has until they are taken away: %d", p.NodePort)
	}
	without, errs := kindtest.Update(t, k, balanced, `{spec: {ports: [{port: 80}]}}`)
	kindtest.Check(t, errs)
	if p := without.(*corev1.Service).Spec.Ports[0]; p.NodePort != 0 {
		t.Errorf("taken away, it came back: %d", p.NodePort)
	}
}

func TestServiceTable(t *testing.T) {
	var list []kind.Object
	for _, patch := range []string{
		`{metadata: {name: plain}, spec: {clusterIP: 10.96.0.7}}`,
		`{metadata: {name: headless}, spec: {clusterIP: None, selector: null}}`,
		`{metadata: {name: node}, spec: {type: NodePort, clusterIP: 10.96.0.8, ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 53, protocol: UDP, nodePort: 30053}]}}`,
		`{metadata: {name: balanced}, spec: {type: LoadBalancer, clusterIP: 10.96.0.9}}`,
		`{metadata: {name: named}, spec: {type: ExternalName, externalName: example.com, ports: null}}`,
		`{metadata: {name: given}, spec: {clusterIP: 10.96.0.10, externalIPs: [192.0.2.7, 192.0.2.5]}}`,
		`{metadata: {name: both}, spec: {type: LoadBalancer, clusterIP: 10.96.0.11, externalIPs: [192.0.2.5]}}`,
	} {
		list = append(list, kindtest.Created(t, core.Service(), plainService, patch))
	}
	list[3].(*corev1.Service).Spec.Ports[0].NodePort = 31000
	list[6].(*corev1.Service).Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{Hostname: "lb.example.com"}, {IP: "192.0.2.9"}, {IP: "192.0.2.9"}}
	const want = `NAME       TYPE           CLUSTER-IP   EXTERNAL-IP                          PORT(S)                     AGE   [SELECTOR]
plain      ClusterIP      10.96.0.7    <none>                               80/TCP                      5m    app=a
headless   ClusterIP      None         <none>                               80/TCP                      5m    <none>
node       NodePort       10.96.0.8    <none>                               80:30080/TCP,53:30053/UDP   5m    app=a
balanced   LoadBalancer   10.96.0.9    <pending>                            80:31000/TCP                5m    app=a
named      ExternalName   <none>       example.com                          <none>                      5m    app=a
given      ClusterIP      10.96.0.10   192.0.2.7,192.0.2.5                  80/TCP                      5m    app=a
both       LoadBalancer   10.96.0.11   192.0.2.9,lb.example.com,192.0.2.5   80/TCP                      5m    app=a
`
	if d := cmp.Diff(want, kindtest.Table(t, core.Service(), list...)); d != "" {
		t.Error(d)
	}
}

func TestServiceLosesItsBalancer(t *testing.T) {
	k := core.Service()
	old := kindtest.Created(t, k, plainService, `{spec: {type: LoadBalancer, clusterIP: 10.96.0.7, loadBalancerClass: example.com/x}}`).(*corev1.Service)
	old.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1", IPMode: new(corev1.LoadBalancerIPModeVIP)}}
	kindtest.Check(t, k.Status.Validate(old, old))
	next, errs := kindtest.Update(t, k, old, `{spec: {type: ClusterIP}}`)
	kindtest.Check(t, errs)
	if s := next.(*corev1.Service); s.Spec.LoadBalancerClass != nil || s.Spec.AllocateLoadBalancerNodePorts != nil || s.Status.LoadBalancer.Ingress != nil {
		t.Errorf("left over: %+v", s)
	}
	kindtest.Check(t, k.Status.Validate(&corev1.Service{Spec: next.(*corev1.Service).Spec, Status: old.Status}, old),
		"status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'")
}
