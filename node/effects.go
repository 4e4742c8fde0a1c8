package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/kind"
	"sampan/node/podconfig"
	"sampan/node/podstate"
	"sampan/node/volume"
	"sampan/view"
)

// stopMargin is what StopContainer may take beyond the grace period before the call is given up.
const stopMargin = 2 * time.Minute

// The runtime's calls are given up after these times; what became of them is found out by the next attempt.
const (
	sandboxTimeout   = 4 * time.Minute
	containerTimeout = 2 * time.Minute
)

// lastWords is the least time that a container gets between its preStop hook and SIGKILL.
const lastWords = 2 * time.Second

func (w *worker) facts(podIPs []string) podconfig.Facts {
	return podconfig.Facts{
		Snapshot: w.a.cfg.Client.Snapshot(), PodIPs: podIPs, HostIPs: w.a.hostIPs, Allocatable: w.a.capacity,
	}
}

func (w *worker) mountVolumes(ctx context.Context, pod *corev1.Pod) podstate.Event {
	if err := os.MkdirAll(w.a.volumes.PodDir(pod.UID), 0o750); err != nil {
		return podstate.VolumesFailed{Message: fmt.Sprintf("make pod directory: %v", err)}
	}
	if err := w.a.volumes.Mount(ctx, pod, w.facts(nil)); err != nil {
		return podstate.VolumesFailed{Message: err.Error(), Coming: errors.Is(err, volume.ErrUnbound)}
	}
	return podstate.VolumesReady{}
}

func (w *worker) unmountVolumes(pod *corev1.Pod) podstate.Event {
	if err := w.a.volumes.Unmount(pod.UID); err != nil {
		return podstate.VolumesBusy{Message: err.Error()}
	}
	return podstate.VolumesGone{}
}

// volumeUpdate says whether the volumes' content is being renewed, whether it must be again, and whether a change
// came before there was anything to renew.
type volumeUpdate struct{ busy, again, missed bool }

// updateVolumes renews what is made from API objects, if the pod is running.
func (w *worker) updateVolumes(ctx context.Context) {
	w.volumes.missed = !w.state.VolumesMounted()
	if w.volumes.missed {
		return
	}
	if w.volumes.again = w.volumes.busy; w.volumes.busy {
		return
	}
	w.volumes.busy = true
	pod, ips := w.state.Pod(), w.state.PodIPs()
	w.a.effects.Go(func() {
		if err := w.a.volumes.Update(ctx, pod, w.facts(ips)); err != nil && ctx.Err() == nil {
			w.record("", true, "FailedMount", err.Error())
		}
		w.post(volumesUpdated{})
	})
}

// renewTokens arranges for the next renewal of the pod's tokens, whose volumes were made or updated just now.
func (w *worker) renewTokens() {
	if w.tokens != nil {
		w.tokens.Stop()
		w.tokens = nil
	}
	if at := w.a.volumes.NextUpdate(w.uid); !at.IsZero() && !w.state.Gone() {
		w.tokens = time.AfterFunc(max(at.Sub(w.a.cfg.Now()), 0), func() { w.post(tokensDue{}) })
	}
}

// sandboxConfig is needed again for every container of the sandbox; it is a function of its arguments.
func (w *worker) sandboxConfig(pod *corev1.Pod, attempt uint32) *runtimeapi.PodSandboxConfig {
	hostname, domain := podconfig.Hostname(pod, w.a.cfg.ClusterDomain)
	if pod.Spec.SetHostnameAsFQDN != nil && *pod.Spec.SetHostnameAsFQDN && domain != "" {
		hostname += "." + domain
	}
	if pod.Spec.HostNetwork {
		hostname = ""
	}
	var cluster []string
	for _, ip := range w.a.cfg.ClusterDNS {
		cluster = append(cluster, ip.String())
	}
	host := &runtimeapi.DNSConfig{}
	if text, err := os.ReadFile(w.a.cfg.ResolvConf); err == nil {
		host = podconfig.ParseResolvConf(string(text))
	}
	return podconfig.Sandbox(pod, podconfig.SandboxInput{
		Attempt: attempt, Hostname: hostname, LogDir: podconfig.LogDir(w.a.cfg.PodLogs, pod),
		DNS: podconfig.DNS(pod, host, cluster, w.a.cfg.ClusterDomain), SeccompDir: w.a.seccompDir(),
	})
}

