//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan/cluster"
)

// beside is a second server on the same machine: a data directory of its own.
func (m *machine) beside(name string) *machine {
	m.t.Helper()
	other := &machine{t: m.t, node: m.node, outside: m.outside, dataDir: filepath.Join(filepath.Dir(m.dataDir), name)}
	m.t.Cleanup(func() {
		if out, err := other.try("bin/sampan", "down", "--purge", "--grace", "1s"); err != nil {
			m.t.Errorf("down: %v\n%s", err, out)
		}
	})
	return other
}

// leader returns which of the servers holds a lease, waiting until one of them does.
func leader(t *testing.T, through *machine, lease string, among ...*machine) *machine {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		holder, err := through.try("bin/kubectl", "get", "lease", lease, "-n", "kube-system", "-o", "jsonpath={.spec.holderIdentity}")
		if err != nil {
			continue
		}
		for _, m := range among {
			if strings.Contains(holder, "_"+cluster.InstanceOf(m.dataDir)+"-") {
				return m
			}
		}
	}
	t.Fatalf("nobody leads as %s", lease)
	return nil
}

// TestTwoServersOnOneEtcdAreOneCluster drives kubectl through two servers that share an etcd: what one has
// acknowledged the other shows, controllers and scheduler do everything once, and when the server whose they are is
// killed, those of the other take over.
func TestTwoServersOnOneEtcdAreOneCluster(t *testing.T) {
	a := newMachine(t)
	a.etcd()
	b := a.beside("data2")
	up := map[*machine][]string{
		a: {"up", "--node=false", "--store", etcdStore},
		b: {"up", "--node=false", "--store", etcdStore, "--listen", "127.0.0.1:6444"},
	}
	a.started = true
	a.must("bin/sampan", up[a]...)
	// The first one leads as both before the second one may ask: the kill below is to take both from one server.
	leader(t, a, "kube-controller-manager", a)
	leader(t, a, "kube-scheduler", a)
	b.must("bin/sampan", up[b]...)

	for i := range 10 {
		name := fmt.Sprintf("cm-%d", i)
		a.kubectl("create", "configmap", name)
		b.kubectl("get", "configmap", name)
		b.kubectl("delete", "configmap", name)
		if out, err := a.try("bin/kubectl", "get", "configmap", name); err == nil || !strings.Contains(out, "not found") {
			t.Errorf("what one has deleted is there at the other: %v, %s", err, out)
		}
	}

	// A node that nobody runs: pods are made and placed, and stay Pending.
	a.apply(`
apiVersion: v1
kind: Node
metadata: {name: paper}
`)
	exactly := func(through *machine, pods int) {
		t.Helper()
		through.kubectl("patch", "node", "paper", "--subresource=status", "-p", fmt.Sprintf(
			`{"status":{"allocatable":{"cpu":"8","memory":"8Gi","pods":"110"},"conditions":[{"type":"Ready","status":"True","reason":"Test","lastHeartbeatTime":%q}]}}`,
			time.Now().UTC().Format(time.RFC3339)))
		through.kubectl("wait", "deployment/web", "--for=jsonpath={.status.replicas}="+fmt.Sprint(pods), "--timeout=90s")
		through.kubectl("wait", "pod", "-l", "app=web", "--for=condition=PodScheduled", "--timeout=90s")
		if got := strings.Fields(through.kubectl("get", "replicasets,pods", "-l", "app=web", "-o", "name")); len(got) != pods+1 {
			t.Errorf("for %d replicas there are %v", pods, got)
		}
	}
	a.kubectl("create", "deployment", "web", "--image=nothing", "--replicas=5")
	exactly(b, 5)
	b.kubectl("scale", "deployment", "web", "--replicas=12")
	exactly(a, 12)

	for round := range 2 {
		first := leader(t, a, "kube-controller-manager", a, b)
		second := a
		if first == a {
			second = b
		}
		if placer := leader(t, a, "kube-scheduler", a, b); placer != first {
			t.Errorf("round %d: controllers and scheduler are apart", round)
		}
		first.kill()
		second.kubectl("scale", "deployment", "web", "--replicas="+fmt.Sprint(15+5*round))
		exactly(second, 15+5*round)
		if got := leader(t, second, "kube-controller-manager", second); got != second {
			t.Error("the one that is left does not lead")
		}
		leader(t, second, "kube-scheduler", second)
		first.must("bin/sampan", up[first]...)
		if got := leader(t, first, "kube-controller-manager", a, b); got != second {
			t.Error("the one that came back does not stand by")
		}
	}

	// One that is killed and started again is followed by itself, without waiting for the lease to expire.
	last := leader(t, a, "kube-controller-manager", a, b)
	transitions := func() string {
		return a.kubectl("get", "lease", "kube-controller-manager", "-n", "kube-system", "-o", "jsonpath={.spec.leaseTransitions}")
	}
	before := transitions()
	last.kill()
	last.must("bin/sampan", up[last]...)
	last.kubectl("scale", "deployment", "web", "--replicas=21")
	exactly(last, 21)
	if after := transitions(); after != before {
		t.Errorf("the lease changed hands: %s times, then %s", before, after)
	}

	// One that ends in order hands over at once.
	other := a
	if last == a {
		other = b
	}
	last.stopServer()
	other.kubectl("scale", "deployment", "web", "--replicas=22")
	exactly(other, 22)
}
