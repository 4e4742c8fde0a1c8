package node

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/client/events"
	"sampan/kind"
	"sampan/node/podstate"
	"sampan/view"
)

// worker is the goroutine of one pod. It steps the pod's state with the events of its inbox, one after the other,
// and starts effects, whose goroutines post their answers.
type worker struct {
	a    *Agent
	uid  types.UID
	key  view.Key
	refs map[view.Key]struct{}

	wake chan struct{} // holds a token while the inbox is not empty
	// life is the agent's context, for work that others wait for too. It outlives the pod.
	life context.Context

	mu        sync.Mutex // guards what follows
	inbox     []any
	state     podstate.State
	users     map[string]*runtimeapi.Image  // by container: what the image service said of its image
	stops     map[string]context.CancelFunc // by container: the StopContainer under way
	stopN     map[string]int
	followers []follower // of logs

	// The rest belongs to run's goroutine.
	known    runtimePod
	probes   map[probeKey]context.CancelFunc
	timer    *time.Timer
	tokens   *time.Timer // until the pod's tokens are due; nil if it has none
	status   statusWriter
	volumes  volumeUpdate
	finish   bool // FinishDeletion waits for the last status
	finished bool
}

// What a worker's inbox holds beside podstate.Events.
type (
	// newVersion is a version of the API object, podGone its end.
	newVersion struct{ pod *corev1.Pod }
	podGone    struct{}
	// refsChanged says that an object that the pod refers to has changed.
	refsChanged struct{}
	// tokensDue says that a token of the pod must be renewed. statusWritten and volumesUpdated end what they name.
	statusWritten  struct{ err error }
	volumesUpdated struct{}
	tokensDue      struct{}
	statusRetry    struct{}
	deletionFailed struct{ err error }
)

func newWorker(a *Agent, pod *corev1.Pod, known runtimePod) *worker {
	host := podstate.Host{IPs: a.hostIPs, IDPrefix: a.idPrefix}
	return &worker{
		a: a, uid: pod.UID, key: view.KeyOf(kind.Pods, pod), refs: references(pod),
		wake:  make(chan struct{}, 1),
		state: podstate.New(pod, host, a.cfg.Now()),
		users: map[string]*runtimeapi.Image{}, stops: map[string]context.CancelFunc{}, stopN: map[string]int{},
		known: known, probes: map[probeKey]context.CancelFunc{},
	}
}

// post puts a message in the inbox. It never blocks.
func (w *worker) post(m any) {
	w.mu.Lock()
	w.inbox = append(w.inbox, m)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// current returns the state, for readers outside of run's goroutine.
func (w *worker) current() podstate.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// run works until nothing is left of the pod or ctx ends.
func (w *worker) run(ctx context.Context) {
	w.life = ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.timer = time.NewTimer(time.Hour)
	w.timer.Stop()
	defer w.timer.Stop()
	defer func() {
		if w.tokens != nil {
			w.tokens.Stop()
		}
	}()
	w.step(ctx, podstate.Recovered{Sandboxes: w.known.sandboxes, Containers: w.known.containers})
	w.known = runtimePod{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.timer.C:
			w.step(ctx, podstate.Tick{})
		case <-w.wake:
			w.mu.Lock()
			batch := w.inbox
			w.inbox = nil
			w.mu.Unlock()
			for _, m := range batch {
				w.take(ctx, m)
			}
		}
		w.flush(ctx)
		if w.state.Gone() && w.status.idle() {
			w.removeLogs()
			w.a.forget(w)
			return
		}
	}
}

