package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/apiserver"
	"sampan/client/events"
	"sampan/dns/feed"
	"sampan/image"
	"sampan/network"
	"sampan/network/ipam"
	"sampan/node"
	"sampan/podruntime"
	"sampan/podruntime/linux"
)

const (
	clusterDomain = "cluster.local"
	criSocket     = "cri.sock" // in Settings.RunDir
)

// syncMap is the node agents by name.
type syncMap struct {
	mu     sync.RWMutex // guards byName
	byName map[string]http.Handler
}

func (m *syncMap) get(name string) (http.Handler, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	h, ok := m.byName[name]
	return h, ok
}

func (m *syncMap) set(name string, h http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName == nil {
		m.byName = map[string]http.Handler{}
	}
	m.byName[name] = h
}

// runNode runs the parts that make this machine a node: network, DNS, runtime, agent.
func runNode(ctx context.Context, s Settings, a *api, c *apiserver.Local, recorder *events.Recorder, log *slog.Logger) error {
	if err := os.MkdirAll(s.RunDir, 0o700); err != nil {
		return fmt.Errorf("folder for sockets: %w", err)
	}
	images, err := image.Open(s.imageDir(), log)
	if err != nil {
		return err
	}
	addresses := machineAddresses()
	if len(addresses) == 0 {
		addresses = []netip.Addr{s.gateway()}
	}
	dnsAddress := apiserver.DNSAddress(s.ServiceCIDR)
	pods, err := network.New(network.Config{
		Client: c, NodeName: s.NodeName, Instance: s.Instance, PodCIDR: s.PodCIDR, ServiceCIDR: s.ServiceCIDR,
		DNSAddress: dnsAddress, StateDir: s.networkDir(), NodeAddresses: addresses, Log: log,
	})
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	runtime, err := openRuntime(ctx, s, images, pods, log)
	if err != nil {
		return err
	}
	defer runtime.Close()
	if err := reconcileNetwork(ctx, pods, runtime.Client()); err != nil {
		return err
	}
	// Pods reach the API at the gateway; the Service "kubernetes" leads there.
	inner, err := net.Listen("tcp", netip.AddrPortFrom(pods.Gateway(), s.Listen.Port()).String())
	if err != nil {
		return fmt.Errorf("serve the API to pods: %w", err)
	}
	defer inner.Close()
	if err := a.server.Advertise(ctx, netip.AddrPortFrom(pods.Gateway(), s.Listen.Port())); err != nil {
		return fmt.Errorf("endpoints of the API: %w", err)
	}
	names, err := feed.New(feed.Config{
		Source: c, Listen: []netip.AddrPort{netip.AddrPortFrom(dnsAddress, 53)}, Domain: clusterDomain,
		RunDir: s.RunDir, BinDir: filepath.Join(s.runtimeDir(), "bin"), Log: log,
	})
	if err != nil {
		return err
	}
	imageService := image.NewService(images)
	imageService.InUse = func(id string) bool { return usesImage(ctx, runtime.Client(), id) }
	agent, err := node.New(node.Config{
		Name:          s.NodeName,
		Client:        c,
		Tokens:        c,
		Runtime:       runtime.Client(),
		Images:        imageService.Client(),
		Root:          s.podDir(),
		State:         s.RunDir,
		PodLogs:       s.podLogDir(),
		ClusterDNS:    []netip.Addr{dnsAddress},
		ClusterDomain: clusterDomain,
		NodeAddresses: addresses,
		PodCIDR:       s.PodCIDR,
		Labels:        map[string]string{"node-role.kubernetes.io/control-plane": ""},
		Instance:      s.Instance,
		Events:        recorder,
		Log:           log,
	})
	if err != nil {
		return err
	}
	a.nodes.agents.set(s.NodeName, agent.Handler())

	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { return images.Sweep(ctx) })
	parts.Go(func() error { return a.server.Serve(ctx, inner, a.tls()) })
	parts.Go(func() error { return pods.Run(ctx) })
	parts.Go(func() error { return names.Run(ctx) })
	parts.Go(func() error { return runtime.Serve(ctx, filepath.Join(s.RunDir, criSocket), imageService) })
	parts.Go(func() error { return agent.Run(ctx) })
	return parts.Wait()
}

// openRuntime opens the pod runtime of the instance and takes over the pods that run. net may be nil when no
// pod will be started.
func openRuntime(ctx context.Context, s Settings, images podruntime.Images, net podruntime.Network, log *slog.Logger) (*podruntime.Server, error) {
	driver, err := linux.New(linux.Config{Root: s.runtimeDir(), State: s.RunDir, Instance: s.Instance, Log: log})
	if err != nil {
		return nil, fmt.Errorf("pod runtime: %w", err)
	}
	runtime, err := podruntime.New(ctx, podruntime.Config{
		Instance: s.Instance, Images: images, Network: net, Driver: driver, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("pod runtime: %w", err)
	}
	return runtime, nil
}

// reconcileNetwork releases the addresses of pods that ended while no server ran.
func reconcileNetwork(ctx context.Context, n *network.Network, runtime runtimeapi.RuntimeServiceClient) error {
	list, err := runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("list the pods that run: %w", err)
	}
	var live []string
	for _, sandbox := range list.Items {
		live = append(live, sandbox.Id)
	}
	if err := n.Reconcile(ctx, live); err != nil {
		return fmt.Errorf("release the addresses of pods that are gone: %w", err)
	}
	return nil
}

// usesImage reports whether a container uses an image; if that is not known, it does.
func usesImage(ctx context.Context, runtime runtimeapi.RuntimeServiceClient, id string) bool {
	list, err := runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return true
	}
	return slices.ContainsFunc(list.Containers, func(c *runtimeapi.Container) bool {
		return c.ImageId == id || c.ImageRef == id
	})
}

// gateway is the node's address that its pods reach: the first of the pod range.
func (s Settings) gateway() netip.Addr { return ipam.Gateway(s.PodCIDR) }
