package podruntime

import (
	"context"
	"slices"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Name and version as Version reports them; the node agent prints "sampan://<version>".
const (
	runtimeName    = "sampan"
	runtimeVersion = "0.1.0"
)

// Version names this runtime.
func (s *Server) Version(context.Context, *runtimeapi.VersionRequest) (*runtimeapi.VersionResponse, error) {
	return &runtimeapi.VersionResponse{Version: "0.1.0", RuntimeName: runtimeName, RuntimeVersion: runtimeVersion, RuntimeApiVersion: "v1"}, nil
}

// Status says whether pods can be run, and why not.
func (s *Server) Status(_ context.Context, req *runtimeapi.StatusRequest) (*runtimeapi.StatusResponse, error) {
	ready := &runtimeapi.RuntimeCondition{Type: runtimeapi.RuntimeReady, Status: true}
	if s.facts.Problem != "" {
		ready.Status, ready.Reason, ready.Message = false, "NodePrerequisite", s.facts.Problem
	}
	network := &runtimeapi.RuntimeCondition{Type: runtimeapi.NetworkReady, Status: true}
	if s.cfg.Network == nil {
		network.Status, network.Reason, network.Message = false, "NetworkPluginNotReady", "no pod network is configured"
	}
	var info map[string]string
	if req.Verbose {
		info = map[string]string{"instance": s.cfg.Instance, "cgroupRoot": s.facts.CgroupRoot, "cgroupProblem": s.facts.CgroupReason}
	}
	return &runtimeapi.StatusResponse{
		Info: info,
		Status: &runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{
			ready, network,
		}},
		RuntimeHandlers: []*runtimeapi.RuntimeHandler{{Features: &runtimeapi.RuntimeHandlerFeatures{}}},
		Features:        &runtimeapi.RuntimeFeatures{SupplementalGroupsPolicy: true},
	}, nil
}

// RuntimeConfig says which cgroup driver the agent must use for its own cgroups.
func (s *Server) RuntimeConfig(context.Context, *runtimeapi.RuntimeConfigRequest) (*runtimeapi.RuntimeConfigResponse, error) {
	return &runtimeapi.RuntimeConfigResponse{Linux: &runtimeapi.LinuxRuntimeConfiguration{CgroupDriver: runtimeapi.CgroupDriver_CGROUPFS}}, nil
}

// UpdateRuntimeConfig accepts the node's pod CIDR; the network does not need to hear it from here.
func (s *Server) UpdateRuntimeConfig(context.Context, *runtimeapi.UpdateRuntimeConfigRequest) (*runtimeapi.UpdateRuntimeConfigResponse, error) {
	return &runtimeapi.UpdateRuntimeConfigResponse{}, nil
}

