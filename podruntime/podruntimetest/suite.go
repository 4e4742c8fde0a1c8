package podruntimetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Suite is what every CRI runtime must do, as the node agent relies on it. Test runs it.
type Suite struct {
	// CRI is the runtime; Image names an image with a shell at /bin/sh (a fake may interpret Command itself).
	CRI   runtimeapi.RuntimeServiceClient
	Image string
	// Logs is a folder for logs, "" if the runtime writes none.
	Logs string
}

// The commands that the suite runs. A fake recognizes them by [Script].
const (
	ScriptForever    = "trap 'exit 3' TERM; echo >/tmp/ready; while :; do sleep 0.05; done"
	ScriptExit7      = "echo out; echo err >&2; exit 7"
	ScriptIgnoreTerm = "trap '' TERM; echo >/tmp/ready; while :; do sleep 0.05; done"
)

// Script returns the shell script of a container's arguments, "" if there is none.
func Script(args []string) string {
	if len(args) == 3 && args[0] == "/bin/sh" && args[1] == "-c" {
		return args[2]
	}
	return ""
}

// Behave makes a fake's containers do what the suite's scripts do.
func Behave(args []string) Behaviour {
	switch Script(args) {
	case ScriptForever:
		return Behaviour{TermCode: 3}
	case ScriptExit7:
		return Behaviour{RunFor: time.Millisecond, ExitCode: 7}
	case ScriptIgnoreTerm:
		return Behaviour{IgnoreTerm: true}
	}
	return Behaviour{}
}

// Test runs the suite.
func (s Suite) Test(t *testing.T) {
	t.Run("ExitCodeAndReasonOfAContainerThatEnds", s.testExit)
	t.Run("StopSendsTheSignalAndWaits", s.testStop)
	t.Run("StopKillsWhatIgnoresTheSignal", s.testIgnoredSignal)
	t.Run("StateMachineRefusesWrongOrders", s.testOrder)
	t.Run("UnknownIDsAreNotFoundAndRemovalIsIdempotent", s.testUnknown)
	t.Run("EventsTellEveryChangeOnce", s.testEvents)
	t.Run("ListsFilterByStateAndLabel", s.testList)
	t.Run("RemovingASandboxRemovesItsContainers", s.testRemove)
}

// Pod is one sandbox of a test.
type Pod struct {
	Suite
	T      testing.TB
	ID     string
	Config *runtimeapi.PodSandboxConfig
}

// RunPod runs a sandbox that the test's end removes.
func (s Suite) RunPod(t testing.TB, change ...func(*runtimeapi.PodSandboxConfig)) *Pod {
	t.Helper()
	p := s.RunPodOnly(t, change...)
	t.Cleanup(func() {
		if _, err := s.CRI.RemovePodSandbox(context.Background(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
			t.Errorf("remove sandbox: %v", err)
		}
	})
	return p
}

// RunPodOnly runs a sandbox that the caller removes.
func (s Suite) RunPodOnly(t testing.TB, change ...func(*runtimeapi.PodSandboxConfig)) *Pod {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	cfg := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "test", Uid: fmt.Sprintf("%s-%d", name, time.Now().UnixNano())},
		Hostname:     "pod-host",
		LogDirectory: s.Logs,
		Labels:       map[string]string{"test": name},
		Linux:        &runtimeapi.LinuxPodSandboxConfig{},
	}
	for _, f := range change {
		f(cfg)
	}
	out, err := s.CRI.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	return &Pod{Suite: s, T: t, ID: out.PodSandboxId, Config: cfg}
}

// Create creates a container that runs a shell script.
func (p *Pod) Create(name, script string, change ...func(*runtimeapi.ContainerConfig)) string {
	p.T.Helper()
	cfg := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name}, Image: &runtimeapi.ImageSpec{Image: p.Image},
		Command: []string{"/bin/sh", "-c", script}, LogPath: name + ".log", Labels: map[string]string{"container": name},
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}}},
	}
	for _, f := range change {
		f(cfg)
	}
	out, err := p.CRI.CreateContainer(p.T.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: p.ID, Config: cfg, SandboxConfig: p.Config})
	if err != nil {
		p.T.Fatal(err)
	}
	return out.ContainerId
}

// Start starts a container.
func (p *Pod) Start(id string) {
	p.T.Helper()
	if _, err := p.CRI.StartContainer(p.T.Context(), &runtimeapi.StartContainerRequest{ContainerId: id}); err != nil {
		p.T.Fatal(err)
	}
}

// Run creates and starts a container.
func (p *Pod) Run(name, script string, change ...func(*runtimeapi.ContainerConfig)) string {
	p.T.Helper()
	id := p.Create(name, script, change...)
	p.Start(id)
	return id
}

