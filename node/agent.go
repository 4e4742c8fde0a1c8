package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"sampan/client"
	"sampan/client/events"
	"sampan/kind"
	"sampan/node/volume"
	"sampan/view"
)

// Events takes what a user should read about a pod or the node. Record must not block.
// *events.Recorder is one.
type Events interface {
	Record(e events.Event)
}

// Config is everything that an agent needs. Fields without a comment on a default are required.
type Config struct {
	// Name is the node's name. It must be a DNS-1123 subdomain.
	Name   string
	Client client.Client
	// Tokens gets the tokens of service accounts for the pods' volumes. Nil: such volumes cannot be mounted.
	Tokens  client.TokenIssuer
	Runtime runtimeapi.RuntimeServiceClient
	Images  runtimeapi.ImageServiceClient
	// Root is where the pods' volumes and files are kept (pods/<uid>/…). It must be an absolute path.
	Root string
	// State is for what must not survive a reboot of the machine.
	State string
	// PodLogs is where container logs are written: <PodLogs>/<namespace>_<pod>_<uid>/<container>/<n>.log.
	PodLogs string
	// ClusterDNS are the name servers of pods with dnsPolicy ClusterFirst.
	ClusterDNS []netip.Addr
	// ClusterDomain is the DNS domain of the cluster; "" means "cluster.local".
	ClusterDomain string
	// NodeAddresses are the addresses of the machine, the primary one first.
	NodeAddresses []netip.Addr
	// PodCIDR is the range of the pods' addresses on this node; invalid means that the node does not know it.
	PodCIDR netip.Prefix
	// Instance names the installation on this machine.
	Instance string
	// Labels are added to the Node object.
	Labels map[string]string
	// Capacity returns what the machine has (cpu, memory, pods, ephemeral-storage). Nil: what /proc says.
	Capacity func() (corev1.ResourceList, error)
	// Shortage returns what is running out on the machine. Nil: what the kernel says.
	Shortage func() Shortage
	// Events may be nil: nothing is recorded.
	Events Events
	Log    *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// ResolvConf is the host's resolver configuration; "" means /etc/resolv.conf.
	ResolvConf string
}

// Agent runs the pods of one node. Make it with [New], start it with [Agent.Run].
type Agent struct {
	cfg      Config
	hostIPs  []string
	capacity corev1.ResourceList
	volumes  *volume.Manager
	pulls    singleflight.Group // one pull per image at a time
	starts   chan struct{}      // tokens: how many sandboxes and containers start at once
	idPrefix string             // of container IDs in statuses: "sampan://"
	version  string             // of the runtime

	effects   sync.WaitGroup // goroutines of workers
	nodeWake  chan struct{}  // holds a token when the Node object must be written
	nodeWrite sync.Mutex     // one writer of the Node object at a time

	mu      sync.Mutex                        // guards what follows
	workers map[types.UID]*worker             // every pod that the node has something of
	refs    map[view.Key]map[*worker]struct{} // who uses an object
	healthy error                             // why the node is not Ready
	logs    *logWatch                         // nil while logs are not watched
	watched map[int32]runningLog              // by inotify's watch descriptor
}

// startsMax bounds how many CRI calls that start processes are under way at once. More would only wait for each
// other's processor time.
const startsMax = 8