// PodSandboxStatus describes one sandbox.
func (s *Server) PodSandboxStatus(_ context.Context, req *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	sb, err := s.findSandbox(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	containers := s.containersOf(sb.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &runtimeapi.PodSandboxStatusResponse{Status: sb.status(), Timestamp: time.Now().UnixNano()}
	for _, c := range containers {
		out.ContainersStatuses = append(out.ContainersStatuses, c.status())
	}
	return out, nil
}

// status needs Server.mu.
func (sb *sandbox) status() *runtimeapi.PodSandboxStatus {
	net := &runtimeapi.PodSandboxNetworkStatus{}
	for i, a := range sb.rec.Addresses {
		if i == 0 {
			net.Ip = a
		} else {
			net.AdditionalIps = append(net.AdditionalIps, &runtimeapi.PodIP{Ip: a})
		}
	}
	return &runtimeapi.PodSandboxStatus{
		Id: sb.id, Metadata: sb.config.Metadata, State: sb.state(), CreatedAt: sb.rec.CreatedAt, Network: net,
		Linux: &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{
			Options: sb.config.GetLinux().GetSecurityContext().GetNamespaceOptions()}},
		Labels: sb.config.Labels, Annotations: sb.config.Annotations,
	}
}

func (sb *sandbox) state() runtimeapi.PodSandboxState {
	if sb.rec.State == sandboxReady {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

// ListPodSandbox lists sandboxes, newest first. One that is still being made, or nearly removed, is not shown.
func (s *Server) ListPodSandbox(_ context.Context, req *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	f := req.GetFilter()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &runtimeapi.ListPodSandboxResponse{}
	for _, sb := range s.sandboxes {
		if sb.rec.State == sandboxMaking || !strings.HasPrefix(sb.id, f.GetId()) ||
			f.GetState() != nil && f.State.State != sb.state() || !selects(f.GetLabelSelector(), sb.config.Labels) {
			continue
		}
		out.Items = append(out.Items, &runtimeapi.PodSandbox{Id: sb.id, Metadata: sb.config.Metadata, State: sb.state(),
			CreatedAt: sb.rec.CreatedAt, Labels: sb.config.Labels, Annotations: sb.config.Annotations})
	}
	slices.SortFunc(out.Items, func(a, b *runtimeapi.PodSandbox) int {
		return newestFirst(a.CreatedAt, b.CreatedAt, a.Id, b.Id)
	})
	return out, nil
}

// ListContainers lists containers, newest first.
func (s *Server) ListContainers(_ context.Context, req *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	f := req.GetFilter()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &runtimeapi.ListContainersResponse{}
	for _, c := range s.containers {
		if c.rec.State == containerMaking || !strings.HasPrefix(c.id, f.GetId()) ||
			!strings.HasPrefix(c.rec.Sandbox, f.GetPodSandboxId()) ||
			f.GetState() != nil && f.State.State != c.state() || !selects(f.GetLabelSelector(), c.config.Labels) {
			continue
		}
		out.Containers = append(out.Containers, &runtimeapi.Container{Id: c.id, PodSandboxId: c.rec.Sandbox, Metadata: c.config.Metadata,
			Image: c.config.Image, ImageRef: c.rec.ImageID, ImageId: c.rec.ImageID, State: c.state(),
			CreatedAt: c.rec.CreatedAt, Labels: c.config.Labels, Annotations: c.config.Annotations})
	}
	slices.SortFunc(out.Containers, func(a, b *runtimeapi.Container) int {
		return newestFirst(a.CreatedAt, b.CreatedAt, a.Id, b.Id)
	})
	return out, nil
}

func newestFirst(a, b int64, idA, idB string) int {
	switch {
	case a > b:
		return -1
	case a < b:
		return 1
	}
	return strings.Compare(idA, idB)
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// ContainerStatus describes one container.
func (s *Server) ContainerStatus(_ context.Context, req *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	c, err := s.findContainer(req.ContainerId)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &runtimeapi.ContainerStatusResponse{Status: c.status()}, nil
}

// status needs Server.mu.
func (c *container) status() *runtimeapi.ContainerStatus {
	st := &runtimeapi.ContainerStatus{
		Id: c.id, Metadata: c.config.Metadata, State: c.state(),
		CreatedAt: c.rec.CreatedAt, StartedAt: c.rec.StartedAt, FinishedAt: c.rec.FinishedAt, ExitCode: int32(c.rec.ExitCode),
		Image: c.config.Image, ImageRef: c.rec.ImageID, ImageId: c.rec.ImageID, Reason: c.rec.Reason, Message: c.rec.Message,
		Labels: c.config.Labels, Annotations: c.config.Annotations, Mounts: c.config.Mounts, LogPath: c.rec.Spec.LogPath,
		Resources:  &runtimeapi.ContainerResources{Linux: c.config.GetLinux().GetResources()},
		StopSignal: c.config.StopSignal,
	}
	if c.rec.State == containerRemoving {
		st.State = runtimeapi.ContainerState_CONTAINER_EXITED
	}
	return st
}

func (c *container) state() runtimeapi.ContainerState {
	switch c.rec.State {
	case containerMaking, containerCreated, containerStarting:
		return runtimeapi.ContainerState_CONTAINER_CREATED
	case containerRunning:
		return runtimeapi.ContainerState_CONTAINER_RUNNING
	case containerExited, containerRemoving:
		return runtimeapi.ContainerState_CONTAINER_EXITED
	}
	return runtimeapi.ContainerState_CONTAINER_UNKNOWN
}

// event describes what happened to a container, or to a sandbox if id is the sandbox's.
// The caller holds s.mu.
func (s *Server) event(sb *sandbox, id string, t runtimeapi.ContainerEventType) *runtimeapi.ContainerEventResponse {
	ev := &runtimeapi.ContainerEventResponse{ContainerId: id, ContainerEventType: t, CreatedAt: time.Now().UnixNano(), PodSandboxStatus: sb.status()}
	for _, c := range s.containersLocked(sb.id) {
		ev.ContainersStatuses = append(ev.ContainersStatuses, c.status())
	}
	return ev
}

func (s *Server) publish(sb *sandbox, id string, t runtimeapi.ContainerEventType) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publishLocked(sb, id, t)
}

// publishLocked is publish for a caller that holds s.mu since it set the new state, so that events come in the order of what
// they tell.
func (s *Server) publishLocked(sb *sandbox, id string, t runtimeapi.ContainerEventType) {
	s.events.publish(s.event(sb, id, t))
}