func (a *Agent) seccompDir() string { return filepath.Join(a.cfg.Root, "seccomp") }

func (w *worker) runSandbox(ctx context.Context, pod *corev1.Pod, e podstate.RunSandbox) podstate.Event {
	cfg := w.sandboxConfig(pod, e.Attempt)
	if err := os.MkdirAll(cfg.LogDirectory, 0o755); err != nil {
		return podstate.SandboxFailed{Message: fmt.Sprintf("make log directory: %v", err)}
	}
	defer w.a.turn()()
	ctx, cancel := context.WithTimeout(ctx, sandboxTimeout)
	defer cancel()
	handler, err := w.runtimeHandler(pod)
	if err != nil {
		return podstate.SandboxFailed{Message: err.Error()}
	}
	resp, err := w.a.cfg.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: cfg, RuntimeHandler: handler})
	if err != nil {
		return podstate.SandboxFailed{Message: text(err)}
	}
	var ips []string
	if !pod.Spec.HostNetwork {
		st, err := w.a.cfg.Runtime.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: resp.PodSandboxId})
		if err != nil {
			_ = w.a.removeSandbox(ctx, resp.PodSandboxId) // what is told is the first error; the next start of the agent tries again
			return podstate.SandboxFailed{Message: text(err)}
		}
		ips = addresses(st.Status)
	}
	return podstate.SandboxStarted{ID: resp.PodSandboxId, IPs: ips}
}

// runtimeHandler returns the name by which the container runtime knows the pod's runtime class; "" is its default.
func (w *worker) runtimeHandler(pod *corev1.Pod) (string, error) {
	name := pod.Spec.RuntimeClassName
	if name == nil || *name == "" {
		return "", nil
	}
	class, ok := view.Get[*nodev1.RuntimeClass](w.a.cfg.Client.Snapshot(), kind.RuntimeClasses, "", *name)
	if !ok {
		return "", fmt.Errorf("RuntimeClass %q not found", *name)
	}
	return class.Handler, nil
}

// turn waits until few enough starts are under way; the result ends the turn.
func (a *Agent) turn() (end func()) {
	a.starts <- struct{}{}
	return func() { <-a.starts }
}

func (w *worker) stopSandbox(ctx context.Context, e podstate.StopSandbox) podstate.Event {
	ctx, cancel := context.WithTimeout(ctx, sandboxTimeout)
	defer cancel()
	_, err := w.a.cfg.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: e.ID})
	if err != nil && status.Code(err) != codes.NotFound {
		return podstate.SandboxStopped{ID: e.ID, Err: text(err)}
	}
	return podstate.SandboxStopped{ID: e.ID}
}

func (w *worker) removeSandbox(ctx context.Context, e podstate.RemoveSandbox) podstate.Event {
	if err := w.a.removeSandbox(ctx, e.ID); err != nil {
		return podstate.SandboxRemoved{ID: e.ID, Err: err.Error()}
	}
	return podstate.SandboxRemoved{ID: e.ID}
}

func (w *worker) pullImage(ctx context.Context, pod *corev1.Pod, e podstate.PullImage) podstate.Event {
	c := containerOf(pod, e.Container)
	image, message, err := w.ensureImage(ctx, pod, c)
	if err != nil {
		return podstate.ImageFailed{Container: c.Name, Reason: err.reason, Message: err.message}
	}
	w.mu.Lock()
	w.users[c.Name] = image
	w.mu.Unlock()
	return podstate.ImageReady{Container: c.Name, ImageRef: image.Id, Message: message}
}