// Status returns a container's status.
func (p *Pod) Status(id string) *runtimeapi.ContainerStatus {
	p.T.Helper()
	out, err := p.CRI.ContainerStatus(p.T.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil {
		p.T.Fatal(err)
	}
	return out.Status
}

// RunToEnd runs a container and returns its status after its end.
func (p *Pod) RunToEnd(name, script string, change ...func(*runtimeapi.ContainerConfig)) *runtimeapi.ContainerStatus {
	p.T.Helper()
	ended := p.Ends()
	id := p.Run(name, script, change...)
	ended(id)
	return p.Status(id)
}

// Ends listens for events from now on; the function that it returns waits for a container's end.
func (p *Pod) Ends() func(id string) {
	p.T.Helper()
	stream, err := p.CRI.GetContainerEvents(p.T.Context(), &runtimeapi.GetEventsRequest{})
	if err != nil {
		p.T.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		p.T.Fatal(err)
	}
	return func(id string) {
		p.T.Helper()
		for {
			ev, err := stream.Recv()
			if err != nil {
				p.T.Fatal(err)
			}
			if ev.ContainerId == id && ev.ContainerEventType == runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT {
				return
			}
		}
	}
}

// Log returns a container's log without the time stamps: "stdout F text".
func (p *Pod) Log(name string) []string {
	p.T.Helper()
	data, err := os.ReadFile(filepath.Join(p.Logs, name+".log"))
	if err != nil {
		p.T.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		stamp, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil || !ok {
			p.T.Fatalf("log line %q has no time stamp: %v", line, err)
		}
		lines = append(lines, rest)
	}
	return lines
}

func (p *Pod) stop(id string, seconds int64) {
	p.T.Helper()
	if _, err := p.CRI.StopContainer(p.T.Context(), &runtimeapi.StopContainerRequest{ContainerId: id, Timeout: seconds}); err != nil {
		p.T.Fatal(err)
	}
}

func (s Suite) testExit(t *testing.T) {
	p := s.RunPod(t)
	st := p.RunToEnd("c", ScriptExit7)
	if st.State != runtimeapi.ContainerState_CONTAINER_EXITED || st.ExitCode != 7 || st.Reason != "Error" {
		t.Errorf("state %v, code %d, reason %q, want exited, 7, Error", st.State, st.ExitCode, st.Reason)
	}
	if st.CreatedAt == 0 || st.StartedAt < st.CreatedAt || st.FinishedAt < st.StartedAt {
		t.Errorf("times are out of order: created %d, started %d, finished %d", st.CreatedAt, st.StartedAt, st.FinishedAt)
	}
	if s.Logs == "" {
		return
	}
	lines := p.Log("c")
	if len(lines) != 2 || !contains(lines, "stdout F out") || !contains(lines, "stderr F err") {
		t.Errorf("log is %q", lines)
	}
}

func contains(lines []string, want string) bool {
	for _, l := range lines {
		if l == want {
			return true
		}
	}
	return false
}

func (s Suite) testStop(t *testing.T) {
	p := s.RunPod(t)
	id := p.Run("c", ScriptForever)
	p.waitTrap(id)
	p.stop(id, 30)
	if st := p.Status(id); st.ExitCode != 3 {
		t.Errorf("exit code %d, want 3 of the trap", st.ExitCode)
	}
	p.stop(id, 30) // stopping again is fine
}

// waitTrap returns once the shell has set its trap.
func (p *Pod) waitTrap(id string) {
	p.T.Helper()
	out, err := p.CRI.ExecSync(p.T.Context(), &runtimeapi.ExecSyncRequest{ContainerId: id, Timeout: 10,
		Cmd: []string{"/bin/sh", "-c", "until test -e /tmp/ready; do :; done"}})
	if err != nil || out.ExitCode != 0 {
		p.T.Fatalf("wait for the trap: %v %v", out, err)
	}
}

func (s Suite) testIgnoredSignal(t *testing.T) {
	p := s.RunPod(t)
	id := p.Run("c", ScriptIgnoreTerm)
	p.waitTrap(id)
	p.stop(id, 1)
	if st := p.Status(id); st.ExitCode != 137 {
		t.Errorf("exit code %d, want 137", st.ExitCode)
	}
}

func (s Suite) testOrder(t *testing.T) {
	p := s.RunPod(t)
	id := p.Run("c", ScriptForever)
	if _, err := p.CRI.StartContainer(t.Context(), &runtimeapi.StartContainerRequest{ContainerId: id}); err == nil {
		t.Error("a container was started twice")
	}
	if _, err := p.CRI.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: p.ID, SandboxConfig: p.Config,
		Config: &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "c"}, Image: &runtimeapi.ImageSpec{Image: p.Image},
			Command: []string{"/bin/sh"}}}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("second container of one name and attempt: %v, want AlreadyExists", err)
	}
	if _, err := p.CRI.RunPodSandbox(t.Context(), &runtimeapi.RunPodSandboxRequest{Config: p.Config}); status.Code(err) != codes.AlreadyExists {
		t.Errorf("second sandbox of one name and attempt: %v, want AlreadyExists", err)
	}
	if _, err := p.CRI.StopPodSandbox(t.Context(), &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		t.Fatal(err)
	}
	if st := p.Status(id); st.State != runtimeapi.ContainerState_CONTAINER_EXITED {
		t.Errorf("container of a stopped sandbox is %v", st.State)
	}
	if _, err := p.CRI.CreateContainer(t.Context(), &runtimeapi.CreateContainerRequest{PodSandboxId: p.ID, SandboxConfig: p.Config,
		Config: &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "d"}, Image: &runtimeapi.ImageSpec{Image: p.Image},
			Command: []string{"/bin/sh"}}}); err == nil {
		t.Error("a container was created in a stopped sandbox")
	}
}

