package node_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/node"
	"sampan/podruntime"
	"sampan/podruntime/podruntimetest"
	"sampan/view"
)

// bench is a node in a bubble: the agent, a runtime without processes, and an API in memory.
type bench struct {
	t      *testing.T
	api    *fakeAPI
	images *fakeImages
	events *fakeEvents
	driver *podruntimetest.Driver
	rt     *podruntime.Server
	dir    string
	short  node.Shortage // of the machine
	stop   func()
}

func newBench(t *testing.T, behave func(podruntime.ContainerSpec) podruntimetest.Behaviour) *bench {
	t.Helper()
	return &bench{
		t: t, api: newAPI(), events: &fakeEvents{}, driver: podruntimetest.NewDriver(behave), dir: t.TempDir(),
		images: &fakeImages{present: map[string]bool{"img": true}, remote: map[string]bool{}},
	}
}

// start starts the runtime and the agent; stop ends them as a killed process would.
func (b *bench) start() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	rt, err := podruntime.New(ctx, podruntime.Config{Driver: b.driver, Images: podruntimetest.Images{}, Network: &podruntimetest.Network{}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.rt = rt
	agent, err := node.New(node.Config{
		Name: "n1", Client: b.api, Tokens: b.api, Runtime: rt.Client(), Images: b.images, Events: b.events,
		Root: b.dir + "/root", State: b.dir + "/state", PodLogs: b.dir + "/logs",
		NodeAddresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Capacity:      func() (corev1.ResourceList, error) { return corev1.ResourceList{}, nil },
		Shortage:      func() node.Shortage { return b.short },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- agent.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.t.Errorf("agent ended with %v", err)
		}
		rt.Close()
	}
}

func (b *bench) create(pod *corev1.Pod) {
	b.t.Helper()
	if _, err := b.api.Create(b.t.Context(), pod, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pod(name string) *corev1.Pod {
	pod, _ := view.Get[*corev1.Pod](b.api.Snapshot(), kind.Pods, "default", name)
	return pod
}

func (b *bench) delete(name string, grace int64) {
	b.t.Helper()
	_, err := b.api.Delete(b.t.Context(), view.Key{Kind: kind.Pods, Namespace: "default", Name: name}, metav1.DeleteOptions{GracePeriodSeconds: &grace})
	if err != nil {
		b.t.Fatal(err)
	}
}

// newPod makes a pod as the API server would have defaulted it.
func newPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	grace := int64(30)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), Generation: 1},
		Spec: corev1.PodSpec{
			NodeName: "n1", RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: &grace,
			DNSPolicy: corev1.DNSClusterFirst,
			Containers: []corev1.Container{{
				Name: "web", Image: "img", ImagePullPolicy: corev1.PullIfNotPresent,
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			}},
		},
	}
	for _, f := range change {
		f(pod)
	}
	return pod
}

func condition(pod *corev1.Pod, t corev1.PodConditionType) corev1.ConditionStatus {
	if pod != nil {
		for _, c := range pod.Status.Conditions {
			if c.Type == t {
				return c.Status
			}
		}
	}
	return ""
}

func (b *bench) wantReady(name string) {
	b.t.Helper()
	pod := b.pod(name)
	if pod == nil || pod.Status.Phase != corev1.PodRunning || condition(pod, corev1.PodReady) != corev1.ConditionTrue {
		b.t.Fatalf("pod %s is not ready: %+v; events %v", name, pod, b.events.reasons())
	}
}

func TestPodRunsAndIsDeletedWithNothingLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.create(newPod("web"))
		synctest.Wait()
		b.wantReady("web")
		pod := b.pod("web")
		if pod.Status.PodIP == "" || pod.Status.HostIP != "127.0.0.1" || pod.Status.StartTime == nil {
			t.Errorf("status has no addresses or start time: %+v", pod.Status)
		}
		st := pod.Status.ContainerStatuses[0]
		if st.State.Running == nil || !st.Ready || !strings.HasPrefix(st.ContainerID, "sampan://") {
			t.Errorf("container status: %+v", st)
		}
		if got, want := b.events.reasons(), []string{"Pulled", "Created", "Started"}; !slices.Equal(got, want) {
			t.Errorf("events %v, want %v", got, want)
		}
		b.delete("web", 30)
		time.Sleep(time.Second)
		synctest.Wait()
		if pod := b.pod("web"); pod != nil {
			t.Fatalf("the pod is still there: %+v", pod.Status)
		}
		b.stop()
		if left := b.driver.Left(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestAgentRestartAdoptsRunningContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		for _, name := range []string{"a", "b", "c"} {
			b.create(newPod(name))
		}
		synctest.Wait()
		b.wantReady("a")
		before := b.driver.Running()
		b.stop()
		writes := len(b.api.writes)

		b.start()
		synctest.Wait()
		if after := b.driver.Running(); !slices.Equal(before, after) || len(after) != 3 {
			t.Errorf("running before %v, after %v", before, after)
		}
		for _, w := range b.api.writes[writes:] {
			if strings.Contains(w, "pods/") {
				t.Errorf("a restart wrote %s", w)
			}
		}
		b.stop()
	})
}

func TestCrashLoopBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(podruntime.ContainerSpec) podruntimetest.Behaviour {
			return podruntimetest.Behaviour{RunFor: time.Second, ExitCode: 3}
		})
		b.start()
		b.create(newPod("web"))
		// Starts at 0, 1 (at once), 12 (10 s after the end at 2), 33 (20 s after 13), 74, …
		time.Sleep(5 * time.Second)
		synctest.Wait()
		st := b.pod("web").Status.ContainerStatuses[0]
		if st.RestartCount != 1 || st.State.Waiting == nil || st.State.Waiting.Reason != "CrashLoopBackOff" ||
			st.State.Waiting.Message != "back-off 10s restarting failed container=web pod=web_default(uid-web)" {
			t.Errorf("after 5 s: %+v", st)
		}
		if st.LastTerminationState.Terminated == nil || st.LastTerminationState.Terminated.ExitCode != 3 {
			t.Errorf("last state: %+v", st.LastTerminationState)
		}
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if st := b.pod("web").Status.ContainerStatuses[0]; st.RestartCount != 3 {
			t.Errorf("after 40 s: %d restarts, want 3", st.RestartCount)
		}
		b.stop()
	})
}

func TestImageThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.create(newPod("web", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "other" }))
		synctest.Wait()
		wait := b.pod("web").Status.ContainerStatuses[0].State.Waiting
		if wait == nil || wait.Reason != "ErrImagePull" {
			t.Fatalf("waiting: %+v", wait)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if wait = b.pod("web").Status.ContainerStatuses[0].State.Waiting; wait == nil || wait.Reason != "ImagePullBackOff" {
			t.Fatalf("waiting: %+v", wait)
		}
		b.images.mu.Lock()
		b.images.remote["other"] = true
		b.images.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		b.wantReady("web")
		b.stop()
	})
}

func TestMissingConfigMapIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.start()
		b.create(newPod("env", func(p *corev1.Pod) {
			p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}}
		}))
		b.create(newPod("vol", func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}}}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}
		}))
		time.Sleep(time.Second)
		synctest.Wait()
		wait := b.pod("env").Status.ContainerStatuses[0].State.Waiting
		if wait == nil || wait.Reason != "CreateContainerConfigError" || wait.Message != `configmap "cm" not found` {
			t.Errorf("waiting: %+v", wait)
		}
		if !slices.Contains(b.events.reasons(), "FailedMount") {
			t.Errorf("events %v", b.events.reasons())
		}
		_, err := b.api.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.wantReady("env")
		b.wantReady("vol")
		b.stop()
	})
}

func TestExecProbesDecideReadinessAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		b := newBench(t, func(podruntime.ContainerSpec) podruntimetest.Behaviour {
			return podruntimetest.Behaviour{Exec: func(_ context.Context, args []string, s podruntime.Streams) (int, error) {
				since := time.Since(begin)
				switch args[0] {
				case "ready":
					if since < 700*time.Millisecond {
						_, _ = io.WriteString(s.Stdout, "not yet")
						return 1, nil
					}
				case "alive":
					if since > 60*time.Second && since < 95*time.Second {
						return 1, nil
					}
				}
				return 0, nil
			}}
		})
		b.start()
		exec := func(cmd string) *corev1.Probe {
			return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{cmd}}}, PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3}
		}
		b.create(newPod("web", func(p *corev1.Pod) {
			p.Spec.Containers[0].ReadinessProbe, p.Spec.Containers[0].LivenessProbe = exec("ready"), exec("alive")
		}))
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if condition(b.pod("web"), corev1.PodReady) != corev1.ConditionFalse {
			t.Fatalf("ready too early: %+v", b.pod("web").Status)
		}
		time.Sleep(700 * time.Millisecond)
		synctest.Wait()
		b.wantReady("web") // long before the second period
		time.Sleep(93 * time.Second)
		synctest.Wait()
		if st := b.pod("web").Status.ContainerStatuses[0]; st.RestartCount != 1 {
			t.Errorf("liveness failed three times: %d restarts, want 1; events %v", st.RestartCount, b.events.reasons())
		}
		b.stop()
	})
}

func TestJobPodSucceedsAndStaysGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(podruntime.ContainerSpec) podruntimetest.Behaviour {
			return podruntimetest.Behaviour{RunFor: 2 * time.Second}
		})
		b.start()
		b.create(newPod("job", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		pod := b.pod("job")
		if pod.Status.Phase != corev1.PodSucceeded || pod.Status.ContainerStatuses[0].State.Terminated == nil {
			t.Fatalf("status %+v", pod.Status)
		}
		b.stop()
		b.start() // a new agent must not run it again
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(b.driver.Running()); n != 0 || b.pod("job").Status.Phase != corev1.PodSucceeded {
			t.Errorf("%d containers run; status %+v", n, b.pod("job").Status)
		}
		b.delete("job", 0)
		synctest.Wait()
		b.stop()
		if left := b.driver.Left(); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestDeletedPodThatIgnoresSignalsIsKilledAfterItsGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(podruntime.ContainerSpec) podruntimetest.Behaviour {
			return podruntimetest.Behaviour{IgnoreTerm: true}
		})
		b.start()
		b.create(newPod("web"))
		synctest.Wait()
		b.delete("web", 20)
		time.Sleep(19 * time.Second)
		synctest.Wait()
		if b.pod("web") == nil {
			t.Fatal("gone before its grace was over")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if pod := b.pod("web"); pod != nil {
			t.Fatalf("still there: %+v", pod.Status)
		}
		b.stop()
	})
}
