package podstate_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/node/podstate"
)

// Scripts in testdata are stories: commands, a line ----, and the effects that follow. Times are since the start.
// After a change of behaviour run the test with -rewrite and judge the difference.
var rewrite = flag.Bool("rewrite", false, "write the effects that were seen into the scripts")

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(text))
			if got == string(text) {
				return
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("effects differ; with -rewrite the script would be\n%s", got)
		})
	}
}

func runScript(t *testing.T, text string) string {
	t.Helper()
	s := &script{now: start}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		commands, _, _ := strings.Cut(block, "\n----")
		s.out = nil
		for _, line := range strings.Split(commands, "\n") {
			out.WriteString(line + "\n")
			if line != "" && line[0] != '#' {
				if err := s.run(strings.Fields(line)); err != nil {
					t.Fatalf("%s: %v", line, err)
				}
			}
		}
		out.WriteString("----\n")
		for _, line := range s.out {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type script struct {
	pod   *corev1.Pod
	state podstate.State
	now   time.Time
	out   []string
}

func (s *script) run(f []string) error {
	if strings.HasPrefix(f[0], "+") {
		d, err := time.ParseDuration(f[0][1:])
		if err != nil {
			return err
		}
		s.now = s.now.Add(d)
		f = f[1:]
	}
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	rest := func(i int) string { return strings.Join(f[min(i, len(f)):], " ") }
	var ev podstate.Event
	switch f[0] {
	case "pod": // pod [restart=P] [init=a,b] [sidecar=a] [main=a,b] [readiness=a] [startup=a] [liveness=a] [poststart=a] [deadline=s]
		s.pod = makePod(f[1:])
		s.state = podstate.New(s.pod, podstate.Host{IPs: []string{"10.0.0.1"}, IDPrefix: "cri://"}, s.now)
		return nil
	case "recovered": // recovered [sandbox=id:ready|lost] [container:attempt:running|exited=code|created]…
		ev = recovered(f[1:], s.now)
	case "delete": // delete grace
		pod := s.pod.DeepCopy()
		seconds, err := strconv.ParseInt(arg(1), 10, 64)
		if err != nil {
			return err
		}
		at := metav1.NewTime(s.now)
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &at, &seconds
		s.pod = pod
		ev = podstate.PodChanged{Pod: pod}
	case "evict": // somebody else sets the phase Failed
		pod := s.pod.DeepCopy()
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodFailed, "Evicted", "The node was low on resource: memory."
		s.pod = pod
		ev = podstate.PodChanged{Pod: pod}
	case "image": // image container ref: the specification changes
		pod := s.pod.DeepCopy()
		for i := range pod.Spec.Containers {
			if pod.Spec.Containers[i].Name == arg(1) {
				pod.Spec.Containers[i].Image = arg(2)
			}
		}
		s.pod = pod
		ev = podstate.PodChanged{Pod: pod}
	case "removed":
		ev = podstate.PodRemoved{}
	case "tick":
		ev = podstate.Tick{}
	case "retry":
		ev = podstate.Retry{}
	case "mounted":
		ev = podstate.VolumesReady{}
	case "mount-failed":
		ev = podstate.VolumesFailed{Message: rest(1)}
	case "unbound":
		ev = podstate.VolumesFailed{Message: "PVC ns/c is not bound", Coming: true}
	case "unmounted":
		ev = podstate.VolumesGone{}
	case "sandbox-started":
		ev = podstate.SandboxStarted{ID: arg(1), IPs: []string{"10.1.0.2"}}
	case "sandbox-failed":
		ev = podstate.SandboxFailed{Message: rest(1)}
	case "sandbox-lost":
		ev = podstate.SandboxLost{ID: arg(1)}
	case "sandbox-stopped":
		ev = podstate.SandboxStopped{ID: arg(1)}
	case "sandbox-removed":
		ev = podstate.SandboxRemoved{ID: arg(1)}
	case "image-ready":
		ev = podstate.ImageReady{Container: arg(1), ImageRef: "sha256:1", Message: "present"}
	case "image-failed":
		ev = podstate.ImageFailed{Container: arg(1), Reason: arg(2), Message: rest(3)}
	case "created":
		ev = podstate.ContainerCreated{Container: arg(1), ID: arg(2)}
	case "create-failed":
		ev = podstate.CreateFailed{Container: arg(1), Reason: arg(2), Message: rest(3)}
	case "started":
		ev = podstate.ContainerStarted{Container: arg(1), ID: arg(2), At: s.now}
	case "start-failed":
		ev = podstate.StartFailed{Container: arg(1), ID: arg(2), Message: rest(3)}
	case "hook-done":
		ev = podstate.HookDone{Container: arg(1), ID: arg(2), Err: rest(3)}
	case "exited":
		code, err := strconv.ParseInt(arg(3), 10, 32)
		if err != nil {
			return err
		}
		ev = podstate.ContainerExited{Container: arg(1), ID: arg(2), Exit: podstate.Exit{Code: int32(code), FinishedAt: s.now}}
	case "stop-done":
		ev = podstate.StopDone{Container: arg(1), ID: arg(2), Err: rest(3)}
	case "probe":
		ev = podstate.ProbeChanged{Container: arg(1), ID: arg(2), Probe: podstate.Probe(arg(3)), OK: arg(4) == "ok"}
	default:
		return fmt.Errorf("unknown command %q", f[0])
	}
	next, effects := podstate.Step(s.state, ev, s.now)
	s.state = next
	for _, e := range effects {
		s.out = append(s.out, describe(e))
	}
	if next.Gone() {
		s.out = append(s.out, "gone")
	}
	return nil
}

func makePod(options []string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u", Generation: 1}}
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	main := []string{"main"}
	always := corev1.ContainerRestartPolicyAlways
	each := func(value string, do func(*corev1.Container)) {
		for _, name := range strings.Split(value, ",") {
			for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
				for i := range list {
					if list[i].Name == name {
						do(&list[i])
					}
				}
			}
		}
	}
	for pass := range 2 { // containers first, what is said of them second
		for _, o := range options {
			key, value, _ := strings.Cut(o, "=")
			if pass == 0 {
				switch key {
				case "restart":
					pod.Spec.RestartPolicy = corev1.RestartPolicy(value)
				case "init":
					for _, n := range strings.Split(value, ",") {
						pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: n, Image: "img"})
					}
				case "sidecar":
					for _, n := range strings.Split(value, ",") {
						pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: n, Image: "img", RestartPolicy: &always})
					}
				case "main":
					main = strings.Split(value, ",")
				case "deadline":
					n, _ := strconv.ParseInt(value, 10, 64)
					pod.Spec.ActiveDeadlineSeconds = &n
				}
				continue
			}
			switch key {
			case "readiness":
				each(value, func(c *corev1.Container) { c.ReadinessProbe = &corev1.Probe{} })
			case "startup":
				each(value, func(c *corev1.Container) { c.StartupProbe = &corev1.Probe{} })
			case "liveness":
				each(value, func(c *corev1.Container) { c.LivenessProbe = &corev1.Probe{} })
			case "poststart":
				each(value, func(c *corev1.Container) {
					c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{}}
				})
			}
		}
		if pass == 0 {
			for _, n := range main {
				pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: n, Image: "img"})
			}
		}
	}
	return pod
}