// New checks the configuration and makes an agent. It touches nothing on the machine.
func New(cfg Config) (*Agent, error) {
	switch {
	case cfg.Name == "":
		return nil, errors.New("node agent: the node has no name")
	case cfg.Client == nil, cfg.Runtime == nil, cfg.Images == nil:
		return nil, errors.New("node agent: client, runtime and image service are required")
	case !filepath.IsAbs(cfg.Root), !filepath.IsAbs(cfg.PodLogs), !filepath.IsAbs(cfg.State):
		return nil, errors.New("node agent: Root, State and PodLogs must be absolute paths")
	}
	if cfg.ClusterDomain == "" {
		cfg.ClusterDomain = "cluster.local"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ResolvConf == "" {
		cfg.ResolvConf = "/etc/resolv.conf"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Capacity == nil {
		cfg.Capacity = func() (corev1.ResourceList, error) { return machineCapacity(cfg.Root) }
	}
	if cfg.Shortage == nil {
		cfg.Shortage = func() Shortage { return machineShortage(cfg.Root) }
	}
	a := &Agent{
		cfg:      cfg,
		starts:   make(chan struct{}, startsMax),
		nodeWake: make(chan struct{}, 1),
		workers:  map[types.UID]*worker{},
		refs:     map[view.Key]map[*worker]struct{}{},
		watched:  map[int32]runningLog{},
	}
	var issue volume.TokenIssuer
	if cfg.Tokens != nil {
		issue = cfg.Tokens.Token
	}
	a.volumes = volume.New(filepath.Join(cfg.Root, "pods"), issue, cfg.Now)
	for _, ip := range cfg.NodeAddresses {
		a.hostIPs = append(a.hostIPs, ip.String())
	}
	return a, nil
}

// Run registers the node and runs its pods until ctx ends, and then returns ctx's error. Containers keep
// running: the next agent adopts them. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	for _, dir := range []string{filepath.Join(a.cfg.Root, "pods"), a.cfg.State, a.cfg.PodLogs} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return fmt.Errorf("node agent: %w", err)
		}
	}
	var err error
	if a.capacity, err = a.cfg.Capacity(); err != nil {
		return fmt.Errorf("node agent: find out the machine's capacity: %w", err)
	}
	v, err := a.cfg.Runtime.Version(ctx, &runtimeapi.VersionRequest{})
	if err != nil {
		return fmt.Errorf("node agent: ask the container runtime for its version: %w", err)
	}
	a.idPrefix = v.RuntimeName + "://"
	a.version = a.idPrefix + v.RuntimeVersion

	a.openLogs()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.keepNode(ctx) })
	group.Go(func() error { return a.keepLease(ctx) })
	group.Go(func() error { return a.rotateLogs(ctx) })
	group.Go(func() error { return a.runPods(ctx) })
	err = group.Wait()
	a.effects.Wait()
	return err
}

// runPods adopts what runs, and then follows the API and the runtime.
func (a *Agent) runPods(ctx context.Context) error {
	// The event stream is opened before the runtime is asked what there is, so that nothing falls between.
	stream, err := a.openEvents(ctx)
	if err != nil {
		return err
	}
	known, err := a.listRuntime(ctx)
	if err != nil {
		return err
	}
	// A view that has not seen the API server yet would make every running pod an orphan.
	if err := a.cfg.Client.Wait(ctx, 0); err != nil {
		return err
	}
	snap := a.cfg.Client.Snapshot()
	for pod := range snap.PodsOn(a.cfg.Name) {
		a.addPod(ctx, pod, known.of(pod.UID))
		delete(known, pod.UID)
	}
	a.cleanUp(ctx, known)
	for pv := range view.All[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "") {
		a.releaseLocalPath(ctx, pv)
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.followRuntime(ctx, stream) })
	group.Go(func() error { return a.followAPI(ctx, snap.Revision()) })
	return group.Wait()
}

// followAPI passes on changes of pods and of what they refer to.
func (a *Agent) followAPI(ctx context.Context, revision int64) error {
	for {
		if err := a.cfg.Client.Wait(ctx, revision); err != nil {
			return err
		}
		changes, snap, ok := a.cfg.Client.Since(revision)
		if ok {
			for _, c := range changes {
				a.change(ctx, c)
			}
		} else {
			a.compare(ctx, snap)
		}
		revision = snap.Revision()
	}
}

func (a *Agent) change(ctx context.Context, c view.Change) {
	switch c.Key.Kind {
	case kind.Pods:
		if old, ok := c.Old.(*corev1.Pod); ok && c.New == nil && old.Spec.NodeName == a.cfg.Name {
			a.removePod(old.UID)
		}
		if pod, ok := c.New.(*corev1.Pod); ok && pod.Spec.NodeName == a.cfg.Name {
			a.addPod(ctx, pod, runtimePod{})
		}
	case kind.ConfigMaps, kind.Secrets, kind.PersistentVolumeClaims, kind.ServiceAccounts:
		a.wakeUsers(c.Key)
	case kind.Nodes:
		if c.Key.Name == a.cfg.Name && c.New == nil {
			select {
			case a.nodeWake <- struct{}{}:
			default:
			}
		}
	case kind.PersistentVolumes:
		if pv, ok := c.Latest().(*corev1.PersistentVolume); ok {
			if ref := pv.Spec.ClaimRef; ref != nil {
				a.wakeUsers(view.Key{Kind: kind.PersistentVolumeClaims, Namespace: ref.Namespace, Name: ref.Name})
			}
		}
		if pv, ok := c.New.(*corev1.PersistentVolume); ok {
			a.releaseLocalPath(ctx, pv)
		}
	}
}

