//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const shopURL = "http://" + nodeAddress + ":30080/"

func get(client *http.Client, url string) (int, string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// page is what the shop's page says with ?format=json.
type page struct {
	Pod     string `json:"pod"`
	Version string `json:"version"`
	Count   int    `json:"count"`
	Rows    []struct {
		Note string `json:"note"`
		Pod  string `json:"pod"`
	} `json:"rows"`
}

func readPage(t *testing.T, client *http.Client) page {
	t.Helper()
	status, body, err := get(client, shopURL+"?format=json")
	if err != nil || status != http.StatusOK {
		t.Fatalf("the shop's page: status %d, error %v, body %.500s", status, err, body)
	}
	var p page
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("the shop's page %.500s: %v", body, err)
	}
	return p
}

// TestShop is the main job: Squid → PHP → MySQL, from outside, through everything that happens to a site.
func TestShop(t *testing.T) {
	m := newMachine(t)
	t.Log(m.up())
	client := m.httpClient()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	build := m.command(ctx, "examples/shop/images/build", "--sampan", "bin/sampan", "--data-dir", m.dataDir)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		t.Fatalf("build the images: %v", err)
	}

	step := func(name string, f func(t *testing.T)) {
		t.Helper()
		if !t.Run(name, func(t *testing.T) { m.t = t; f(t) }) {
			m.t = t
			t.FailNow()
		}
		m.t = t
	}

	step("is applied and becomes ready", func(t *testing.T) {
		began := time.Now()
		m.kubectl("apply", "-k", "examples/shop")
		for _, workload := range []string{"statefulset/mysql", "deployment/php", "deployment/squid"} {
			m.kubectl("rollout", "status", "-n", "shop", workload, "--timeout=3m")
		}
		t.Logf("from apply to all ready: %s", time.Since(began).Round(10*time.Millisecond))
		t.Log(m.kubectl("get", "all,pvc,endpointslices", "-n", "shop", "-o", "wide"))
	})

	step("keeps rows and gives them back", func(t *testing.T) {
		for i := range 5 {
			resp, err := client.PostForm(shopURL, url.Values{"note": {fmt.Sprint("note ", i)}})
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusCreated {
				t.Fatalf("keep note %d: %s %v\n%s", i, resp.Status, resp.Header, body)
			}
		}
		p := readPage(t, client)
		if p.Count != 5 || len(p.Rows) != 5 || p.Rows[0].Note != "note 4" || p.Version != "v1" {
			t.Errorf("the page says %+v", p)
		}
	})

	step("is read through the API server too", func(t *testing.T) {
		pod := m.phpPods()[0]
		for _, path := range []string{"services/squid:80", "services/http:php:http", strings.Replace(pod, "pod/", "pods/", 1)} {
			var p page
			if err := json.Unmarshal([]byte(m.kubectl("get", "--raw", "/api/v1/namespaces/shop/"+path+"/proxy/?format=json")), &p); err != nil || p.Count != 5 {
				t.Errorf("%s: %+v, %v", path, p, err)
			}
		}
		node := m.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
		if got := m.kubectl("get", "--raw", "/api/v1/nodes/"+node+"/proxy/healthz"); got != "ok" {
			t.Errorf("the node's agent says %q", got)
		}
	})

	step("is answered by the three web servers in turn", func(t *testing.T) {
		var served []string
		began := time.Now()
		for range 60 {
			served = append(served, readPage(t, client).Pod)
		}
		// The readiness probes of the three Squids go through the same Service, one in a second each.
		probes := 3 * (int(time.Since(began)/time.Second) + 2)
		if n, pods := missedTurns(served); pods != 3 || n > probes {
			t.Errorf("%d pods have served, and %d turns were not ours, want 3 pods and at most %d turns: %v", pods, n, probes, served)
		}
	})

	step("is rolled to v2 under load without a failed request", func(t *testing.T) {
		l := m.load(shopURL, 4)
		old := m.phpPods()
		m.kubectl("set", "image", "-n", "shop", "deployment/php", "apache=shop/php:v2", "php-fpm=shop/php:v2")
		m.kubectl("rollout", "status", "-n", "shop", "deployment/php", "--timeout=3m")
		m.kubectl(append([]string{"wait", "-n", "shop", "--for=delete", "--timeout=1m"}, old...)...)
		l.end(t, "roll to v2")
		if p := readPage(t, client); p.Version != "v2" || p.Count != 5 {
			t.Errorf("after the roll the page says version %s and %d rows", p.Version, p.Count)
		}
	})

	step("is taken back to v1 without a failed request", func(t *testing.T) {
		if history := m.kubectl("rollout", "history", "-n", "shop", "deployment/php"); !strings.Contains(history, "2") {
			t.Errorf("history:\n%s", history)
		}
		l := m.load(shopURL, 4)
		old := m.phpPods()
		m.kubectl("rollout", "undo", "-n", "shop", "deployment/php")
		m.kubectl("rollout", "status", "-n", "shop", "deployment/php", "--timeout=3m")
		m.kubectl(append([]string{"wait", "-n", "shop", "--for=delete", "--timeout=1m"}, old...)...)
		l.end(t, "undo")
		if p := readPage(t, client); p.Version != "v1" {
			t.Errorf("after the undo the page says version %s", p.Version)
		}
	})

	step("finds the same name and rows after MySQL's pod was killed", func(t *testing.T) {
		uid := m.kubectl("get", "pod", "-n", "shop", "mysql-0", "-o", "jsonpath={.metadata.uid}")
		m.kubectl("delete", "pod", "-n", "shop", "mysql-0", "--grace-period=1")
		m.kubectl("wait", "-n", "shop", "--for=create", "pod/mysql-0", "--timeout=1m")
		m.kubectl("rollout", "status", "-n", "shop", "statefulset/mysql", "--timeout=2m")
		m.kubectl("wait", "-n", "shop", "--for=condition=Ready", "pod/mysql-0", "--timeout=2m")
		if again := m.kubectl("get", "pod", "-n", "shop", "mysql-0", "-o", "jsonpath={.metadata.uid}"); again == uid {
			t.Error("mysql-0 is still the old pod")
		}
		if p := readPage(t, client); p.Count != 5 {
			t.Errorf("%d rows after MySQL came back, want 5", p.Count)
		}
	})

	step("serves on while the server is killed, and the API comes back", func(t *testing.T) {
		before := m.kubectl("get", "pods", "-n", "shop", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[*].containerID} {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}")
		l := m.load(shopURL, 4)
		m.kill()
		if out, err := m.try("bin/kubectl", "get", "nodes", "--request-timeout=2s"); err == nil {
			t.Errorf("the API answers after SIGKILL:\n%s", out)
		}
		// Long enough for every cached name to be asked for again.
		for range 500 {
			readPage(t, client)
		}
		t.Log(m.up())
		for range 100 {
			readPage(t, client)
		}
		l.end(t, "SIGKILL and restart of the server")
		after := m.kubectl("get", "pods", "-n", "shop", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[*].containerID} {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}")
		if before != after {
			t.Errorf("containers before:\n%s\nafter:\n%s", before, after)
		}
	})

	step("is deleted whole", func(t *testing.T) {
		m.kubectl("delete", "-k", "examples/shop", "--timeout=2m")
		if left := m.kubectl("get", "pods,services,pvc,deployments,statefulsets,replicasets", "-n", "shop", "-o", "name"); left != "" {
			t.Errorf("left in the namespace:\n%s", left)
		}
	})
}

