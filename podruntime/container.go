package podruntime

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// container is a container that the runtime knows. id and config never change; the rest is guarded by
// Server.mu.
type container struct {
	id     string
	config *runtimeapi.ContainerConfig

	rec  containerRecord
	busy chan struct{} // holds a token while StartContainer or RemoveContainer is at work
	// exited is closed when the container's process has ended.
	exited chan struct{}
	// early is an exit that came before StartContainer knew that the container ran.
	early *Exit
}

func newContainer(id string) *container {
	return &container{id: id, busy: make(chan struct{}, 1), exited: make(chan struct{})}
}

func containerName(sandbox string, m *runtimeapi.ContainerMetadata) string {
	return fmt.Sprintf("%s_%s_%d", sandbox, m.GetName(), m.GetAttempt())
}

// CreateContainer prepares a container in a sandbox that is ready.
func (s *Server) CreateContainer(ctx context.Context, req *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	cfg := req.GetConfig()
	if cfg.GetMetadata() == nil {
		return nil, status.Error(codes.InvalidArgument, "container config must include metadata")
	}
	sb, err := s.findSandbox(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	live, state := sb.live, sb.rec.State
	s.mu.Unlock()
	if state != sandboxReady {
		return nil, status.Errorf(codes.FailedPrecondition, "sandbox %s is not running", sb.id)
	}
	img, err := s.cfg.Images.Open(ctx, cfg.GetImage().GetImage())
	if errors.Is(err, ErrImageNotPresent) {
		return nil, status.Errorf(codes.NotFound, "image %q: %v", cfg.GetImage().GetImage(), err)
	}
	if err != nil {
		return nil, wrap(err, "open image %q", cfg.GetImage().GetImage())
	}
	c := newContainer(newID())
	c.config = cfg
	spec, err := s.containerSpec(c.id, sb, live, cfg, img)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeConfig(cfg)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "container config: %v", err)
	}
	c.rec = containerRecord{Sandbox: sb.id, Config: encoded, Spec: spec, ImageID: img.ID,
		StopSignal: stopSignal(cfg.StopSignal, img.Config.StopSignal), State: containerMaking, CreatedAt: time.Now().UnixNano()}

	name := containerName(sb.id, cfg.Metadata)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	if other, taken := s.names[name]; taken {
		s.mu.Unlock()
		return nil, status.Errorf(codes.AlreadyExists, "container name %q is reserved for %q", name, other)
	}
	s.names[name] = c.id
	s.containers[c.id] = c
	err = s.saveContainer(c)
	s.mu.Unlock()
	if err == nil {
		err = s.driver.CreateContainer(ctx, spec)
	}
	s.mu.Lock()
	if err == nil {
		c.rec.State = containerCreated
		err = s.saveContainer(c)
	}
	s.mu.Unlock()
	if err != nil {
		if undo := s.forgetContainer(context.WithoutCancel(ctx), c); undo != nil {
			err = errors.Join(err, undo)
		}
		return nil, wrap(err, "create container %s", cfg.Metadata.Name)
	}
	s.publish(sb, c.id, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	return &runtimeapi.CreateContainerResponse{ContainerId: c.id}, nil
}

func (s *Server) containerSpec(id string, sb *sandbox, live Sandbox, cfg *runtimeapi.ContainerConfig, img Image) (ContainerSpec, error) {
	out, err := Spec(SpecInput{
		ID: id, Container: cfg, Sandbox: sb.config, Pod: sb.rec.Spec, Live: live, Image: img.Config, Facts: s.facts,
	})
	if err != nil {
		return ContainerSpec{}, err
	}
	out.Layers = img.Layers
	if cfg.LogPath != "" && sb.config.LogDirectory != "" {
		out.LogPath = path.Join(sb.config.LogDirectory, cfg.LogPath)
	}
	return out, nil
}

