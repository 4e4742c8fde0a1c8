package podstate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sampan/node/podstate"
)

// world carries effects out as badly as the real one may: late, in any order, with failures, with containers that end
// by themselves. It checks what package podstate promises.
type world struct {
	t       *rapid.T
	state   podstate.State
	pod     *corev1.Pod
	now     time.Time
	pending []podstate.Effect // to be answered
	wake    time.Time
	nextID  int

	live    map[string]string // container: its instance that is created or running
	running map[string]bool   // by instance
	sandbox string            // that is ready
	mounted bool
	ending  bool // the pod is being deleted
	deleted bool // FinishDeletion was asked for
}

func (w *world) step(ev podstate.Event) {
	next, effects := podstate.Step(w.state, ev, w.now)
	w.state = next
	for _, e := range effects {
		w.effect(e)
	}
}

func (w *world) fresh(prefix string) string {
	w.nextID++
	return fmt.Sprintf("%s%d", prefix, w.nextID)
}

func (w *world) effect(e podstate.Effect) {
	starts := false
	switch e := e.(type) {
	case podstate.MountVolumes:
		starts = true
		w.pending = append(w.pending, e)
	case podstate.RunSandbox:
		starts = true
		if w.sandbox != "" {
			w.t.Fatalf("a second sandbox while %s is ready", w.sandbox)
		}
		w.pending = append(w.pending, e)
	case podstate.CreateContainer:
		starts = true
		if id := w.live[e.Container]; id != "" {
			w.t.Fatalf("a second instance of %s while %s exists", e.Container, id)
		}
		if w.sandbox != e.SandboxID {
			w.t.Fatalf("container created in sandbox %s, ready is %q", e.SandboxID, w.sandbox)
		}
		w.live[e.Container] = "being made"
		w.pending = append(w.pending, e)
	case podstate.StartContainer:
		starts = true
		if w.live[e.Container] != e.ID || w.running[e.ID] {
			w.t.Fatalf("start of %s, but %s is the instance", e.ID, w.live[e.Container])
		}
		w.pending = append(w.pending, e)
	case podstate.PullImage:
		starts = true
		w.pending = append(w.pending, e)
	case podstate.WakeAt:
		w.wake = e.Time
	case podstate.FinishDeletion:
		if len(w.running) > 0 || w.sandbox != "" || w.mounted {
			w.t.Fatalf("object deleted while %v run, sandbox %q, volumes %v", w.running, w.sandbox, w.mounted)
		}
		for _, p := range w.pending {
			switch p.(type) {
			case podstate.CreateContainer, podstate.StartContainer, podstate.RunSandbox, podstate.MountVolumes:
				w.t.Fatalf("object deleted while %T is under way", p)
			}
		}
		w.deleted = true
	case podstate.UnmountVolumes:
		if len(w.running) > 0 {
			w.t.Fatalf("volumes unmounted under %v", w.running)
		}
		w.pending = append(w.pending, e)
	case podstate.StopContainer:
		for i, p := range w.pending { // a second stop replaces the first
			if q, ok := p.(podstate.StopContainer); ok && q.ID == e.ID {
				w.pending = append(w.pending[:i:i], w.pending[i+1:]...)
				break
			}
		}
		w.pending = append(w.pending, e)
	case podstate.StopSandbox, podstate.RemoveSandbox, podstate.RunPostStart:
		w.pending = append(w.pending, e)
	}
	if starts && w.ending {
		w.t.Fatalf("%T for a pod that is being deleted", e)
	}
}

// end ends an instance.
func (w *world) end(container, id string, code int) {
	delete(w.running, id)
	if w.live[container] == id {
		delete(w.live, container)
	}
	w.step(podstate.ContainerExited{Container: container, ID: id, Exit: podstate.Exit{Code: int32(code), FinishedAt: w.now}})
}

