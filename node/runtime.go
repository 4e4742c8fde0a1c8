package node

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	kubelettypes "k8s.io/kubelet/pkg/types"

	"sampan/node/podconfig"
	"sampan/node/podstate"
)

// orphanGrace is what containers get whose pod was deleted from the API while no agent ran.
const orphanGrace = 30 * time.Second

// reopenDelay is how long the agent waits before it opens the runtime's event stream again.
const reopenDelay = time.Second

type eventStream = runtimeapi.RuntimeService_GetContainerEventsClient

// runtimePod is what the runtime has of one pod.
type runtimePod struct {
	sandboxes  []podstate.Sandbox
	containers []podstate.Instance
}

type runtimePods map[types.UID]*runtimePod

func (r runtimePods) of(uid types.UID) runtimePod {
	if p := r[uid]; p != nil {
		return *p
	}
	return runtimePod{}
}

func (r runtimePods) at(uid string) *runtimePod {
	p := r[types.UID(uid)]
	if p == nil {
		p = &runtimePod{}
		r[types.UID(uid)] = p
	}
	return p
}

func (a *Agent) openEvents(ctx context.Context) (eventStream, error) {
	stream, err := a.cfg.Runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		return nil, fmt.Errorf("node agent: open the container runtime's event stream: %w", err)
	}
	return stream, nil
}

// listRuntime asks the runtime for everything that it has. It is done at the start, and after the event stream
// was interrupted.
func (a *Agent) listRuntime(ctx context.Context) (runtimePods, error) {
	pods := runtimePods{}
	sandboxes, err := a.cfg.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, fmt.Errorf("node agent: list sandboxes: %w", err)
	}
	sort.SliceStable(sandboxes.Items, func(i, j int) bool {
		return sandboxes.Items[i].CreatedAt > sandboxes.Items[j].CreatedAt
	})
	for _, item := range sandboxes.Items {
		st, err := a.cfg.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: item.Id})
		if status.Code(err) == codes.NotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("node agent: look at sandbox %s: %w", item.Id, err)
		}
		p := pods.at(item.Metadata.GetUid())
		p.sandboxes = append(p.sandboxes, sandboxOf(st.Status))
	}
	containers, err := a.cfg.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("node agent: list containers: %w", err)
	}
	for _, item := range containers.Containers {
		st, err := a.cfg.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: item.Id})
		if status.Code(err) == codes.NotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("node agent: look at container %s: %w", item.Id, err)
		}
		p := pods.at(item.Labels[kubelettypes.KubernetesPodUIDLabel])
		p.containers = append(p.containers, instanceOf(st.Status, item.PodSandboxId))
		if st.Status.State == runtimeapi.ContainerState_CONTAINER_RUNNING {
			a.watchLog(runningLog{item.Id, st.Status.LogPath})
		}
	}
	return pods, nil
}

func sandboxOf(st *runtimeapi.PodSandboxStatus) podstate.Sandbox {
	return podstate.Sandbox{
		ID: st.Id, Attempt: st.Metadata.GetAttempt(),
		Ready: st.State == runtimeapi.PodSandboxState_SANDBOX_READY, IPs: addresses(st),
	}
}

func addresses(st *runtimeapi.PodSandboxStatus) []string {
	var ips []string
	if ip := st.GetNetwork().GetIp(); ip != "" {
		ips = append(ips, ip)
	}
	for _, ip := range st.GetNetwork().GetAdditionalIps() {
		ips = append(ips, ip.Ip)
	}
	return ips
}

func instanceOf(st *runtimeapi.ContainerStatus, sandbox string) podstate.Instance {
	inst := podstate.Instance{
		ID: st.Id, SandboxID: sandbox, Container: st.Metadata.GetName(), Attempt: st.Metadata.GetAttempt(),
		StartedAt: instant(st.StartedAt), ImageID: imageIDOf(st), Image: st.Annotations[podconfig.AnnotationImage],
	}
	switch st.State {
	case runtimeapi.ContainerState_CONTAINER_CREATED:
		inst.State = podstate.InstanceCreated
	case runtimeapi.ContainerState_CONTAINER_RUNNING:
		inst.State = podstate.InstanceRunning
	default:
		inst.State = podstate.InstanceExited
		exit := exitOf(st)
		inst.Exit = &exit
	}
	return inst
}

// imageIDOf returns what a pod's status calls imageID: the reference that the runtime resolved.
func imageIDOf(st *runtimeapi.ContainerStatus) string {
	if st.ImageRef != "" {
		return st.ImageRef
	}
	return st.ImageId
}

func exitOf(st *runtimeapi.ContainerStatus) podstate.Exit {
	return podstate.Exit{
		Code: st.ExitCode, Reason: st.Reason, Message: terminationMessage(st),
		StartedAt: instant(st.StartedAt), FinishedAt: instant(st.FinishedAt),
	}
}

