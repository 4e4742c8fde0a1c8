//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPodsReachTheAPIAsTheirAccount runs a program with client-go's in-cluster configuration in a pod.
func TestPodsReachTheAPIAsTheirAccount(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	m.kubectl("create", "serviceaccount", "reader")
	m.kubectl("create", "role", "pods", "--verb=get,list", "--resource=pods")
	m.kubectl("create", "rolebinding", "reader", "--role=pods", "--serviceaccount=default:reader")
	job := `
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  serviceAccountName: %s
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: %d}
  containers: [{name: c, image: "busybox:e2e", command: [sh, -c, "ls -l /var/run/secrets/kubernetes.io/serviceaccount/..data/ && peer incluster"]}]
`
	for _, c := range []struct {
		name, account, phase, want string
		user                       int
	}{
		{"allowed", "reader", "Succeeded", "default/allowed", 0},
		{"other-user", "reader", "Succeeded", "default/other-user", 1234},
		{"refused", "default", "Failed", `pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" in API group "" in the namespace "default"`, 0},
	} {
		m.apply(fmt.Sprintf(job, c.name, c.account, c.user))
		m.kubectl("wait", "--for=jsonpath={.status.phase}="+c.phase, "pod/"+c.name, "--timeout=60s")
		if out := m.kubectl("logs", c.name); !strings.Contains(out, c.want) {
			t.Errorf("%s says\n%s\nwant %s", c.name, out, c.want)
		}
	}
	if out := m.kubectl("get", "pod", "allowed", "-o", "jsonpath={.spec.volumes[*].projected.sources[*].serviceAccountToken.expirationSeconds}"); out != "3607" {
		t.Errorf("the token is to hold %q seconds", out)
	}
}

// TestKubectlQuotasAndBudgets drives quotas, limit ranges, Pod Security and disruption budgets with the real kubectl.
func TestKubectlQuotasAndBudgets(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	expect := m.until // what a controller writes takes a moment
	pod := func(ns, name, more string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {namespace: %s, name: %s, labels: {app: alone}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: "busybox:e2e", command: [sleep, "1000"]%s}]
`, ns, name, more)
	}
	refused := func(want, manifest string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "manifest.yaml")
		if err := os.WriteFile(file, []byte(manifest), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := m.try("bin/kubectl", "create", "-f", file)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("the answer is %v\n%s\nwant %q", err, out, want)
		}
	}

	for _, namespace := range []string{"small", "strict"} {
		m.kubectl("create", "namespace", namespace)
		m.kubectl("wait", "--for=create", "serviceaccount/default", "-n", namespace, "--timeout=60s")
	}
	expect("created", "create", "quota", "q", "-n", "small", "--hard=pods=1,requests.cpu=500m,count/deployments.apps=1,configmaps=5")
	expect("requests.cpu            0     500m", "describe", "quota", "q", "-n", "small")
	refused(`pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c`, pod("small", "a", ""))
	m.apply(`
apiVersion: v1
kind: LimitRange
metadata: {namespace: small, name: l}
spec:
  limits:
    - type: Container
      defaultRequest: {cpu: 100m}
      max: {memory: 64Mi}
      default: {memory: 32Mi, cpu: 200m}
`)
	expect("Container", "describe", "limits", "l", "-n", "small")
	refused("maximum memory usage per Container is 64Mi, but limit is 1Gi", pod("small", "a", `, resources: {limits: {memory: 1Gi}}`))
	refused("exceeded quota: q, requested: requests.cpu=2, used: requests.cpu=0, limited: requests.cpu=500m", pod("small", "a", `, resources: {requests: {cpu: 2}, limits: {cpu: 2}}`))
	m.apply(pod("small", "a", ""))
	expect("LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c", "get", "pod", "a", "-n", "small", "-o", `jsonpath={.metadata.annotations.kubernetes\.io/limit-ranger}`)
	expect("pods                    1     1", "describe", "quota", "q", "-n", "small")
	refused(`pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1`, pod("small", "b", ""))
	m.kubectl("delete", "pod", "a", "-n", "small")
	expect("pods                    0     1", "describe", "quota", "q", "-n", "small")
	m.apply(pod("small", "b", ""))

	m.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=baseline", "pod-security.kubernetes.io/warn=restricted")
	refused(`pods "a" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`,
		pod("strict", "a", `, securityContext: {privileged: true}`))
	expect(`Warning: would violate PodSecurity "restricted:latest"`, "run", "-n", "strict", "b", "--image=busybox:e2e", "--dry-run=server")

	m.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "busybox:e2e", command: [sleep, "1000"]}]
`)
	m.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	expect("created", "create", "pdb", "web", "--selector=app=web", "--min-available=2")
	expect("Allowed disruptions:  0", "describe", "pdb", "web")
	m.kubectl("cordon", "--selector=kubernetes.io/os=linux")
	k := &tool{T: t, m: m, path: filepath.Join(root, "bin/kubectl"), namespace: "default", dir: t.TempDir()}
	const refusal = "Cannot evict pod as it would violate the pod's disruption budget."
	drain := []string{"drain", "--selector=kubernetes.io/os=linux", "--ignore-daemonsets", "--pod-selector=app=web"}
	lines, end := k.background(drain...)
	if out := k.reads(lines, refusal) + k.reads(lines, refusal); strings.Contains(out, " evicted") {
		t.Errorf("the budget allows no eviction:\n%s", out)
	}
	end()
	m.kubectl("patch", "pdb", "web", "-p", `{"spec":{"minAvailable":"50%"}}`)
	expect("Allowed disruptions:  1", "describe", "pdb", "web")
	lines, end = k.background(drain...)
	if out := k.reads(lines, " evicted", refusal); strings.Count(out, " evicted") != 1 { // the new pod finds no node, so the second one stays
		t.Errorf("want one pod evicted:\n%s", out)
	}
	end()
	expect("created", "create", "priorityclass", "high", "--value=1000", "--global-default")
	m.apply(pod("default", "important", ""))
	expect("1000 high", "get", "pod", "important", "-o", "jsonpath={.spec.priority} {.spec.priorityClassName}")
}