// answer carries out the ith pending effect; ok says whether it works.
func (w *world) answer(i int, ok bool) {
	e := w.pending[i]
	w.pending = append(w.pending[:i:i], w.pending[i+1:]...)
	switch e := e.(type) {
	case podstate.MountVolumes:
		w.mounted = true // even a failed mount may leave something behind
		if ok {
			w.step(podstate.VolumesReady{})
		} else {
			w.step(podstate.VolumesFailed{Message: "no"})
		}
	case podstate.UnmountVolumes:
		if ok {
			w.mounted = false
			w.step(podstate.VolumesGone{})
		} else {
			w.step(podstate.VolumesBusy{Message: "busy"})
		}
	case podstate.RunSandbox:
		if !ok {
			w.step(podstate.SandboxFailed{Message: "no"})
			return
		}
		w.sandbox = w.fresh("s")
		w.step(podstate.SandboxStarted{ID: w.sandbox, IPs: []string{"10.1.0.2"}})
	case podstate.StopSandbox:
		if !ok {
			w.step(podstate.SandboxStopped{ID: e.ID, Err: "busy"})
			return
		}
		for name, id := range w.live { // what is left in it ends with it
			delete(w.running, id)
			delete(w.live, name)
		}
		if w.sandbox == e.ID {
			w.sandbox = ""
		}
		w.step(podstate.SandboxStopped{ID: e.ID})
	case podstate.RemoveSandbox:
		if !ok {
			w.step(podstate.SandboxRemoved{ID: e.ID, Err: "busy"})
			return
		}
		w.step(podstate.SandboxRemoved{ID: e.ID})
	case podstate.PullImage:
		if ok {
			w.step(podstate.ImageReady{Container: e.Container, ImageRef: "x"})
		} else {
			w.step(podstate.ImageFailed{Container: e.Container, Reason: "ErrImagePull", Message: "no"})
		}
	case podstate.CreateContainer:
		if !ok || w.sandbox != e.SandboxID {
			delete(w.live, e.Container)
			w.step(podstate.CreateFailed{Container: e.Container, Reason: "CreateContainerError", Message: "no"})
			return
		}
		id := w.fresh(e.Container + "-")
		w.live[e.Container] = id
		w.step(podstate.ContainerCreated{Container: e.Container, ID: id})
	case podstate.StartContainer:
		if !ok || w.live[e.Container] != e.ID {
			if w.live[e.Container] == e.ID {
				delete(w.live, e.Container)
			}
			w.step(podstate.StartFailed{Container: e.Container, ID: e.ID, Message: "no"})
			return
		}
		w.running[e.ID] = true
		w.step(podstate.ContainerStarted{Container: e.Container, ID: e.ID, At: w.now})
	case podstate.RunPostStart:
		err := ""
		if !ok {
			err = "no"
		}
		w.step(podstate.HookDone{Container: e.Container, ID: e.ID, Err: err})
	case podstate.StopContainer:
		if !ok {
			w.step(podstate.StopDone{Container: e.Container, ID: e.ID, Err: "busy"})
			return
		}
		if w.running[e.ID] {
			w.end(e.Container, e.ID, 143)
		}
		w.step(podstate.StopDone{Container: e.Container, ID: e.ID})
	}
}

func (w *world) delete(grace int64) {
	pod := w.pod.DeepCopy()
	at := metav1.NewTime(w.now)
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &at, &grace
	w.pod, w.ending = pod, true
	w.step(podstate.PodChanged{Pod: pod})
}

func TestNeverTwoInstancesAndDeletedPodsReachGone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		restart := rapid.SampledFrom([]string{"Always", "OnFailure", "Never"}).Draw(t, "restart")
		shape := rapid.SampledFrom([]string{"main=a", "main=a,b", "init=i", "sidecar=side", "init=i sidecar=side main=a,b"}).Draw(t, "shape")
		options := append([]string{"restart=" + restart, "poststart=a", "startup=side", "liveness=a"}, strings.Fields(shape)...)
		w := &world{t: t, now: start, pod: makePod(options), live: map[string]string{}, running: map[string]bool{}}
		w.state = podstate.New(w.pod, podstate.Host{}, w.now)
		w.step(podstate.Recovered{})
		steps := rapid.IntRange(0, 80).Draw(t, "steps")
		for range steps {
			switch action := rapid.IntRange(0, 9).Draw(t, "action"); {
			case action < 6 && len(w.pending) > 0:
				w.answer(rapid.IntRange(0, len(w.pending)-1).Draw(t, "which"), rapid.IntRange(0, 4).Draw(t, "ok") > 0)
			case action == 6:
				for _, c := range []string{"a", "b", "main", "i", "side"} {
					if id := w.live[c]; w.running[id] && rapid.Bool().Draw(t, "ends") {
						w.end(c, id, rapid.IntRange(0, 1).Draw(t, "code"))
						break
					}
				}
			case action == 7:
				w.now = w.now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "seconds")) * time.Second)
				if !w.wake.IsZero() && !w.now.Before(w.wake) {
					w.wake = time.Time{}
					w.step(podstate.Tick{})
				}
			case action == 8 && w.sandbox != "" && rapid.IntRange(0, 3).Draw(t, "lost") == 0:
				w.step(podstate.SandboxLost{ID: w.sandbox})
			case action == 9:
				for _, c := range []string{"a", "side"} {
					if id := w.live[c]; w.running[id] {
						probe := rapid.SampledFrom([]podstate.Probe{podstate.Startup, podstate.Liveness}).Draw(t, "probe")
						w.step(podstate.ProbeChanged{Container: c, ID: id, Probe: probe, OK: probe == podstate.Startup})
					}
				}
			}
		}
		w.delete(int64(rapid.IntRange(0, 60).Draw(t, "grace")))
		for i := 0; !w.deleted; i++ {
			if i > 1000 {
				t.Fatalf("the deleted pod does not end: pending %v, running %v, sandbox %q", w.pending, w.running, w.sandbox)
			}
			if len(w.pending) > 0 {
				w.answer(rapid.IntRange(0, len(w.pending)-1).Draw(t, "which"), i%7 != 3)
				continue
			}
			if w.wake.IsZero() {
				t.Fatalf("nothing is under way and nothing is waited for; running %v, sandbox %q, mounted %v", w.running, w.sandbox, w.mounted)
			}
			w.now = w.now.Add(max(w.wake.Sub(w.now), 0))
			w.wake = time.Time{}
			w.step(podstate.Tick{})
		}
		w.step(podstate.PodRemoved{})
		if !w.state.Gone() {
			t.Fatal("the object is removed and the state is not gone")
		}
	})
}