func instant(nanos int64) time.Time {
	if nanos <= 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

// followRuntime passes on what happens to containers. When the stream breaks it is opened again, and what was
// missed meanwhile is found by looking once.
func (a *Agent) followRuntime(ctx context.Context, stream eventStream) error {
	for {
		err := a.receive(ctx, stream)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if status.Code(err) == codes.Unimplemented {
			return errors.New("node agent: the container runtime offers no container events (CRI GetContainerEvents); " +
				"use a runtime that does, such as containerd 1.7 or later")
		}
		a.cfg.Log.Warn("the container runtime's event stream ended, opening it again", "error", err)
		for {
			sleep(ctx, reopenDelay)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if stream, err = a.openEvents(ctx); err != nil {
				a.setHealth(ctx, err)
				continue
			}
			if err = a.relist(ctx); err == nil {
				break
			}
			a.setHealth(ctx, err)
		}
		a.setHealth(ctx, nil)
	}
}

func (a *Agent) relist(ctx context.Context) error {
	known, err := a.listRuntime(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for uid, w := range a.workers {
		p := known.of(uid)
		w.post(podstate.Recovered{Sandboxes: p.sandboxes, Containers: p.containers})
	}
	return nil
}

func (a *Agent) receive(ctx context.Context, stream eventStream) error {
	for {
		ev, err := stream.Recv()
		if err != nil {
			return err
		}
		sb := ev.PodSandboxStatus
		w := a.worker(types.UID(sb.GetMetadata().GetUid()))
		if w == nil || ev.ContainerEventType != runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT {
			continue
		}
		if ev.ContainerId == sb.Id {
			w.post(podstate.SandboxLost{ID: sb.Id})
			continue
		}
		if st := exited(ev); st != nil {
			w.answer(func() podstate.Event {
				return podstate.ContainerExited{Container: st.Metadata.GetName(), ID: st.Id, Exit: exitOf(st)}
			})
			continue
		}
		w.answer(func() podstate.Event { return w.lookAtExit(ctx, ev.ContainerId) })
	}
}

func exited(ev *runtimeapi.ContainerEventResponse) *runtimeapi.ContainerStatus {
	for _, st := range ev.ContainersStatuses {
		if st.Id == ev.ContainerId && st.State == runtimeapi.ContainerState_CONTAINER_EXITED {
			return st
		}
	}
	return nil
}

// lookAtExit asks how a container ended whose event did not say. It returns nil if it has not.
func (w *worker) lookAtExit(ctx context.Context, id string) podstate.Event {
	resp, err := w.a.cfg.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
	if err != nil || resp.Status.State != runtimeapi.ContainerState_CONTAINER_EXITED {
		return nil
	}
	return podstate.ContainerExited{Container: resp.Status.Metadata.GetName(), ID: id, Exit: exitOf(resp.Status)}
}

// cleanUp removes what belongs to no pod of the API any more.
func (a *Agent) cleanUp(ctx context.Context, orphans runtimePods) {
	for uid, p := range orphans {
		a.effects.Go(func() {
			if err := a.removeOrphan(ctx, uid, p); err != nil && ctx.Err() == nil {
				a.cfg.Log.Error("remains of a deleted pod not removed", "uid", uid, "error", err)
			}
		})
	}
	a.effects.Go(func() {
		err := a.volumes.Orphans(func(uid types.UID) bool { return a.worker(uid) != nil || orphans[uid] != nil })
		if err != nil {
			a.cfg.Log.Error("directories of deleted pods not removed", "error", err)
		}
	})
	a.effects.Go(func() { a.removeOrphanLogs() })
}

func (a *Agent) removeOrphan(ctx context.Context, uid types.UID, p *runtimePod) error {
	var stops []chan struct{}
	for _, c := range p.containers {
		if c.State != podstate.InstanceRunning {
			continue
		}
		done := make(chan struct{})
		stops = append(stops, done)
		a.effects.Go(func() {
			defer close(done)
			// What cannot be stopped with grace is killed with its sandbox below.
			_, _ = a.cfg.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: c.ID, Timeout: int64(orphanGrace / time.Second)})
		})
	}
	for _, done := range stops {
		<-done
	}
	for _, sb := range p.sandboxes {
		if err := a.removeSandbox(ctx, sb.ID); err != nil {
			return err
		}
	}
	return a.volumes.Unmount(uid)
}

func (a *Agent) removeSandbox(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, sandboxTimeout)
	defer cancel()
	_, err := a.cfg.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("stop sandbox %s: %w", id, err)
	}
	_, err = a.cfg.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("remove sandbox %s: %w", id, err)
	}
	return nil
}