func (w *worker) createContainer(ctx context.Context, pod *corev1.Pod, e podstate.CreateContainer) podstate.Event {
	ctx, cancel := context.WithTimeout(ctx, containerTimeout)
	defer cancel()
	c := containerOf(pod, e.Container)
	cfg, err := w.containerConfig(pod, c, e)
	if err != nil {
		return podstate.CreateFailed{Container: c.Name, Reason: "CreateContainerConfigError", Message: err.Error()}
	}
	resp, err := w.a.cfg.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		// The attempt is in the sandbox already; here the configuration tells of the log directory only.
		PodSandboxId: e.SandboxID, Config: cfg, SandboxConfig: w.sandboxConfig(pod, 0),
	})
	if err != nil {
		return podstate.CreateFailed{Container: c.Name, Reason: "CreateContainerError", Message: text(err)}
	}
	return podstate.ContainerCreated{Container: c.Name, ID: resp.ContainerId}
}

func (w *worker) containerConfig(pod *corev1.Pod, c *corev1.Container, e podstate.CreateContainer) (*runtimeapi.ContainerConfig, error) {
	facts := w.facts(e.PodIPs)
	env, err := podconfig.Env(pod, c, facts)
	if err != nil {
		return nil, err
	}
	mounts, devices, err := w.mounts(pod, c, env, facts)
	if err != nil {
		return nil, err
	}
	own, err := w.ownFiles(pod, c, e)
	if err != nil {
		return nil, err
	}
	mounts = append(mounts, own.mounts...)
	memory := w.a.capacity[corev1.ResourceMemory]
	in := podconfig.ContainerInput{
		Attempt: e.Attempt, ImageRef: e.ImageRef, Env: env, Mounts: mounts, Devices: devices,
		TerminationPath: own.termination, MemoryCapacity: memory.Value(), SeccompDir: w.a.seccompDir(),
	}
	w.mu.Lock()
	image := w.users[c.Name]
	w.mu.Unlock()
	if image != nil {
		if image.Uid != nil {
			in.ImageUser.UID = &image.Uid.Value
		}
		in.ImageUser.Name = image.Username
	}
	return podconfig.Container(pod, c, in)
}

// ownFiles are the files that the agent itself puts into a container.
type ownFiles struct {
	mounts      []*runtimeapi.Mount
	termination string
}

func (w *worker) ownFiles(pod *corev1.Pod, c *corev1.Container, e podstate.CreateContainer) (ownFiles, error) {
	var own ownFiles
	dir := w.a.volumes.PodDir(pod.UID)
	mounted := func(path string) bool {
		for _, m := range c.VolumeMounts {
			if filepath.Clean(m.MountPath) == path {
				return true
			}
		}
		return false
	}
	if !mounted("/etc/hosts") {
		path := filepath.Join(dir, "etc-hosts")
		node := ""
		if pod.Spec.HostNetwork {
			if data, err := os.ReadFile("/etc/hosts"); err == nil {
				node = string(data)
			}
		}
		hostname, domain := podconfig.Hostname(pod, w.a.cfg.ClusterDomain)
		text := podconfig.HostsFile(pod, node, hostname, domain, e.PodIPs)
		// One file for all containers of the pod; it changes with the sandbox only.
		if old, err := os.ReadFile(path); err != nil || string(old) != text {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return own, fmt.Errorf("write /etc/hosts: %w", err)
			}
		}
		own.mounts = append(own.mounts, &runtimeapi.Mount{ContainerPath: "/etc/hosts", HostPath: path})
	}
	if c.TerminationMessagePath != "" && !mounted(c.TerminationMessagePath) {
		path := filepath.Join(dir, "termination-"+c.Name+"-"+strconv.FormatUint(uint64(e.Attempt), 10))
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			return own, fmt.Errorf("make termination message file: %w", err)
		}
		if err := os.Chmod(path, 0o666); err != nil { // beyond the umask: the container may have any user
			return own, fmt.Errorf("make termination message file: %w", err)
		}
		own.termination = path
		own.mounts = append(own.mounts, &runtimeapi.Mount{ContainerPath: c.TerminationMessagePath, HostPath: path})
	}
	return own, nil
}