// compare takes the place of changes when their history is gone.
func (a *Agent) compare(ctx context.Context, snap *view.Snapshot) {
	seen := map[types.UID]bool{}
	for pod := range snap.PodsOn(a.cfg.Name) {
		seen[pod.UID] = true
		a.addPod(ctx, pod, runtimePod{})
	}
	a.mu.Lock()
	var gone []types.UID
	var all []*worker
	for uid, w := range a.workers {
		if !seen[uid] {
			gone = append(gone, uid)
		}
		all = append(all, w)
	}
	a.mu.Unlock()
	for _, uid := range gone {
		a.removePod(uid)
	}
	for _, w := range all {
		w.post(refsChanged{})
	}
	for pv := range view.All[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "") {
		a.releaseLocalPath(ctx, pv)
	}
}

// addPod gives a version of a pod to its worker, and starts one if there is none.
func (a *Agent) addPod(ctx context.Context, pod *corev1.Pod, known runtimePod) {
	a.mu.Lock()
	w := a.workers[pod.UID]
	if w == nil {
		w = newWorker(a, pod, known)
		a.workers[pod.UID] = w
		for key := range w.refs {
			if a.refs[key] == nil {
				a.refs[key] = map[*worker]struct{}{}
			}
			a.refs[key][w] = struct{}{}
		}
		a.mu.Unlock()
		a.effects.Go(func() { w.run(ctx) })
		return
	}
	a.mu.Unlock()
	w.post(newVersion{pod})
}

func (a *Agent) removePod(uid types.UID) {
	if w := a.worker(uid); w != nil {
		w.post(podGone{})
	}
}

// forget drops a worker that has nothing left to do.
func (a *Agent) forget(w *worker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.workers, w.uid)
	for key := range w.refs {
		delete(a.refs[key], w)
		if len(a.refs[key]) == 0 {
			delete(a.refs, key)
		}
	}
}

func (a *Agent) worker(uid types.UID) *worker {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.workers[uid]
}

// wakeUsers tells the pods that use an object that it has changed.
func (a *Agent) wakeUsers(key view.Key) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for w := range a.refs[key] {
		w.post(refsChanged{})
	}
}

// references returns the objects that a pod's volumes and environment are made from.
func references(pod *corev1.Pod) map[view.Key]struct{} {
	refs := map[view.Key]struct{}{}
	add := func(id kind.ID, name string) {
		refs[view.Key{Kind: id, Namespace: pod.Namespace, Name: name}] = struct{}{}
	}
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.ConfigMap != nil:
			add(kind.ConfigMaps, v.ConfigMap.Name)
		case v.Secret != nil:
			add(kind.Secrets, v.Secret.SecretName)
		case v.PersistentVolumeClaim != nil:
			add(kind.PersistentVolumeClaims, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			add(kind.PersistentVolumeClaims, pod.Name+"-"+v.Name)
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					add(kind.ConfigMaps, s.ConfigMap.Name)
				}
				if s.Secret != nil {
					add(kind.Secrets, s.Secret.Name)
				}
				if s.ServiceAccountToken != nil {
					add(kind.ServiceAccounts, pod.Spec.ServiceAccountName)
				}
			}
		}
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			for _, from := range c.EnvFrom {
				if from.ConfigMapRef != nil {
					add(kind.ConfigMaps, from.ConfigMapRef.Name)
				}
				if from.SecretRef != nil {
					add(kind.Secrets, from.SecretRef.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom == nil {
					continue
				}
				if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
					add(kind.ConfigMaps, r.Name)
				}
				if r := e.ValueFrom.SecretKeyRef; r != nil {
					add(kind.Secrets, r.Name)
				}
			}
		}
	}
	for _, s := range pod.Spec.ImagePullSecrets {
		add(kind.Secrets, s.Name)
	}
	return refs
}
