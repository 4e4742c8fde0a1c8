package linux_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/podruntime"
	"sampan/podruntime/linux"
	"sampan/podruntime/podruntimetest"
)

func TestRestartOfTheServerKeepsContainersAndHearsOfTheirEnds(t *testing.T) {
	m := newMachine(t)
	p := m.suite().RunPodOnly(t)
	runs := p.Run("runs", "i=0; until test -e /tmp/stop; do i=$((i+1)); echo line $i; sleep 0.01; done; exit 9")
	ends := p.Run("ends", "until test -e /tmp/stop; do sleep 0.01; done; exit 8")
	before := p.Status(runs)
	stopFile := func(id string) {
		t.Helper()
		code, err := m.driver.Exec(t.Context(), podruntime.ContainerRef{ID: id, Sandbox: p.ID}, podruntime.ExecSpec{Args: []string{"touch", "/tmp/stop"}})
		// 137: the container was quicker to end than touch, which it took with it.
		if err != nil || code != 0 && code != 137 {
			t.Fatal(code, err)
		}
	}
	// The first server goes. "ends" ends while there is none: the driver, which could still talk to the pause
	// process, is not told of it.
	if err := m.server.Close(); err != nil {
		t.Fatal(err)
	}
	stopFile(ends)
	for !exists(filepath.Join(m.cfg.State, "pods", p.ID, "exits", ends)) {
		// Exec of a command that ends is this loop's pace.
		if _, err := m.driver.Exec(t.Context(), podruntime.ContainerRef{ID: runs, Sandbox: p.ID}, podruntime.ExecSpec{Args: []string{"true"}}); err != nil {
			t.Fatal(err)
		}
	}
	m.boot()
	p.CRI = m.server.Client()
	if st := p.Status(ends); st.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.ExitCode != 8 {
		t.Errorf("the one that ended: %v, exit code %d, want exited, 8", st.State, st.ExitCode)
	}
	st := p.Status(runs)
	if st.State != runtimeapi.ContainerState_CONTAINER_RUNNING || st.StartedAt != before.StartedAt {
		t.Errorf("the one that ran: %v, started at %d, want running since %d", st.State, st.StartedAt, before.StartedAt)
	}
	sb, err := p.CRI.PodSandboxStatus(t.Context(), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID})
	if err != nil || sb.Status.State != runtimeapi.PodSandboxState_SANDBOX_READY {
		t.Errorf("sandbox: %v, %v", sb, err)
	}
	ended := p.Ends()
	stopFile(runs)
	ended(runs)
	if st := p.Status(runs); st.ExitCode != 9 {
		t.Errorf("exit code %d after the restart, want 9", st.ExitCode)
	}
	// No line is missing or doubled.
	for i, line := range p.Log("runs") {
		if want := fmt.Sprintf("stdout F line %d", i+1); line != want {
			t.Fatalf("log line %d is %q, want %q", i+1, line, want)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestPodWhosePauseProcessDiesIsKilled(t *testing.T) {
	m := newMachine(t)
	p := m.suite().RunPod(t)
	id := p.Run("c", "exec sleep 1000")
	ended := p.Ends()
	if err := exec.Command("kill", "-9", strconv.Itoa(m.pausePID(p.ID))).Run(); err != nil {
		t.Fatal(err)
	}
	ended(p.ID)
	ended(id)
	st := p.Status(id)
	if st.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.ExitCode != 255 || st.Reason != "Unknown" {
		t.Errorf("state %v, exit code %d, reason %q, want exited, 255, Unknown", st.State, st.ExitCode, st.Reason)
	}
	if pids := m.processes(); len(pids) > 0 {
		t.Errorf("processes left: %v", pids)
	}
}

// pausePID finds a pod's pause process by its command line.
func (m *machine) pausePID(sandbox string) int {
	m.t.Helper()
	for pid, cmdline := range m.processes() {
		if strings.Contains(cmdline, sandbox) {
			return pid
		}
	}
	m.t.Fatal("no pause process found")
	return 0
}

// processes lists the pause processes of this machine.
func (m *machine) processes() map[int]string {
	m.t.Helper()
	all := map[int]string{}
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, name := range names {
		data, _ := os.ReadFile(name) // it may have ended
		if strings.Contains(string(data), m.cfg.State) {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			all[pid] = string(data)
		}
	}
	return all
}

// childEnv holds a child's configuration: the test binary, run again, is a server that makes and removes pods
// until it is killed.
const childEnv = "SAMPAN_RUNTIME_TEST_CHILD"

type childConfig struct {
	Driver linux.Config
	Layer  string
	Logs   string
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		var cfg childConfig
		if err := json.Unmarshal([]byte(text), &cfg); err != nil {
			panic(err)
		}
		if err := churn(cfg); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// churn prints each step that it takes, so that the parent can kill it in the middle of any.
func churn(cfg childConfig) error {
	ctx := context.Background()
	d, err := linux.New(cfg.Driver)
	if err != nil {
		return err
	}
	s, err := podruntime.New(ctx, podruntime.Config{Driver: d, Images: images{layer: cfg.Layer}})
	if err != nil {
		return err
	}
	cri := s.Client()
	for i := 0; ; i++ {
		pod := &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{Name: "churn", Namespace: "test", Uid: fmt.Sprint("churn-", os.Getpid(), "-", i)}, LogDirectory: cfg.Logs}
		fmt.Println("sandbox")
		sb, err := cri.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: pod})
		if err != nil {
			return err
		}
		fmt.Println("create")
		c, err := cri.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{PodSandboxId: sb.PodSandboxId, SandboxConfig: pod, Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: "c"}, Image: &runtimeapi.ImageSpec{Image: "busybox"}, Command: []string{"sleep", "1000"}, LogPath: "churn.log"}})
		if err != nil {
			return err
		}
		fmt.Println("start")
		if _, err := cri.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: c.ContainerId}); err != nil {
			return err
		}
		fmt.Println("stop")
		if _, err := cri.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: c.ContainerId, Timeout: 0}); err != nil {
			return err
		}
		fmt.Println("remove")
		if _, err := cri.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: sb.PodSandboxId}); err != nil {
			return err
		}
	}
}

