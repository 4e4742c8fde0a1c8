package podruntime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sandbox is a pod that the runtime knows. Fields above the blank line never change; those below are guarded
// by Server.mu.
type sandbox struct {
	id     string
	config *runtimeapi.PodSandboxConfig

	rec    sandboxRecord
	live   Sandbox       // meaningful while the pause process lives
	paused bool          // the pause process lives, as far as we know
	busy   chan struct{} // holds a token while RunPodSandbox, StopPodSandbox or RemovePodSandbox is at work
}

func newSandbox(id string) *sandbox { return &sandbox{id: id, busy: make(chan struct{}, 1)} }

// lock waits for the other verbs on this sandbox. A channel, because a stop takes as long as its grace period.
func lock(ctx context.Context, busy chan struct{}) error {
	select {
	case busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return statusOf(ctx.Err())
	}
}

func unlock(busy chan struct{}) { <-busy }

// newID returns 32 random bytes in hex, as CRI runtimes name things.
func newID() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func sandboxName(m *runtimeapi.PodSandboxMetadata) string {
	return fmt.Sprintf("%s_%s_%s_%d", m.GetName(), m.GetNamespace(), m.GetUid(), m.GetAttempt())
}

// RunPodSandbox makes a pod: its pause process, namespaces, cgroup and network.
func (s *Server) RunPodSandbox(ctx context.Context, req *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	cfg := req.GetConfig()
	if cfg.GetMetadata() == nil {
		return nil, status.Error(codes.InvalidArgument, "sandbox config must include metadata")
	}
	if h := req.GetRuntimeHandler(); h != "" {
		return nil, status.Errorf(codes.NotFound, "no runtime for %q is configured", h)
	}
	if s.facts.Problem != "" {
		return nil, status.Error(codes.FailedPrecondition, s.facts.Problem)
	}
	sb := newSandbox(newID())
	sb.config = cfg
	spec, err := s.sandboxSpec(sb.id, cfg)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeConfig(cfg)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "sandbox config: %v", err)
	}
	sb.rec = sandboxRecord{Config: encoded, Spec: spec, State: sandboxMaking, CreatedAt: time.Now().UnixNano()}
	sb.busy <- struct{}{}
	defer unlock(sb.busy)

	name := sandboxName(cfg.Metadata)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, errClosed
	}
	if other, taken := s.names[name]; taken {
		s.mu.Unlock()
		return nil, status.Errorf(codes.AlreadyExists, "sandbox name %q is reserved for %q", name, other)
	}
	s.names[name] = sb.id
	s.sandboxes[sb.id] = sb
	s.mu.Unlock()

	if err := s.makeSandbox(ctx, sb); err != nil {
		// The caller may have given up; cleaning must not.
		if undo := s.forgetSandbox(context.WithoutCancel(ctx), sb); undo != nil {
			err = errors.Join(err, undo)
		}
		return nil, wrap(err, "run sandbox of pod %s/%s", cfg.Metadata.Namespace, cfg.Metadata.Name)
	}
	s.publish(sb, sb.id, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	s.publish(sb, sb.id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: sb.id}, nil
}

