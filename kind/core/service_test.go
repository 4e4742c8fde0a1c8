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
  ipFamilies:
  - IPv4
  ipFamilyPolicy: SingleStack
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
  ipFamilies:
  - IPv4
  ipFamilyPolicy: SingleStack
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

func TestServiceValidation(t *testing.T) {
	for _, c := range []struct {
		name, patch string
		want        []string
	}{
		{"plain", `{}`, nil},
		{"with an address", `{spec: {clusterIP: 10.96.0.7}}`, nil},
		{"node port", `{spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}]}}`, nil},
		{"headless without ports", `{spec: {clusterIP: None, ports: null}}`, nil},
		{"no ports", `{spec: {ports: null}}`, []string{`spec.ports: Required value`}},
		{"name that begins with a digit", `{metadata: {name: 1a}}`, nil},
		{"name with a dot", `{metadata: {name: a.b}}`, []string{`metadata.name: Invalid value: "a.b": must not contain dots`}},
		{"port range", `{spec: {ports: [{port: 0, targetPort: 1}]}}`, []string{`spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive`}},
		{"two ports without names", `{spec: {ports: [{port: 80}, {port: 81}]}}`, []string{`spec.ports[0].name: Required value`, `spec.ports[1].name: Required value`}},
		{"port name twice", `{spec: {ports: [{port: 80, name: a}, {port: 81, name: a}]}}`, []string{`spec.ports[1].name: Duplicate value: "a"`}},
		{"port twice", `{spec: {ports: [{port: 80, name: a}, {port: 80, name: b}]}}`, []string{`spec.ports[1]: Duplicate value: {`}},
		{"node port of a cluster service", `{spec: {ports: [{port: 80, nodePort: 30000}]}}`, []string{"spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"}},
		{"type", `{spec: {type: Magic}}`, []string{`spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`}},
		{"headless node port", `{spec: {type: NodePort, clusterIP: None}}`, []string{`spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`}},
		{"bad address", `{spec: {clusterIP: 10.96.0.700}}`, []string{`spec.clusterIPs[0]: Invalid value: "10.96.0.700": must be a valid IP address`}},
		{"external name missing", `{spec: {type: ExternalName, ports: null}}`, []string{`spec.externalName: Required value`}},
		{"external name with an address", `{spec: {type: ExternalName, externalName: example.com., ports: null, clusterIP: 10.96.0.7}}`, []string{`spec.clusterIPs: Forbidden: may not be set for ExternalName services`}},
		{"affinity for two days", `{spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 172800}}}}`,
			[]string{`spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 172800: must be greater than 0 and less than or equal to 86400`}},
		{"class of a cluster service", `{spec: {loadBalancerClass: example.com/x}}`, []string{"spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"}},
		{"affinity", `{spec: {sessionAffinity: Sometimes}}`, []string{`spec.sessionAffinity: Unsupported value: "Sometimes": supported values: "ClientIP", "None"`}},
		{"selector", `{spec: {selector: {"a b": c}}}`, []string{`spec.selector: Invalid value: "a b": name part must consist of`}},
		{"traffic policy inside", `{spec: {externalTrafficPolicy: Local}}`, []string{`spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kindtest.Check(t, kindtest.Create(t, core.Service(), plainService, c.patch), c.want...)
		})
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

	_, errs = kindtest.Update(t, k, old, `{spec: {clusterIP: 10.96.0.8}}`)
	kindtest.Check(t, errs, `spec.clusterIPs[0]: Invalid value: "10.96.0.8": field is immutable`)
}

func TestServiceTable(t *testing.T) {
	var list []kind.Object
	for _, patch := range []string{
		`{metadata: {name: plain}, spec: {clusterIP: 10.96.0.7}}`,
		`{metadata: {name: headless}, spec: {clusterIP: None, selector: null}}`,
		`{metadata: {name: node}, spec: {type: NodePort, clusterIP: 10.96.0.8, ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 53, protocol: UDP, nodePort: 30053}]}}`,
		`{metadata: {name: balanced}, spec: {type: LoadBalancer, clusterIP: 10.96.0.9}}`,
		`{metadata: {name: named}, spec: {type: ExternalName, externalName: example.com, ports: null}}`,
	} {
		list = append(list, kindtest.Created(t, core.Service(), plainService, patch))
	}
	list[3].(*corev1.Service).Spec.Ports[0].NodePort = 31000
	const want = `NAME       TYPE           CLUSTER-IP   EXTERNAL-IP   PORT(S)                     AGE   [SELECTOR]
plain      ClusterIP      10.96.0.7    <none>        80/TCP                      5m    app=a
headless   ClusterIP      None         <none>        80/TCP                      5m    <none>
node       NodePort       10.96.0.8    <none>        80:30080/TCP,53:30053/UDP   5m    app=a
balanced   LoadBalancer   10.96.0.9    <pending>     80:31000/TCP                5m    app=a
named      ExternalName   <none>       example.com   <none>                      5m    app=a
`
	if d := cmp.Diff(want, kindtest.Table(t, core.Service(), list...)); d != "" {
		t.Error(d)
	}
}

func TestServiceLosesItsBalancer(t *testing.T) {
	k := core.Service()
	old := kindtest.Created(t, k, plainService, `{spec: {type: LoadBalancer, clusterIP: 10.96.0.7, loadBalancerClass: example.com/x}}`).(*corev1.Service)
	old.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
	kindtest.Check(t, k.Status.Validate(old, old))
	next, errs := kindtest.Update(t, k, old, `{spec: {type: ClusterIP}}`)
	kindtest.Check(t, errs)
	if s := next.(*corev1.Service); s.Spec.LoadBalancerClass != nil || s.Spec.AllocateLoadBalancerNodePorts != nil || s.Status.LoadBalancer.Ingress != nil {
		t.Errorf("left over: %+v", s)
	}
	kindtest.Check(t, k.Status.Validate(&corev1.Service{Spec: next.(*corev1.Service).Spec, Status: old.Status}, old),
		`status.loadBalancer.ingress: Forbidden: may only be used when `)
}