// A server that is killed in the middle of any step leaves nothing after the next has started, but pods that
// were complete, and those work.
func TestServerKilledInTheMiddleLeaksNothing(t *testing.T) {
	m := newMachine(t)
	if err := m.server.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(childConfig{Driver: linux.Config{Root: m.cfg.Root, State: m.cfg.State, Instance: m.cfg.Instance}, Layer: m.images.layer, Logs: m.logs})
	if err != nil {
		t.Fatal(err)
	}
	steps := []string{"sandbox", "create", "start", "stop", "remove"}
	for round := range 15 {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		child := exec.Command(self, "-test.run=^$")
		child.Env = append(os.Environ(), childEnv+"="+string(text))
		pipe, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "error") {
				t.Fatal(lines.Text())
			}
			if lines.Text() == steps[round%len(steps)] {
				break
			}
		}
		// Some way into the step, another one each round: reading that many small files takes that long.
		for range round * 20 {
			if _, err := os.ReadFile("/proc/self/stat"); err != nil {
				t.Fatal(err)
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed, as was wanted
		m.boot()
		cri := m.server.Client()
		pods, err := cri.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(m.processes()); got > len(pods.Items) {
			t.Errorf("round %d (%s): %d pause processes for %d pods", round, steps[round%len(steps)], got, len(pods.Items))
		}
		if err := m.server.RemoveAll(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		m.checkNothingLeft()
		if t.Failed() {
			t.Fatalf("round %d, killed at %q", round, steps[round%len(steps)])
		}
		if err := m.server.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m.boot()
}

func TestManyPodsAtOnce(t *testing.T) {
	m := newMachine(t)
	s := m.suite()
	t.Run("pods", func(t *testing.T) {
		for i := range 10 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				p := s.RunPod(t)
				id := p.Run("c"+strconv.Itoa(i), podruntimetest.ScriptForever)
				if st := p.Status(id); st.State != runtimeapi.ContainerState_CONTAINER_RUNNING {
					t.Errorf("state %v", st.State)
				}
			})
		}
	})
}
