package podruntime

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ContainerStats reads one container's usage.
func (s *Server) ContainerStats(ctx context.Context, req *runtimeapi.ContainerStatsRequest) (*runtimeapi.ContainerStatsResponse, error) {
	c, _, err := s.running(req.ContainerId)
	if err != nil {
		return nil, err
	}
	st, err := s.containerStats(ctx, c)
	if errors.Is(err, ErrGone) {
		return nil, status.Errorf(codes.NotFound, "container %s has ended", c.id)
	}
	if err != nil {
		return nil, wrap(err, "usage of container %s", c.id)
	}
	return &runtimeapi.ContainerStatsResponse{Stats: st}, nil
}

// ListContainerStats reads the usage of running containers; one that ends meanwhile is left out.
func (s *Server) ListContainerStats(ctx context.Context, req *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	f := req.GetFilter()
	list, err := s.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{
		Id: f.GetId(), PodSandboxId: f.GetPodSandboxId(), LabelSelector: f.GetLabelSelector(),
		State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		return nil, err
	}
	out := &runtimeapi.ListContainerStatsResponse{}
	for _, item := range list.Containers {
		c, _, err := s.running(item.Id)
		if err != nil {
			continue
		}
		st, err := s.containerStats(ctx, c)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return nil, wrap(err, "usage of container %s", c.id)
		}
		out.Stats = append(out.Stats, st)
	}
	return out, nil
}

func (s *Server) containerStats(ctx context.Context, c *container) (*runtimeapi.ContainerStats, error) {
	s.mu.Lock()
	ref := c.rec.Spec.ContainerRef
	s.mu.Unlock()
	u, err := s.driver.ContainerStats(ctx, ref)
	if err != nil {
		return nil, err
	}
	at := u.At.UnixNano()
	st := &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{Id: c.id, Metadata: c.config.Metadata, Labels: c.config.Labels, Annotations: c.config.Annotations},
		Cpu:        &runtimeapi.CpuUsage{Timestamp: at, UsageCoreNanoSeconds: u64(u.CPUNanos)},
		Memory: &runtimeapi.MemoryUsage{Timestamp: at, WorkingSetBytes: u64(u.WorkingSetBytes), UsageBytes: u64(u.MemoryBytes),
			RssBytes: u64(u.RSSBytes), PageFaults: u64(u.PageFaults), MajorPageFaults: u64(u.MajorPageFaults)},
	}
	if u.LimitBytes > u.WorkingSetBytes {
		st.Memory.AvailableBytes = u64(u.LimitBytes - u.WorkingSetBytes)
	}
	if u.WritableMeasured {
		st.WritableLayer = &runtimeapi.FilesystemUsage{Timestamp: at, UsedBytes: u64(u.WritableBytes), InodesUsed: u64(u.WritableInodes)}
	}
	return st, nil
}

func u64(v uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: v} }

// PodSandboxStats sums a pod's containers.
func (s *Server) PodSandboxStats(ctx context.Context, req *runtimeapi.PodSandboxStatsRequest) (*runtimeapi.PodSandboxStatsResponse, error) {
	sb, err := s.findSandbox(req.PodSandboxId)
	if err != nil {
		return nil, err
	}
	st, err := s.podStats(ctx, sb)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PodSandboxStatsResponse{Stats: st}, nil
}

// ListPodSandboxStats sums up every pod that is ready.
func (s *Server) ListPodSandboxStats(ctx context.Context, req *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	f := req.GetFilter()
	list, err := s.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{Filter: &runtimeapi.PodSandboxFilter{
		Id: f.GetId(), LabelSelector: f.GetLabelSelector(),
		State: &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY},
	}})
	if err != nil {
		return nil, err
	}
	out := &runtimeapi.ListPodSandboxStatsResponse{}
	for _, item := range list.Items {
		sb, err := s.findSandbox(item.Id)
		if err != nil {
			continue // removed meanwhile
		}
		st, err := s.podStats(ctx, sb)
		if err != nil {
			return nil, err
		}
		out.Stats = append(out.Stats, st)
	}
	return out, nil
}

func (s *Server) podStats(ctx context.Context, sb *sandbox) (*runtimeapi.PodSandboxStats, error) {
	list, err := s.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{Filter: &runtimeapi.ContainerStatsFilter{PodSandboxId: sb.id}})
	if err != nil {
		return nil, err
	}
	var cpu, memory, working, rss uint64
	var at int64
	for _, c := range list.Stats {
		at = max(at, c.Cpu.Timestamp)
		cpu += c.Cpu.UsageCoreNanoSeconds.Value
		memory += c.Memory.UsageBytes.Value
		working += c.Memory.WorkingSetBytes.Value
		rss += c.Memory.RssBytes.Value
	}
	return &runtimeapi.PodSandboxStats{
		Attributes: &runtimeapi.PodSandboxAttributes{Id: sb.id, Metadata: sb.config.Metadata, Labels: sb.config.Labels, Annotations: sb.config.Annotations},
		Linux: &runtimeapi.LinuxPodSandboxStats{
			Cpu:        &runtimeapi.CpuUsage{Timestamp: at, UsageCoreNanoSeconds: u64(cpu)},
			Memory:     &runtimeapi.MemoryUsage{Timestamp: at, UsageBytes: u64(memory), WorkingSetBytes: u64(working), RssBytes: u64(rss)},
			Containers: list.Stats,
		},
	}, nil
}