// missedTurns returns how many turns of three servers that take turns, in either direction, came between those that
// served, and how many servers did.
func missedTurns(served []string) (missed, servers int) {
	names := slices.Compact(slices.Sorted(slices.Values(served)))
	var up, down int
	for i, name := range served[1:] {
		step := slices.Index(names, name) - slices.Index(names, served[i]) + 3
		up += (step + 2) % 3
		down += (8 - step) % 3
	}
	return min(up, down), len(names)
}

// phpPods returns the web servers' pods as "pod/<name>".
func (m *machine) phpPods() []string {
	m.t.Helper()
	return strings.Fields(m.kubectl("get", "pods", "-n", "shop", "-l", "app=php", "-o", "name"))
}

// kill ends the server with SIGKILL and returns when it is gone.
func (m *machine) kill() {
	m.t.Helper()
	var st struct{ PID int }
	if err := json.Unmarshal([]byte(m.must("bin/sampan", "status", "-o", "json")), &st); err != nil {
		m.t.Fatal(err)
	}
	m.killPID(st.PID)
}

func (m *machine) killPID(pid int) {
	m.t.Helper()
	if pid <= 1 {
		m.t.Fatalf("no server to kill (process %d)", pid)
	}
	process, err := os.FindProcess(pid) // a pidfd: it names this process and no later one
	if err != nil {
		m.t.Fatal(err)
	}
	if err := process.Signal(syscall.SIGKILL); err != nil {
		m.t.Fatalf("kill the server %s: %v", strconv.Itoa(pid), err)
	}
	waitExit(m.t, pid)
}