func recovered(args []string, now time.Time) podstate.Event {
	var ev podstate.Recovered
	sandbox := ""
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		if key == "sandbox" {
			id, state, _ := strings.Cut(value, ":")
			ev.Sandboxes = append(ev.Sandboxes, podstate.Sandbox{ID: id, Ready: state == "ready", IPs: []string{"10.1.0.2"}})
			if sandbox == "" {
				sandbox = id
			}
			continue
		}
		parts := strings.Split(key, ":")
		attempt, _ := strconv.Atoi(parts[1])
		inst := podstate.Instance{ID: parts[0] + "-" + parts[1], SandboxID: sandbox, Container: parts[0], Attempt: uint32(attempt),
			State: podstate.InstanceState(parts[2]), StartedAt: now, Image: "img"}
		if inst.State == podstate.InstanceExited {
			code, _ := strconv.Atoi(value)
			inst.Exit = &podstate.Exit{Code: int32(code), StartedAt: now, FinishedAt: now}
		}
		ev.Containers = append(ev.Containers, inst)
	}
	return ev
}

func describe(e podstate.Effect) string {
	switch e := e.(type) {
	case podstate.MountVolumes:
		return "mount volumes"
	case podstate.UnmountVolumes:
		return "unmount volumes"
	case podstate.RunSandbox:
		return fmt.Sprintf("run sandbox, attempt %d", e.Attempt)
	case podstate.StopSandbox:
		return "stop sandbox " + e.ID
	case podstate.RemoveSandbox:
		return "remove sandbox " + e.ID
	case podstate.PullImage:
		return "pull for " + e.Container
	case podstate.CreateContainer:
		return fmt.Sprintf("create %s, attempt %d, in %s", e.Container, e.Attempt, e.SandboxID)
	case podstate.StartContainer:
		return "start " + e.ID
	case podstate.RunPostStart:
		return "postStart " + e.ID
	case podstate.StopContainer:
		return fmt.Sprintf("stop %s within %v", e.ID, e.Grace)
	case podstate.RemoveContainer:
		return "remove " + e.ID
	case podstate.StartProbes:
		return fmt.Sprintf("probe %s %v", e.ID, e.Probes)
	case podstate.StopProbes:
		return fmt.Sprintf("stop probing %s %v", e.ID, e.Probes)
	case podstate.WakeAt:
		return fmt.Sprintf("wake at +%v", e.Time.Sub(start))
	case podstate.FinishDeletion:
		return "delete the object"
	case podstate.Emit:
		warning := ""
		if e.Warning {
			warning = "warning "
		}
		return fmt.Sprintf("%sevent %s: %s", warning, e.Reason, e.Message)
	case podstate.WriteStatus:
		return describeStatus(e.Status)
	}
	return fmt.Sprintf("%T", e)
}

func describeStatus(st corev1.PodStatus) string {
	parts := []string{"status", string(st.Phase)}
	if st.Reason != "" {
		parts = append(parts, "("+st.Reason+")")
	}
	for _, list := range [][]corev1.ContainerStatus{st.InitContainerStatuses, st.ContainerStatuses} {
		for _, c := range list {
			text := c.Name + "="
			switch {
			case c.State.Running != nil:
				text += "running"
			case c.State.Terminated != nil:
				text += fmt.Sprintf("%s(%d)", c.State.Terminated.Reason, c.State.Terminated.ExitCode)
			case c.State.Waiting != nil:
				text += c.State.Waiting.Reason
			}
			if c.Ready {
				text += ",ready"
			}
			if c.RestartCount > 0 {
				text += fmt.Sprintf(",restarts:%d", c.RestartCount)
			}
			if last := c.LastTerminationState.Terminated; last != nil {
				text += fmt.Sprintf(",last:%d", last.ExitCode)
			}
			parts = append(parts, text)
		}
	}
	for _, c := range st.Conditions {
		if c.Status == corev1.ConditionTrue && c.Type != corev1.PodScheduled {
			parts = append(parts, "+"+string(c.Type))
		}
	}
	return strings.Join(parts, " ")
}