func (w *worker) startContainer(ctx context.Context, e podstate.StartContainer) podstate.Event {
	defer w.a.turn()()
	ctx, cancel := context.WithTimeout(ctx, containerTimeout)
	defer cancel()
	if _, err := w.a.cfg.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: e.ID}); err != nil {
		return podstate.StartFailed{Container: e.Container, ID: e.ID, Message: text(err)}
	}
	resp, err := w.a.cfg.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: e.ID})
	if err != nil {
		return podstate.ContainerStarted{Container: e.Container, ID: e.ID, At: w.a.cfg.Now()}
	}
	if resp.Status.State == runtimeapi.ContainerState_CONTAINER_EXITED {
		w.post(podstate.ContainerExited{Container: e.Container, ID: e.ID, Exit: exitOf(resp.Status)})
	}
	w.a.watchLog(runningLog{e.ID, resp.Status.LogPath})
	return podstate.ContainerStarted{
		Container: e.Container, ID: e.ID, At: instant(resp.Status.StartedAt), ImageID: imageIDOf(resp.Status),
	}
}

// stopContainer replaces a stop of the same container that is under way.
func (w *worker) stopContainer(ctx context.Context, pod *corev1.Pod, e podstate.StopContainer) {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	if earlier := w.stops[e.Container]; earlier != nil {
		earlier()
	}
	w.stops[e.Container] = cancel
	w.stopN[e.Container]++
	n := w.stopN[e.Container]
	w.mu.Unlock()
	w.a.effects.Go(func() {
		defer cancel()
		err := w.halt(ctx, pod, e)
		w.mu.Lock()
		newest := w.stopN[e.Container] == n
		if newest {
			delete(w.stops, e.Container)
		}
		w.mu.Unlock()
		if !newest {
			return
		}
		if ev := w.lookAtExit(ctx, e.ID); ev != nil {
			w.post(ev)
		}
		done := podstate.StopDone{Container: e.Container, ID: e.ID}
		if err != nil {
			done.Err = text(err)
		}
		w.post(done)
	})
}

func (w *worker) halt(ctx context.Context, pod *corev1.Pod, e podstate.StopContainer) error {
	grace := e.Grace
	if c := containerOf(pod, e.Container); c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && grace > 0 {
		began := w.a.cfg.Now()
		hookCtx, cancel := context.WithTimeout(ctx, grace)
		err := w.runHook(hookCtx, pod, c, e.ID, c.Lifecycle.PreStop)
		cancel()
		if err != nil && ctx.Err() == nil {
			w.record(fieldPath(pod, c.Name), true, "FailedPreStopHook", "PreStopHook failed")
		}
		grace = max(grace-w.a.cfg.Now().Sub(began), lastWords)
	}
	ctx, cancel := context.WithTimeout(ctx, grace+stopMargin)
	defer cancel()
	timeout := int64((grace + time.Second - 1) / time.Second)
	_, err := w.a.cfg.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: e.ID, Timeout: timeout})
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

func (w *worker) removeContainer(ctx context.Context, pod *corev1.Pod, e podstate.RemoveContainer) {
	_, err := w.a.cfg.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: e.ID})
	if err != nil && status.Code(err) != codes.NotFound && ctx.Err() == nil {
		w.a.cfg.Log.Warn("old container not removed; it goes with its sandbox", "pod", w.key.String(), "container", e.Container, "error", err)
	}
	w.removeLog(pod, e.Container, e.Attempt)
}

// text returns a CRI error without the wrapping of gRPC.
func text(err error) string {
	if st, ok := status.FromError(err); ok {
		return st.Message()
	}
	return err.Error()
}
