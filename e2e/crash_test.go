//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan/cluster"
)

// foreground is a server that the test started itself, so that it can be killed at any moment of its start.
type foreground struct {
	cmd     *exec.Cmd
	reports chan cluster.Report
	log     *bytes.Buffer
}

func (m *machine) foreground() *foreground {
	m.t.Helper()
	m.started = true
	readable, writable, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	f := &foreground{cmd: m.command(context.Background(), "bin/sampan", "server", "--ready-fd", "3"), reports: make(chan cluster.Report, 8), log: new(bytes.Buffer)}
	f.cmd.ExtraFiles = []*os.File{writable}
	f.cmd.Stderr = f.log
	// Pause processes may keep an inherited end of the log's pipe: the test does not wait for it.
	f.cmd.WaitDelay = time.Second
	if err := m.start(f.cmd); err != nil {
		m.t.Fatal(err)
	}
	writable.Close()
	go func() {
		defer readable.Close()
		defer close(f.reports)
		lines := bufio.NewScanner(readable)
		for lines.Scan() {
			var r cluster.Report
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				f.reports <- r
			}
		}
	}()
	return f
}

// ready waits for a part.
func (f *foreground) ready(t *testing.T, part string) {
	t.Helper()
	for r := range f.reports {
		if r.Part == part {
			return
		}
	}
	t.Fatalf("the server ended before %s was ready:\n%s", part, f.log)
}

func (f *foreground) kill(t *testing.T) {
	t.Helper()
	if err := f.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = f.cmd.Wait()
}

// TestServerKilledTwentyTimesLosesNothing kills the server at random moments, of its start too, while objects
// are written and pods come and go. Every acknowledged write must be there afterwards, pods that ran run on in the same container,
// and in the end nothing is left (see newMachine).
func TestServerKilledTwentyTimesLosesNothing(t *testing.T) {
	m := newMachine(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	f := m.foreground()
	f.ready(t, cluster.PartNode)
	m.importBusybox()
	m.apply(`
apiVersion: v1
kind: Pod
metadata: {name: witness}
spec:
  containers:
    - {name: a, image: "busybox:e2e", command: [sleep, "100000"]}
---
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
      containers:
        - {name: a, image: "busybox:e2e", command: [sh, -c, "echo $(hostname); exec sleep 100000"]}
`)
	m.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	m.kubectl("wait", "--for=condition=Ready", "pod/witness", "--timeout=60s")
	container := m.kubectl("get", "pod", "witness", "-o", "jsonpath={.status.containerStatuses[0].containerID}")

	acknowledged := map[string]string{}
	for round := range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		written := make(chan map[string]string)
		go func() {
			kept := map[string]string{}
			for i := 0; ctx.Err() == nil; i++ {
				name, value := fmt.Sprintf("kept-%d-%d", round, i), fmt.Sprint(round*1000+i)
				cmd := m.command(context.Background(), "bin/kubectl", "create", "configmap", name, "--from-literal=value="+value, "--request-timeout=5s")
				if m.start(cmd) == nil && cmd.Wait() == nil {
					kept[name] = value
				}
			}
			written <- kept
		}()
		// Something that is being started and stopped when the kill comes.
		scale := m.command(context.Background(), "bin/kubectl", "scale", "deployment/web", fmt.Sprint("--replicas=", 1+random.IntN(4)), "--request-timeout=5s")
		if m.start(scale) == nil {
			_ = scale.Wait()
		}
		moment := time.NewTimer(time.Duration(random.IntN(900)) * time.Millisecond)
		<-moment.C
		f.kill(t)
		cancel()
		for name, value := range <-written {
			acknowledged[name] = value
		}
		f = m.foreground()
		if random.IntN(3) == 0 { // killed while it starts, now and then
			early := time.NewTimer(time.Duration(random.IntN(150)) * time.Millisecond)
			<-early.C
			f.kill(t)
			f = m.foreground()
		}
		f.ready(t, cluster.PartNode)
	}

	found := map[string]string{}
	for line := range strings.Lines(m.kubectl("get", "configmaps", "-o", `jsonpath={range .items[*]}{.metadata.name} {.data.value}{"\n"}{end}`)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			found[name] = value
		}
	}
	for name, value := range acknowledged {
		if found[name] != value {
			t.Errorf("%s was acknowledged with %s, found %q", name, value, found[name])
		}
	}
	t.Logf("%d acknowledged writes", len(acknowledged))
	if len(acknowledged) < 20 {
		t.Errorf("only %d writes were acknowledged in 20 rounds", len(acknowledged))
	}
	m.kubectl("scale", "deployment/web", "--replicas=3")
	m.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	if again := m.kubectl("get", "pod", "witness", "-o", "jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}"); again != container+" 0" {
		t.Errorf("the witness ran in %s with no restart, now %s", container, again)
	}
	// No pod of the deployment is left over: three containers, three pause processes, and the witness.
	m.kubectl("wait", "--for=jsonpath={.status.replicas}=3", "deployment/web", "--timeout=60s")
	for line := range strings.Lines(m.kubectl("get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.name} {.metadata.deletionTimestamp}{"\n"}{end}`)) {
		if f := strings.Fields(line); len(f) == 2 {
			m.kubectl("wait", "--for=delete", "pod/"+f[0], "--timeout=60s")
		}
	}
	if found := sleepers(m); len(found) != 4 {
		t.Errorf("%d containers run, want 4:\n%s\nof the pods\n%s", len(found), strings.Join(found, "\n"),
			m.kubectl("get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.metadata.name} {.status.phase} {.metadata.deletionTimestamp}{"\n"}{end}`))
	}
	f.kill(t)
}

// sleepers returns the containers' processes that run sleep, with the cgroup that names their pod.
func sleepers(m *machine) (found []string) {
	for _, p := range processes(m.dataDir, cluster.InstanceOf(m.dataDir)) {
		if pid, command, _ := strings.Cut(p, ": "); strings.TrimSpace(command) == "sleep 100000" {
			cgroup, _ := os.ReadFile(filepath.Join("/proc", pid, "cgroup"))
			first, _, _ := strings.Cut(string(cgroup), "\n")
			found = append(found, pid+" "+first)
		}
	}
	return found
}

func TestRebootBringsEverythingBack(t *testing.T) {
	m := newMachine(t)
	m.up()
	m.importBusybox()
	m.apply(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: a
          image: "busybox:e2e"
          command: [sh, -c, "echo started >> /data/log; touch /tmp/started; exec sleep 100000"]
          readinessProbe: {exec: {command: [test, -e, /tmp/started]}, periodSeconds: 1}
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
`)
	m.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
	// down takes from the kernel what a reboot takes, and keeps the data.
	m.must("bin/sampan", "down", "--grace", "1s")
	if _, err := os.Stat(filepath.Join(m.dataDir, "store.db")); err != nil {
		t.Errorf("down without --purge removed the data: %v", err)
	}
	m.up()
	// Until the agent has looked at it, the pod says what it said before the reboot.
	m.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/db-0", "--timeout=60s")
	m.kubectl("wait", "--for=condition=Ready", "pod/db-0", "--timeout=60s")
	m.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
	if out := m.kubectl("exec", "db-0", "--", "cat", "/data/log"); out != "started\nstarted\n" {
		t.Errorf("the volume holds %q, want two starts", out)
	}
}
