//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestInstancesLiveSideBySide runs two clusters on one machine; what one does and ends does not touch the other.
func TestInstancesLiveSideBySide(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	other := *m
	other.dataDir = filepath.Join(t.TempDir(), "other")
	flags := []string{"--listen", "127.0.0.1:7443", "--pod-cidr", "10.245.0.0/24", "--service-cidr", "10.97.0.0/16"}
	down := func() { other.must("bin/sampan", append([]string{"down", "--purge", "--grace", "1s"}, flags...)...) }
	t.Cleanup(down) // also when the test ends early
	other.must("bin/sampan", append([]string{"up"}, flags...)...)
	other.importBusybox()
	const manifest = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: a
      image: busybox:e2e
      command: [sh, -c, 'exec peer serve :80 "NAME of $(hostname)"']
      readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
`
	for _, c := range []struct {
		m    *machine
		name string
	}{{m, "one"}, {&other, "other"}} {
		c.m.apply(strings.ReplaceAll(manifest, "NAME", c.name))
		c.m.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
		c.m.endpoints("web", "web")
	}
	answers := func(m *machine, name string) {
		t.Helper()
		if out := m.kubectl("exec", "web", "--", "peer", "fetch", "http://web.default.svc.cluster.local/"); out != name+" of web\n" {
			t.Errorf("the Service of %s answers %q", name, out)
		}
	}
	answers(m, "one")
	answers(&other, "other")
	down()
	answers(m, "one")
	if out := m.kubectl("get", "pods"); !strings.Contains(out, "1/1     Running   0") {
		t.Errorf("the first cluster after the other one ended:\n%s", out)
	}
}