func (w *worker) take(ctx context.Context, m any) {
	switch m := m.(type) {
	case newVersion:
		old := w.state.Pod()
		w.step(ctx, podstate.PodChanged{Pod: m.pod})
		if !maps.Equal(old.Labels, m.pod.Labels) || !maps.Equal(old.Annotations, m.pod.Annotations) {
			w.updateVolumes(ctx) // the downward API shows them
		}
	case podGone:
		w.status.drop()
		w.step(ctx, podstate.PodRemoved{})
	case refsChanged:
		w.step(ctx, podstate.Retry{})
		w.updateVolumes(ctx)
	case statusWritten:
		w.statusWritten(ctx, m.err)
	case statusRetry:
		w.status.waiting = false
	case volumesUpdated:
		w.volumes.busy = false
		if w.volumes.again {
			w.updateVolumes(ctx)
		} else {
			w.renewTokens()
		}
	case tokensDue:
		w.updateVolumes(ctx)
	case deletionFailed:
		w.a.cfg.Log.Warn("pod not deleted from the API, trying again", "pod", w.key.String(), "error", m.err)
		w.finished = false
	case podstate.VolumesReady:
		w.step(ctx, m)
		w.renewTokens()
		if w.volumes.missed { // something changed while they were made
			w.updateVolumes(ctx)
		}
	case podstate.Event:
		w.step(ctx, m)
	}
}

// step is the one place where the state moves.
func (w *worker) step(ctx context.Context, ev podstate.Event) {
	next, effects := podstate.Step(w.state, ev, w.a.cfg.Now())
	w.mu.Lock()
	w.state = next
	if len(w.followers) > 0 {
		w.releaseFollowers()
	}
	w.mu.Unlock()
	for _, e := range effects {
		w.carryOut(ctx, e)
	}
}

// carryOut starts an effect. Those that take time run in a goroutine and post their answer.
func (w *worker) carryOut(ctx context.Context, e podstate.Effect) {
	pod := w.state.Pod()
	switch e := e.(type) {
	case podstate.MountVolumes:
		w.answer(func() podstate.Event { return w.mountVolumes(ctx, pod) })
	case podstate.UnmountVolumes:
		w.answer(func() podstate.Event { return w.unmountVolumes(pod) })
	case podstate.RunSandbox:
		w.answer(func() podstate.Event { return w.runSandbox(ctx, pod, e) })
	case podstate.StopSandbox:
		w.answer(func() podstate.Event { return w.stopSandbox(ctx, e) })
	case podstate.RemoveSandbox:
		w.answer(func() podstate.Event { return w.removeSandbox(ctx, e) })
	case podstate.PullImage:
		w.answer(func() podstate.Event { return w.pullImage(ctx, pod, e) })
	case podstate.CreateContainer:
		w.answer(func() podstate.Event { return w.createContainer(ctx, pod, e) })
	case podstate.StartContainer:
		w.answer(func() podstate.Event { return w.startContainer(ctx, e) })
	case podstate.RunPostStart:
		w.answer(func() podstate.Event { return w.postStart(ctx, pod, e) })
	case podstate.StopContainer:
		w.stopContainer(ctx, pod, e)
	case podstate.RemoveContainer:
		w.a.effects.Go(func() { w.removeContainer(ctx, pod, e) })
	case podstate.StartProbes:
		w.startProbes(ctx, pod, e)
	case podstate.StopProbes:
		w.stopProbes(e)
	case podstate.WriteStatus:
		w.status.next = &e.Status
	case podstate.WakeAt:
		w.timer.Reset(max(e.Time.Sub(w.a.cfg.Now()), 0))
	case podstate.FinishDeletion:
		w.finish = true
	case podstate.Emit:
		w.emit(e)
	}
}

// answer runs f beside the worker and posts what it returns.
func (w *worker) answer(f func() podstate.Event) {
	w.a.effects.Go(func() { w.post(f()) })
}

func (w *worker) emit(e podstate.Emit) {
	path := ""
	if e.Container != "" {
		path = fieldPath(w.state.Pod(), e.Container)
	}
	w.record(path, e.Warning, e.Reason, e.Message)
}

func (w *worker) record(path string, warning bool, reason, message string) {
	if w.a.cfg.Events == nil {
		return
	}
	w.a.cfg.Events.Record(events.Event{
		About: w.key, UID: w.uid, FieldPath: path, Component: "kubelet", Host: w.a.cfg.Name,
		Warning: warning, Reason: reason, Message: message,
	})
}

func fieldPath(pod *corev1.Pod, container string) string {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == container {
			return "spec.initContainers{" + container + "}"
		}
	}
	return "spec.containers{" + container + "}"
}

func containerOf(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}