func (s *Server) makeSandbox(ctx context.Context, sb *sandbox) error {
	if err := s.saveSandbox(sb); err != nil {
		return err
	}
	live, err := s.driver.RunSandbox(ctx, sb.rec.Spec)
	if err != nil {
		return err
	}
	s.mu.Lock()
	sb.live, sb.paused = live, true
	s.mu.Unlock()
	var addresses []string
	if live.NetNS != "" && s.cfg.Network != nil {
		a, err := s.cfg.Network.Attach(ctx, attachment(sb, live))
		if err != nil {
			return fmt.Errorf("attach to the pod network: %w", err)
		}
		for _, addr := range a {
			addresses = append(addresses, addr.String())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !sb.paused {
		return errors.New("its pause process ended")
	}
	sb.rec.Addresses = addresses
	sb.rec.State = sandboxReady
	return s.saveSandbox(sb)
}

func attachment(sb *sandbox, live Sandbox) Attachment {
	a := Attachment{SandboxID: sb.id, NetNS: live.NetNS,
		Namespace: sb.config.Metadata.Namespace, Pod: sb.config.Metadata.Name}
	for _, p := range sb.config.PortMappings {
		if p.HostPort == 0 {
			continue
		}
		ip, err := netip.ParseAddr(p.HostIp)
		if err != nil {
			ip = netip.Addr{}
		}
		a.HostPorts = append(a.HostPorts, HostPort{HostIP: ip, HostPort: uint16(p.HostPort),
			ContainerPort: uint16(p.ContainerPort), Protocol: p.Protocol.String()})
	}
	return a
}

// sandboxSpec is what the driver must make for a CRI configuration.
func (s *Server) sandboxSpec(id string, cfg *runtimeapi.PodSandboxConfig) (SandboxSpec, error) {
	ns := cfg.GetLinux().GetSecurityContext().GetNamespaceOptions()
	spec := SandboxSpec{
		ID: id, PodUID: cfg.Metadata.Uid, Hostname: cfg.Hostname,
		HostNetwork: ns.GetNetwork() == runtimeapi.NamespaceMode_NODE,
		HostIPC:     ns.GetIpc() == runtimeapi.NamespaceMode_NODE,
		HostPID:     ns.GetPid() == runtimeapi.NamespaceMode_NODE,
		// POD is the zero value; only who gives options means it.
		SharePID:   ns != nil && ns.GetPid() == runtimeapi.NamespaceMode_POD,
		Sysctls:    maps.Clone(cfg.GetLinux().GetSysctls()),
		ShmBytes:   64 << 20, // as every CRI runtime does
		ResolvConf: resolvConf(cfg.DnsConfig),
	}
	if ns.GetUsernsOptions().GetMode() == runtimeapi.NamespaceMode_POD && len(ns.GetUsernsOptions().GetUids()) > 0 {
		return spec, status.Error(codes.InvalidArgument, "user namespaces (hostUsers: false) are not supported by this runtime")
	}
	if !spec.HostNetwork {
		// As containerd does it: in a network of its own any user may listen on any port, and ping.
		defaults := map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
		maps.Copy(defaults, spec.Sysctls)
		spec.Sysctls = defaults
	}
	if spec.HostNetwork {
		spec.Hostname = "" // the UTS namespace is the node's too
	}
	spec.Hosts = hosts(spec.Hostname)
	name := cfg.Metadata.Uid
	if name == "" {
		name = id
	}
	parent := cfg.GetLinux().GetCgroupParent()
	if parent == "" {
		parent = s.facts.CgroupRoot
	}
	// The attempt's ID keeps a new sandbox of the same pod apart from one that is still being stopped.
	spec.CgroupPath = path.Join("/", parent, "pod"+name+"-"+id[:8])
	if r := cfg.GetLinux().GetResources(); r != nil {
		res, err := resources(r, s.facts)
		if err != nil {
			return spec, err
		}
		spec.Resources = res
	}
	return spec, nil
}

func resolvConf(dns *runtimeapi.DNSConfig) string {
	if dns == nil {
		return ""
	}
	var b strings.Builder
	if len(dns.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(dns.Searches, " "))
	}
	for _, server := range dns.Servers {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(dns.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(dns.Options, " "))
	}
	return b.String()
}

// hosts is the /etc/hosts of a container whose caller mounts none.
func hosts(hostname string) string {
	h := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n" +
		"fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
	if hostname != "" {
		h += "127.0.1.1\t" + hostname + "\n"
	}
	return h
}

// StopPodSandbox kills what still runs in the pod and gives its network and namespaces back. It is idempotent.
func (s *Server) StopPodSandbox(ctx context.Context, req *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	sb, err := s.findSandbox(req.PodSandboxId)
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.StopPodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lock(ctx, sb.busy); err != nil {
		return nil, err
	}
	defer unlock(sb.busy)
	if err := s.stopSandbox(ctx, sb); err != nil {
		return nil, wrap(err, "stop sandbox %s", sb.id)
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

// stopSandbox needs the sandbox's lock.
func (s *Server) stopSandbox(ctx context.Context, sb *sandbox) error {
	for _, c := range s.containersOf(sb.id) {
		if err := s.stop(ctx, c, 0); err != nil {
			return err
		}
	}
	s.mu.Lock()
	was := sb.rec.State
	if was == sandboxReady {
		sb.rec.State = sandboxNotReady
	}
	s.mu.Unlock()
	if err := s.detach(ctx, sb); err != nil {
		return err
	}
	if err := s.driver.KillSandbox(ctx, sb.rec.Spec); err != nil {
		return err
	}
	s.mu.Lock()
	sb.paused = false
	err := s.saveSandbox(sb)
	s.mu.Unlock()
	if was == sandboxReady {
		s.publish(sb, sb.id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
	return err
}

func (s *Server) detach(ctx context.Context, sb *sandbox) error {
	if sb.rec.Spec.HostNetwork || s.cfg.Network == nil {
		return nil
	}
	if err := s.cfg.Network.Detach(ctx, sb.id); err != nil {
		return fmt.Errorf("detach from the pod network: %w", err)
	}
	return nil
}

// RemovePodSandbox removes a pod and its containers. It is idempotent.
func (s *Server) RemovePodSandbox(ctx context.Context, req *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	sb, err := s.findSandbox(req.PodSandboxId)
	if status.Code(err) == codes.NotFound {
		return &runtimeapi.RemovePodSandboxResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lock(ctx, sb.busy); err != nil {
		return nil, err
	}
	defer unlock(sb.busy)
	if err := s.removeSandbox(ctx, sb); err != nil {
		return nil, wrap(err, "remove sandbox %s", sb.id)
	}
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

// removeSandbox needs the sandbox's lock.
func (s *Server) removeSandbox(ctx context.Context, sb *sandbox) error {
	if err := s.stopSandbox(ctx, sb); err != nil {
		return err
	}
	for _, c := range s.containersOf(sb.id) {
		if err := s.remove(ctx, c); err != nil {
			return err
		}
	}
	// The event carries the status of what is deleted, so it is made before.
	s.mu.Lock()
	gone := s.event(sb, sb.id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	s.mu.Unlock()
	if err := s.forgetSandbox(ctx, sb); err != nil {
		return err
	}
	s.events.publish(gone)
	return nil
}

// forgetSandbox undoes makeSandbox however far it came, and removes the record last.
func (s *Server) forgetSandbox(ctx context.Context, sb *sandbox) error {
	s.mu.Lock()
	sb.rec.State = sandboxRemoving
	sb.paused = false
	err := s.saveSandbox(sb)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.detach(ctx, sb); err != nil {
		return err
	}
	if err := s.driver.DestroySandbox(ctx, sb.rec.Spec); err != nil {
		return err
	}
	if err := s.driver.DeleteRecord(sandboxPrefix + sb.id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sandboxes, sb.id)
	delete(s.names, sandboxName(sb.config.Metadata))
	return nil
}

// containersOf returns a sandbox's containers, oldest first.
func (s *Server) containersOf(id string) []*container {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.containersLocked(id)
}

// containersLocked is containersOf for a caller that holds s.mu.
func (s *Server) containersLocked(id string) []*container {
	var all []*container
	for _, c := range s.containers {
		if c.rec.Sandbox == id {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *container) int {
		if a.rec.CreatedAt != b.rec.CreatedAt {
			return int(a.rec.CreatedAt - b.rec.CreatedAt)
		}
		return strings.Compare(a.id, b.id)
	})
	return all
}

// findSandbox accepts an unambiguous prefix, as crictl does.
func (s *Server) findSandbox(id string) (*sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return find(s.sandboxes, id, "sandbox")
}

func find[T any](all map[string]T, id, what string) (T, error) {
	var found T
	if t, ok := all[id]; ok {
		return t, nil
	}
	n := 0
	if id != "" {
		for full, t := range all {
			if strings.HasPrefix(full, id) {
				found = t
				n++
			}
		}
	}
	switch n {
	case 1:
		return found, nil
	case 0:
		return found, status.Errorf(codes.NotFound, "%s %q not found", what, id)
	}
	var none T
	return none, status.Errorf(codes.InvalidArgument, "%s ID prefix %q is ambiguous", what, id)
}

var errClosed = status.Error(codes.Unavailable, "the runtime is shutting down")

// wrap adds what was tried to an error and keeps its code.
func wrap(err error, format string, args ...any) error {
	code := codes.Unknown
	if st, ok := status.FromError(err); ok {
		code = st.Code()
		return status.Errorf(code, "%s: %s", fmt.Sprintf(format, args...), st.Message())
	}
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return status.Errorf(code, "%s: %v", fmt.Sprintf(format, args...), err)
}
