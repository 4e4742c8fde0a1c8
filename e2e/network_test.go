//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestWaysOfCommunication goes the ways that one node has: inside a pod over localhost, pod to pod, pod to
// Service by name and address, the pod to itself through its Service, and the outside to a Service.
func TestWaysOfCommunication(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	m.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web}
spec:
  serviceName: peers
  podManagementPolicy: Parallel
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: busybox:e2e
          command: [sh, -c, "exec peer serve :8080 $(hostname)"]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
        - name: beside
          image: busybox:e2e
          command: [sleep, "100000"]
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: a, image: "busybox:e2e", command: [sleep, "100000"]}]
`)
	m.kubectl("rollout", "status", "statefulset/web", "--timeout=60s")
	m.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
	m.endpoints("web", "web-0", "web-1", "web-2")
	m.endpoints("peers", "web-0", "web-1", "web-2")
	fetch := func(pod, container, url string) (string, error) {
		out, err := m.try("bin/kubectl", "exec", pod, "-c", container, "--", "peer", "fetch", url)
		return strings.TrimSpace(out), err
	}
	want := func(pod, container, url, body string) {
		t.Helper()
		if out, err := fetch(pod, container, url); err != nil || !strings.Contains(out, body) {
			t.Errorf("from %s to %s: %v, %q, want %q", pod, url, err, out, body)
		}
	}
	ip := m.kubectl("get", "pod", "web-1", "-o", "jsonpath={.status.podIP}")
	serviceIP := m.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")

	want("web-0", "beside", "http://127.0.0.1:8080/", "web-0")
	want("client", "a", "http://"+ip+":8080/", "web-1")
	want("client", "a", "http://web-2.peers:8080/", "web-2")
	want("client", "a", "http://web-0.peers.default.svc.cluster.local:8080/", "web-0")
	want("client", "a", "http://web/", "web-")
	want("client", "a", "http://"+serviceIP+"/", "web-")

	// Exactly in turn: 30 connections from one pod, ten for each. One of the three is the pod itself, so
	// this also shows that a pod reaches itself through its Service.
	served := map[string]int{}
	out := m.kubectl("exec", "web-0", "-c", "beside", "--", "peer", "fetch", "-n", "30", "http://web/")
	for line := range strings.Lines(out) {
		served[strings.TrimSpace(line)]++
	}
	for i := range 3 {
		if n := served[fmt.Sprint("web-", i)]; n < 9 || n > 11 {
			t.Errorf("web-%d served %d of 30 connections: %v", i, n, served)
		}
	}

	client := m.httpClient()
	status, body, err := get(client, shopURL)
	if err != nil || status != http.StatusOK || !strings.HasPrefix(body, "web-") {
		t.Errorf("from outside: %d, %q, %v", status, body, err)
	}

	if out, err := fetch("client", "a", "http://nobody/"); err == nil || !strings.Contains(out, "refused") {
		t.Errorf("a Service without endpoints: %v, %q, want a refused connection at once", err, out)
	}
	if out, err := m.try("bin/kubectl", "exec", "client", "--", "peer", "lookup", "kubernetes.default.svc.cluster.local"); err != nil || strings.TrimSpace(out) != "10.96.0.1" {
		t.Errorf("the API's name: %v\n%s", err, out)
	}
	if out, err := m.try("bin/kubectl", "exec", "client", "--", "peer", "lookup", "no-such-service.default.svc.cluster.local"); err == nil {
		t.Errorf("a name that does not exist resolves:\n%s", out)
	}

	// An endpoint that goes leaves the Service.
	m.kubectl("scale", "statefulset/web", "--replicas=1")
	m.kubectl("wait", "--for=delete", "pod/web-1", "pod/web-2", "--timeout=60s")
	m.endpoints("web", "web-0")
	for range 6 {
		want("client", "a", "http://web/", "web-0")
	}
}