// StartContainer runs a created container.
func (s *Server) StartContainer(ctx context.Context, req *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	c, err := s.findContainer(req.ContainerId)
	if err != nil {
		return nil, err
	}
	if err := lock(ctx, c.busy); err != nil {
		return nil, err
	}
	defer unlock(c.busy)
	s.mu.Lock()
	if c.rec.State != containerCreated {
		state := c.rec.State
		s.mu.Unlock()
		return nil, status.Errorf(codes.FailedPrecondition, "container %s is in state %s, not created", c.id, state)
	}
	sb := s.sandboxes[c.rec.Sandbox]
	if sb == nil || sb.rec.State != sandboxReady {
		s.mu.Unlock()
		return nil, status.Errorf(codes.FailedPrecondition, "sandbox %s is not running", c.rec.Sandbox)
	}
	c.rec.State = containerStarting
	err = s.saveContainer(c)
	ref := c.rec.Spec.ContainerRef
	s.mu.Unlock()
	if err != nil {
		return nil, wrap(err, "start container %s", c.id)
	}

	// A start is short, and one that was given up half way could still bring up a container that nobody expects.
	started, err := s.driver.StartContainer(context.WithoutCancel(ctx), ref)
	if err != nil {
		// As other runtimes do it, a container that could not be started has exited: its status says why.
		_ = s.driver.KillContainer(context.WithoutCancel(ctx), ref) // what may have begun to run; removal does it again
		code := 128
		if strings.Contains(err.Error(), "executable file not found") || strings.Contains(err.Error(), "no such file or directory") {
			code = 127
		}
		s.finish(c, Exit{Sandbox: ref.Sandbox, Container: c.id, Code: code, At: time.Now()}, "StartError", err.Error())
		return nil, wrap(err, "start container %s", c.config.Metadata.Name)
	}
	s.mu.Lock()
	if c.rec.State != containerStarting {
		s.mu.Unlock()
		_ = s.driver.KillContainer(context.WithoutCancel(ctx), ref) // it came up after the pod's end; removal does it again
		return nil, status.Errorf(codes.FailedPrecondition, "start container %s: sandbox %s ended meanwhile", c.config.Metadata.Name, ref.Sandbox)
	}
	c.rec.State = containerRunning
	c.rec.StartedAt = started.At.UnixNano()
	err = s.saveContainer(c)
	early := c.early
	s.publishLocked(sb, c.id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	s.mu.Unlock()
	if early != nil {
		s.finish(c, *early, "", "")
	}
	if err != nil {
		return nil, wrap(err, "start container %s", c.id)
	}
	return &runtimeapi.StartContainerResponse{}, nil
}

// exited is the driver's word that a container's first process, or a pause process, has ended.
func (s *Server) exited(e Exit) {
	if e.Container == "" {
		s.pauseExited(e)
		return
	}
	s.mu.Lock()
	c := s.containers[e.Container]
	if c == nil {
		s.mu.Unlock()
		return // removed meanwhile
	}
	if c.rec.State == containerStarting {
		c.early = &e
		s.mu.Unlock()
		return
	}
	shared, ref := c.rec.Spec.SharedPID, c.rec.Spec.ContainerRef
	s.mu.Unlock()
	if !shared {
		s.finish(c, e, "", "")
		return
	}
	// No PID namespace ended with its first process, so the others of the container would live on.
	go func() {
		if err := s.driver.KillContainer(context.Background(), ref); err != nil {
			s.log.Error("kill what a container left", "container", c.id, "error", err)
		}
		s.finish(c, e, "", "")
	}()
}

// finish records how a container ended, once. reason "" is derived from the exit.
func (s *Server) finish(c *container, e Exit, reason, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c.rec.State {
	case containerRunning, containerStarting:
	default:
		return
	}
	if reason == "" {
		reason = exitReason(e)
	}
	c.rec.State = containerExited
	c.rec.FinishedAt = e.At.UnixNano()
	c.rec.ExitCode = e.Code
	c.rec.Reason = reason
	c.rec.Message = message
	if err := s.saveContainer(c); err != nil {
		// The driver keeps the exit too, so that the next server learns it from there.
		s.log.Error("exit of a container was not recorded", "container", c.id, "error", err)
	}
	close(c.exited)
	if sb := s.sandboxes[c.rec.Sandbox]; sb != nil {
		s.publishLocked(sb, c.id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
}

func exitReason(e Exit) string {
	switch {
	case e.Unknown:
		return "Unknown"
	case e.OOMKilled:
		return "OOMKilled"
	case e.Code == 0:
		return "Completed"
	}
	return "Error"
}

// pauseExited is what follows when a pause process ends that nobody stopped: its containers must not run on
// without it, and the pod is not ready any more.
func (s *Server) pauseExited(e Exit) {
	s.mu.Lock()
	sb := s.sandboxes[e.Sandbox]
	if sb == nil || !sb.paused {
		s.mu.Unlock()
		return
	}
	sb.paused = false
	s.mu.Unlock()
	go func() {
		sb.busy <- struct{}{}
		defer unlock(sb.busy)
		s.lost(context.Background(), sb, e.At)
	}()
}

// lost ends a pod whose pause process is gone. It needs the sandbox's lock. The sandbox's end is told before those of its
// containers: who heard of them first would start them again in it.
func (s *Server) lost(ctx context.Context, sb *sandbox, at time.Time) {
	s.mu.Lock()
	was := sb.rec.State
	if was == sandboxRemoving {
		s.mu.Unlock()
		return
	}
	if was == sandboxReady {
		sb.rec.State = sandboxNotReady
	}
	if err := s.saveSandbox(sb); err != nil {
		s.log.Error("state of a pod was not recorded", "sandbox", sb.id, "error", err)
	}
	if was == sandboxReady {
		s.publishLocked(sb, sb.id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
	s.mu.Unlock()
	if err := s.driver.KillSandbox(ctx, sb.rec.Spec); err != nil {
		s.log.Error("kill what is left of a pod", "sandbox", sb.id, "error", err)
	}
	if err := s.detach(ctx, sb); err != nil {
		s.log.Error("release the network of a lost pod", "sandbox", sb.id, "error", err)
	}
	all := s.containersOf(sb.id)
	ids := make([]string, len(all))
	for i, c := range all {
		ids[i] = c.id
	}
	known := map[string]Exit{}
	for _, x := range s.driver.LostExits(sb.id, ids) {
		known[x.Container] = x
	}
	for _, c := range all {
		x, ok := known[c.id]
		if !ok {
			x = Exit{Sandbox: sb.id, Container: c.id, Code: 255, At: at, Unknown: true}
		}
		s.finish(c, x, "", "")
	}
}

// StopContainer sends the stop signal, waits for the grace period, and kills what is left.
func (s *Server) StopContainer(ctx context.Context, req *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	c, err := s.findContainer(req.ContainerId)
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.StopContainerResponse{}, nil // it is idempotent
	}
	if err != nil {
		return nil, err
	}
	if err := s.stop(ctx, c, time.Duration(req.Timeout)*time.Second); err != nil {
		return nil, wrap(err, "stop container %s", c.id)
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

// stop returns when the container's process is gone. It takes no lock, so that a second stop with a shorter
// grace period is not held up by the first.
func (s *Server) stop(ctx context.Context, c *container, grace time.Duration) error {
	s.mu.Lock()
	state, ref, signal := c.rec.State, c.rec.Spec.ContainerRef, c.rec.StopSignal
	s.mu.Unlock()
	switch state {
	case containerRunning:
	case containerStarting:
		// Let the start come to its end first: what it makes must be ended.
		if err := lock(ctx, c.busy); err != nil {
			return err
		}
		unlock(c.busy)
		return s.stop(ctx, c, grace)
	default:
		return nil
	}
	if grace > 0 {
		if err := s.driver.SignalContainer(ctx, ref, signal); err != nil && !errors.Is(err, ErrGone) {
			return fmt.Errorf("send signal %d: %w", signal, err)
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-c.exited:
			return nil
		case <-timer.C:
		case <-ctx.Done():
			// The caller's patience ended, not the container's grace: the caller decides what is next.
			return ctx.Err()
		}
	}
	if err := s.driver.KillContainer(ctx, ref); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RemoveContainer removes a container, killing it first if it runs. It is idempotent.
func (s *Server) RemoveContainer(ctx context.Context, req *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	c, err := s.findContainer(req.ContainerId)
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.RemoveContainerResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := s.remove(ctx, c); err != nil {
		return nil, wrap(err, "remove container %s", c.id)
	}
	return &runtimeapi.RemoveContainerResponse{}, nil
}

func (s *Server) remove(ctx context.Context, c *container) error {
	if err := s.stop(ctx, c, 0); err != nil {
		return err
	}
	if err := lock(ctx, c.busy); err != nil {
		return err
	}
	defer unlock(c.busy)
	s.mu.Lock()
	if s.containers[c.id] == nil {
		s.mu.Unlock()
		return nil // another call was faster
	}
	sb := s.sandboxes[c.rec.Sandbox]
	s.mu.Unlock()
	if err := s.forgetContainer(ctx, c); err != nil {
		return err
	}
	if sb != nil {
		s.publish(sb, c.id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	}
	return nil
}

// forgetContainer removes everything of a container, its record last.
func (s *Server) forgetContainer(ctx context.Context, c *container) error {
	s.mu.Lock()
	c.rec.State = containerRemoving
	err := s.saveContainer(c)
	ref := c.rec.Spec.ContainerRef
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.driver.DestroyContainer(ctx, ref); err != nil {
		return err
	}
	if err := s.driver.DeleteRecord(containerPrefix + c.id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.containers, c.id)
	delete(s.names, containerName(c.rec.Sandbox, c.config.Metadata))
	return nil
}

func (s *Server) findContainer(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return find(s.containers, id, "container")
}

// running finds a container that runs.
func (s *Server) running(id string) (*container, ContainerRef, error) {
	c, err := s.findContainer(id)
	if err != nil {
		return nil, ContainerRef{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.rec.State != containerRunning {
		return nil, ContainerRef{}, status.Errorf(codes.FailedPrecondition, "container %s is in state %s, not running", c.id, c.rec.State)
	}
	return c, c.rec.Spec.ContainerRef, nil
}

// ReopenContainerLog lets the container's log go on in a new file of the same path, after the caller moved
// the old one away.
func (s *Server) ReopenContainerLog(ctx context.Context, req *runtimeapi.ReopenContainerLogRequest) (*runtimeapi.ReopenContainerLogResponse, error) {
	_, ref, err := s.running(req.ContainerId)
	if err != nil {
		return nil, err
	}
	if err := s.driver.ReopenLog(ctx, ref); err != nil {
		return nil, wrap(err, "reopen the log of container %s", ref.ID)
	}
	return &runtimeapi.ReopenContainerLogResponse{}, nil
}

// UpdateContainerResources changes limits of a running container.
func (s *Server) UpdateContainerResources(ctx context.Context, req *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	_, ref, err := s.running(req.ContainerId)
	if err != nil {
		return nil, err
	}
	res, err := resources(req.GetLinux(), s.facts)
	if err != nil {
		return nil, err
	}
	if err := s.driver.UpdateContainer(ctx, ref, res); err != nil {
		return nil, wrap(err, "update container %s", ref.ID)
	}
	return &runtimeapi.UpdateContainerResourcesResponse{}, nil
}

// stopSignal is the pod's choice, else the image's, else SIGTERM.
func stopSignal(pod runtimeapi.Signal, image string) int {
	name := image
	if pod != runtimeapi.Signal_SIGNAL_RUNTIME_DEFAULT {
		name = strings.TrimPrefix(pod.String(), "SIGNAL_")
	}
	if n, ok := signalNumber(name); ok {
		return n
	}
	return int(unix.SIGTERM)
}

// signalNumber understands "SIGTERM", "TERM", "15", "SIGRTMIN+3", "SIGRTMAX-1", and CRI's "SIGRTMINPLUS3".
func signalNumber(name string) (int, bool) {
	const rtmin, rtmax = 34, 64 // as glibc counts them
	name = strings.ToUpper(strings.TrimSpace(name))
	var n int
	if _, err := fmt.Sscanf(name, "%d", &n); err == nil && fmt.Sprint(n) == name {
		return n, n > 0 && n <= rtmax
	}
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return int(sig), true
	}
	name = strings.NewReplacer("PLUS", "+", "MINUS", "-").Replace(name)
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		n, err := 0, error(nil)
		if rest != "" {
			_, err = fmt.Sscanf(rest, "+%d", &n)
		}
		return rtmin + n, err == nil && rtmin+n <= rtmax
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMAX"); ok {
		n, err := 0, error(nil)
		if rest != "" {
			_, err = fmt.Sscanf(rest, "-%d", &n)
		}
		return rtmax - n, err == nil && rtmax-n >= rtmin
	}
	return 0, false
}
