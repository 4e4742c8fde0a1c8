//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestKubectlVerbs drives the real kubectl through the verbs that people use all day.
func TestKubectlVerbs(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	m.apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: "one"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
        - {name: first, image: "busybox:e2e", command: [sh, -c, "echo prepared > /work/file"], volumeMounts: [{name: work, mountPath: /work}]}
      containers:
        - name: web
          image: busybox:e2e
          command: [sh, -c, "echo started; exec httpd -f -p 8080 -h /www"]
          env:
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
          resources: {requests: {cpu: 10m, memory: 8Mi}, limits: {memory: 32Mi}}
          volumeMounts:
            - {name: page, mountPath: /www}
            - {name: work, mountPath: /work}
      volumes:
        - {name: page, configMap: {name: page}}
        - {name: work, emptyDir: {}}
`)
	m.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	expect := func(want string, args ...string) {
		t.Helper()
		if out := m.kubectl(args...); !strings.Contains(out, want) {
			t.Errorf("kubectl %s says\n%s\nwant %q in it", strings.Join(args, " "), out, want)
		}
	}
	pod := m.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].metadata.name}")
	expect("2/2", "get", "deployments")
	expect("1/1     Running", "get", "pods")
	expect("control-plane", "get", "nodes", "-o", "wide")
	expect("Successfully assigned default/", "describe", "pod", pod)
	expect("NewReplicaSetAvailable", "describe", "deployment", "web")
	expect("KubeletReady", "describe", "node")
	expect("started", "logs", pod)
	expect("started", "logs", "deployment/web", "--tail=1", "--timestamps")
	expect("prepared", "exec", pod, "--", "cat", "/work/file")
	expect(pod, "exec", pod, "--", "sh", "-c", "echo $POD")
	expect("uid=0", "exec", "deployment/web", "--", "id")
	expect("deployment.apps/web scaled", "scale", "deployment/web", "--replicas=4")
	m.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=4", "deployment/web", "--timeout=60s")
	expect("4", "get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}")
	expect("labeled", "label", "pod", pod, "tier=front")
	expect(pod, "get", "pods", "-l", "tier=front", "-o", "name")
	expect("annotated", "annotate", "deployment", "web", "note=kept")
	expect("patched", "patch", "deployment", "web", "--type=merge", "-p", `{"metadata":{"labels":{"x":"y"}}}`)
	expect("patched", "patch", "deployment", "web", "--type=json", "-p", `[{"op":"remove","path":"/metadata/labels/x"}]`)
	expect("restarted", "rollout", "restart", "deployment/web")
	m.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	expect("REVISION", "rollout", "history", "deployment/web")
	expect("rolled back", "rollout", "undo", "deployment/web")
	m.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	expect("pods ", "api-resources")
	expect("RESTART", "get", "pods")
	expect("FIELDS", "explain", "pod.spec")
	expect("pod-template-hash", "get", "rs", "-o", "wide", "--show-labels")
	expect("local-path (default)", "get", "storageclass")
	expect("deleted", "delete", "deployment", "web", "--timeout=60s")
	m.kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s")
	expect("deleted", "delete", "configmap", "page")

	if out, err := m.try("bin/kubectl", "logs", "no-such-pod"); err == nil || !strings.Contains(out, `pods "no-such-pod" not found`) {
		t.Errorf("logs of a missing pod: %v %s", err, out)
	}
}

// TestConfigMapReachesRunningPods changes a ConfigMap and reads the new value in a pod that mounts it.
func TestConfigMapReachesRunningPods(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	m.kubectl("create", "configmap", "c", "--from-literal=key=one")
	m.apply(`
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: a
      image: busybox:e2e
      # Ready once it has seen the new value: the test waits for the event, not for a time.
      command: [sleep, "100000"]
      readinessProbe: {exec: {command: [grep, -q, two, /c/key]}, periodSeconds: 1}
      volumeMounts: [{name: c, mountPath: /c}]
  volumes: [{name: c, configMap: {name: c}}]
`)
	m.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/reader", "--timeout=60s")
	m.kubectl("patch", "configmap", "c", "--type=merge", "-p", `{"data":{"key":"two"}}`)
	m.kubectl("wait", "--for=condition=Ready", "pod/reader", "--timeout=60s")
}

// TestContainersAreRestartedAsTheirPolicySays watches one that fails and one that is done.
func TestContainersAreRestartedAsTheirPolicySays(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	m.apply(`
apiVersion: v1
kind: Pod
metadata: {name: fails}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: a, image: "busybox:e2e", command: [sh, -c, "echo attempt; exit 3"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: done}
spec:
  restartPolicy: Never
  containers: [{name: a, image: "busybox:e2e", command: [sh, -c, "echo finished"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: glutton}
spec:
  restartPolicy: Never
  containers:
    - name: a
      image: busybox:e2e
      command: [dd, if=/dev/zero, of=/dev/null, bs=256M, count=1]
      resources: {limits: {memory: 16Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: lost}
spec:
  restartPolicy: Never
  containers: [{name: a, image: "busybox:e2e", command: [/no/such/program]}]
`)
	m.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff", "pod/fails", "--timeout=60s")
	if out := m.kubectl("get", "pod", "fails", "-o", "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}"); out != "3" {
		t.Errorf("exit code %s, want 3", out)
	}
	if out := m.kubectl("logs", "fails", "--previous"); !strings.Contains(out, "attempt") {
		t.Errorf("logs of the previous container: %q", out)
	}
	m.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/done", "--timeout=60s")
	if out := m.kubectl("logs", "done"); out != "finished\n" {
		t.Errorf("logs of a finished pod: %q", out)
	}
	m.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].state.terminated.reason}=OOMKilled", "pod/glutton", "--timeout=60s")
	if out := m.kubectl("get", "pod", "lost", "-o", "jsonpath={.status.phase}"); out != "Failed" {
		m.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/lost", "--timeout=60s")
	}
	if out := m.kubectl("describe", "pod", "lost"); !strings.Contains(out, "/no/such/program") {
		t.Errorf("describe does not name the program:\n%s", out)
	}
}