func (s Suite) testUnknown(t *testing.T) {
	ctx := t.Context()
	_, err := s.CRI.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: "nobody"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("ContainerStatus: %v, want NotFound", err)
	}
	_, err = s.CRI.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: "nobody"})
	if status.Code(err) != codes.NotFound {
		t.Errorf("PodSandboxStatus: %v, want NotFound", err)
	}
	if _, err := s.CRI.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: "nobody"}); err != nil {
		t.Errorf("RemoveContainer: %v", err)
	}
	if _, err := s.CRI.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: "nobody"}); err != nil {
		t.Errorf("StopPodSandbox: %v", err)
	}
	if _, err := s.CRI.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: "nobody"}); err != nil {
		t.Errorf("RemovePodSandbox: %v", err)
	}
}

func (s Suite) testEvents(t *testing.T) {
	stream, err := s.CRI.GetContainerEvents(t.Context(), &runtimeapi.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	p := s.RunPod(t)
	id := p.Run("c", ScriptExit7)
	var got []string
	for len(got) < 5 {
		ev, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		what := "container"
		if ev.ContainerId == p.ID {
			what = "sandbox"
		} else if ev.ContainerId != id {
			continue
		}
		got = append(got, what+" "+strings.TrimSuffix(strings.TrimPrefix(ev.ContainerEventType.String(), "CONTAINER_"), "_EVENT"))
		if ev.ContainerEventType == runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT {
			if len(ev.ContainersStatuses) != 1 || ev.ContainersStatuses[0].ExitCode != 7 {
				t.Errorf("the stopped event carries %v", ev.ContainersStatuses)
			}
			if _, err := s.CRI.RemoveContainer(t.Context(), &runtimeapi.RemoveContainerRequest{ContainerId: id}); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := "sandbox CREATED, sandbox STARTED, container CREATED, container STARTED, container STOPPED"
	if g := strings.Join(got, ", "); g != want {
		t.Errorf("events are %s\nwant %s", g, want)
	}
}

func (s Suite) testList(t *testing.T) {
	p := s.RunPod(t)
	running, created := p.Run("runs", ScriptForever), p.Create("waits", ScriptForever)
	list := func(f *runtimeapi.ContainerFilter) string {
		out, err := s.CRI.ListContainers(t.Context(), &runtimeapi.ListContainersRequest{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, c := range out.Containers {
			ids = append(ids, c.Id)
		}
		return strings.Join(ids, " ")
	}
	if got := list(&runtimeapi.ContainerFilter{PodSandboxId: p.ID, State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING}}); got != running {
		t.Errorf("running: %s, want %s", got, running)
	}
	if got := list(&runtimeapi.ContainerFilter{PodSandboxId: p.ID, LabelSelector: map[string]string{"container": "waits"}}); got != created {
		t.Errorf("label waits: %s, want %s", got, created)
	}
	if got, want := list(&runtimeapi.ContainerFilter{PodSandboxId: p.ID}), created+" "+running; got != want {
		t.Errorf("all, newest first: %s, want %s", got, want)
	}
	pods, err := s.CRI.ListPodSandbox(t.Context(), &runtimeapi.ListPodSandboxRequest{Filter: &runtimeapi.PodSandboxFilter{LabelSelector: p.Config.Labels}})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 || pods.Items[0].Id != p.ID {
		t.Errorf("pods by label: %v", pods.Items)
	}
}

func (s Suite) testRemove(t *testing.T) {
	p := s.RunPod(t)
	id := p.Run("c", ScriptForever)
	if _, err := s.CRI.RemovePodSandbox(t.Context(), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CRI.ContainerStatus(t.Context(), &runtimeapi.ContainerStatusRequest{ContainerId: id}); status.Code(err) != codes.NotFound {
		t.Errorf("container of a removed sandbox: %v, want NotFound", err)
	}
}
