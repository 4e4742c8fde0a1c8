// Package podruntimetest has what tests of the pod runtime, and tests that need one, share: an in-memory
// driver that needs neither root nor processes and runs under testing/synctest, and a suite that every
// runtime must pass.
//
// What a container of the in-memory driver does is a [Behaviour], chosen by a function that the test gives.
package podruntimetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"sampan/podruntime"
)

// Behaviour is what a container of the in-memory driver does.
type Behaviour struct {
	// RunFor ends the container with ExitCode after that time; zero means that it runs until it is stopped.
	RunFor   time.Duration
	ExitCode int
	// OOMKilled makes the end at RunFor an OOM kill (137).
	OOMKilled bool
	// IgnoreTerm makes it outlive every signal but SIGKILL.
	IgnoreTerm bool
	// TermAfter is how long it takes to end after its stop signal; the exit code is TermCode.
	TermAfter time.Duration
	TermCode  int
	// StartErr makes StartContainer fail.
	StartErr error
	// StartFor is how long StartContainer takes.
	StartFor time.Duration
	// Exec runs a command; nil means that every command succeeds with no output.
	Exec func(ctx context.Context, args []string, s podruntime.Streams) (exitCode int, err error)
	// Dial answers DialPod for the port; nil refuses.
	Dial func(port uint16) (io.ReadWriteCloser, error)
}

// Driver is a podruntime.Driver in memory. Its records outlive a server: build another podruntime.Server on
// the same Driver to test a restart. Make it with [NewDriver].
type Driver struct {
	behave func(podruntime.ContainerSpec) Behaviour

	mu         sync.Mutex // guards what follows
	exited     func(podruntime.Exit)
	records    map[string][]byte
	sandboxes  map[string]*fakeSandbox
	containers map[string]*fakeContainer
	sandboxErr error
	nextPID    int
	facts      podruntime.Facts
}

type fakeSandbox struct {
	spec  podruntime.SandboxSpec
	live  podruntime.Sandbox
	alive bool
	lost  map[string]podruntime.Exit // exits of its containers, as the pause process keeps them
}

type fakeContainer struct {
	spec      podruntime.ContainerSpec
	behaviour Behaviour
	running   bool
	started   bool
	timer     *time.Timer
	done      chan struct{} // closed at the end
	reopened  int
}

// NewDriver makes a driver. behave chooses what each container does, nil means [Behaviour]{} for all.
func NewDriver(behave func(podruntime.ContainerSpec) Behaviour) *Driver {
	if behave == nil {
		behave = func(podruntime.ContainerSpec) Behaviour { return Behaviour{} }
	}
	return &Driver{behave: behave, records: map[string][]byte{}, sandboxes: map[string]*fakeSandbox{},
		containers: map[string]*fakeContainer{}, nextPID: 1000,
		facts: podruntime.Facts{CgroupV2: true, CgroupWritable: true, CgroupRoot: "/sampan-test", Seccomp: true,
			Controllers:  map[string]bool{"cpu": true, "memory": true, "pids": true, "cpuset": true},
			Capabilities: podruntime.CapabilityNames(1<<41 - 1)}}
}

// FailSandboxes makes RunSandbox fail with err until it is called with nil.
func (d *Driver) FailSandboxes(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sandboxErr = err
}

// KillPause ends a sandbox's pause process, as the kernel's OOM killer might.
func (d *Driver) KillPause(sandbox string) {
	d.mu.Lock()
	sb := d.sandboxes[sandbox]
	if sb == nil || !sb.alive {
		d.mu.Unlock()
		return
	}
	sb.alive = false
	exited := d.exited
	d.mu.Unlock()
	if exited != nil {
		exited(podruntime.Exit{Sandbox: sandbox, At: time.Now()})
	}
}

// Exit ends a running container from outside with a code.
func (d *Driver) Exit(container string, code int, oom bool) {
	d.end(container, podruntime.Exit{Code: code, OOMKilled: oom})
}

// Running returns the IDs of the containers that run.
func (d *Driver) Running() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id, c := range d.containers {
		if c.running {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Left says what exists of any pod: IDs of sandboxes and containers, names of records. Empty after a clean end.
func (d *Driver) Left() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := slices.Collect(maps.Keys(d.records))
	left = slices.AppendSeq(left, maps.Keys(d.sandboxes))
	left = slices.AppendSeq(left, maps.Keys(d.containers))
	slices.Sort(left)
	return left
}

// Open implements podruntime.Driver, as the other methods here do.
func (d *Driver) Open(_ context.Context, exited func(podruntime.Exit)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.exited = exited
	return nil
}

func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.exited = nil
	return nil
}

func (d *Driver) Facts() podruntime.Facts { return d.facts }

func (d *Driver) LoadRecords() (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.records), nil
}

func (d *Driver) SaveRecord(name string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records[name] = data
	return nil
}

func (d *Driver) DeleteRecord(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.records, name)
	return nil
}

func (d *Driver) RunSandbox(_ context.Context, s podruntime.SandboxSpec) (podruntime.Sandbox, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sandboxErr != nil {
		return podruntime.Sandbox{}, d.sandboxErr
	}
	d.nextPID++
	live := podruntime.Sandbox{PausePID: d.nextPID, StartTime: uint64(d.nextPID), ResolvConf: "/fake/resolv.conf", Hosts: "/fake/hosts"}
	proc := fmt.Sprintf("/proc/%d/ns/", d.nextPID)
	if !s.HostNetwork {
		live.NetNS, live.UTSNS, live.Hostname = proc+"net", proc+"uts", "/fake/hostname"
	}
	if !s.HostIPC {
		live.IPCNS, live.Shm = proc+"ipc", "/fake/shm"
	}
	if s.SharePID {
		live.PIDNS = proc + "pid"
	}
	d.sandboxes[s.ID] = &fakeSandbox{spec: s, live: live, alive: true, lost: map[string]podruntime.Exit{}}
	return live, nil
}

func (d *Driver) AdoptSandbox(_ context.Context, s podruntime.SandboxSpec, containers []string) (podruntime.Sandbox, error) {
	d.mu.Lock()
	sb := d.sandboxes[s.ID]
	if sb == nil || !sb.alive {
		d.mu.Unlock()
		return podruntime.Sandbox{}, podruntime.ErrGone
	}
	var missed []podruntime.Exit
	for _, id := range containers {
		if x, ok := sb.lost[id]; ok {
			missed = append(missed, x)
		} else if c := d.containers[id]; c == nil || !c.running {
			missed = append(missed, podruntime.Exit{Sandbox: s.ID, Container: id, Code: 255, At: time.Now(), Unknown: true})
		}
	}
	exited := d.exited
	d.mu.Unlock()
	for _, x := range missed {
		exited(x)
	}
	return sb.live, nil
}

func (d *Driver) LostExits(sandbox string, containers []string) []podruntime.Exit {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []podruntime.Exit
	if sb := d.sandboxes[sandbox]; sb != nil {
		for _, id := range containers {
			if x, ok := sb.lost[id]; ok {
				out = append(out, x)
			}
		}
	}
	return out
}

func (d *Driver) KillSandbox(_ context.Context, s podruntime.SandboxSpec) error {
	d.mu.Lock()
	var running []string
	for id, c := range d.containers {
		if c.spec.Sandbox == s.ID && c.running {
			running = append(running, id)
		}
	}
	d.mu.Unlock()
	for _, id := range running {
		d.end(id, podruntime.Exit{Code: 137})
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if sb := d.sandboxes[s.ID]; sb != nil {
		sb.alive = false
	}
	return nil
}

func (d *Driver) DestroySandbox(ctx context.Context, s podruntime.SandboxSpec) error {
	if err := d.KillSandbox(ctx, s); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sandboxes, s.ID)
	return nil
}

func (d *Driver) CreateContainer(_ context.Context, c podruntime.ContainerSpec) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.containers[c.ID] = &fakeContainer{spec: c, behaviour: d.behave(c), done: make(chan struct{})}
	return nil
}

func (d *Driver) StartContainer(ctx context.Context, ref podruntime.ContainerRef) (podruntime.Started, error) {
	d.mu.Lock()
	c := d.containers[ref.ID]
	d.mu.Unlock()
	if c == nil {
		return podruntime.Started{}, fmt.Errorf("container %s: %w", ref.ID, podruntime.ErrGone)
	}
	b := c.behaviour
	if b.StartFor > 0 {
		select {
		case <-time.After(b.StartFor):
		case <-ctx.Done():
			return podruntime.Started{}, ctx.Err()
		}
	}
	if b.StartErr != nil {
		return podruntime.Started{}, b.StartErr
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextPID++
	c.running, c.started = true, true
	if b.RunFor > 0 {
		code := b.ExitCode
		if b.OOMKilled {
			code = 137
		}
		c.timer = time.AfterFunc(b.RunFor, func() { d.end(ref.ID, podruntime.Exit{Code: code, OOMKilled: b.OOMKilled}) })
	}
	return podruntime.Started{PID: d.nextPID, At: time.Now()}, nil
}

// end ends a container and tells the server, or keeps the exit for the next one.
func (d *Driver) end(id string, x podruntime.Exit) {
	d.mu.Lock()
	c := d.containers[id]
	if c == nil || !c.running {
		d.mu.Unlock()
		return
	}
	c.running = false
	if c.timer != nil {
		c.timer.Stop()
	}
	close(c.done)
	x.Sandbox, x.Container, x.At = c.spec.Sandbox, id, time.Now()
	if sb := d.sandboxes[x.Sandbox]; sb != nil {
		sb.lost[id] = x
	}
	exited := d.exited
	d.mu.Unlock()
	if exited != nil {
		exited(x)
	}
}

func (d *Driver) SignalContainer(_ context.Context, ref podruntime.ContainerRef, signal int) error {
	d.mu.Lock()
	c := d.containers[ref.ID]
	if c == nil || !c.running {
		d.mu.Unlock()
		return podruntime.ErrGone
	}
	b := c.behaviour
	d.mu.Unlock()
	switch {
	case syscall.Signal(signal) == syscall.SIGKILL:
		d.end(ref.ID, podruntime.Exit{Code: 137})
	case b.IgnoreTerm:
	case b.TermAfter > 0:
		time.AfterFunc(b.TermAfter, func() { d.end(ref.ID, podruntime.Exit{Code: b.TermCode}) })
	default:
		d.end(ref.ID, podruntime.Exit{Code: b.TermCode})
	}
	return nil
}

func (d *Driver) KillContainer(_ context.Context, ref podruntime.ContainerRef) error {
	d.end(ref.ID, podruntime.Exit{Code: 137})
	return nil
}

func (d *Driver) DestroyContainer(ctx context.Context, ref podruntime.ContainerRef) error {
	if err := d.KillContainer(ctx, ref); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.containers, ref.ID)
	return nil
}

func (d *Driver) running(id string) (*fakeContainer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.containers[id]
	if c == nil || !c.running {
		return nil, podruntime.ErrGone
	}
	return c, nil
}

func (d *Driver) UpdateContainer(_ context.Context, ref podruntime.ContainerRef, r *specs.LinuxResources) error {
	c, err := d.running(ref.ID)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c.spec.OCI.Linux.Resources = r
	return nil
}

func (d *Driver) ReopenLog(_ context.Context, ref podruntime.ContainerRef) error {
	c, err := d.running(ref.ID)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c.reopened++
	return nil
}

func (d *Driver) Exec(ctx context.Context, ref podruntime.ContainerRef, e podruntime.ExecSpec) (int, error) {
	c, err := d.running(ref.ID)
	if err != nil {
		return -1, err
	}
	if c.behaviour.Exec == nil {
		return 0, nil
	}
	return c.behaviour.Exec(ctx, e.Args, e.Streams)
}

func (d *Driver) Attach(ctx context.Context, ref podruntime.ContainerRef, _ podruntime.Streams) error {
	c, err := d.running(ref.ID)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Driver) DialPod(_ context.Context, s podruntime.SandboxSpec, port uint16) (io.ReadWriteCloser, error) {
	d.mu.Lock()
	var dial func(uint16) (io.ReadWriteCloser, error)
	for _, c := range d.containers {
		if c.spec.Sandbox == s.ID && c.running && c.behaviour.Dial != nil {
			dial = c.behaviour.Dial
		}
	}
	d.mu.Unlock()
	if dial == nil {
		return nil, fmt.Errorf("dial port %d: %w", port, syscall.ECONNREFUSED)
	}
	return dial(port)
}

func (d *Driver) ContainerStats(_ context.Context, ref podruntime.ContainerRef) (podruntime.Usage, error) {
	if _, err := d.running(ref.ID); err != nil {
		return podruntime.Usage{}, err
	}
	return podruntime.Usage{At: time.Now(), CPUNanos: 1e6, MemoryBytes: 2 << 20, WorkingSetBytes: 1 << 20, RSSBytes: 1 << 20, Processes: 1}, nil
}

func (d *Driver) Sweep(ctx context.Context, sandboxes, containers map[string]bool) error {
	d.mu.Lock()
	var dead []podruntime.SandboxSpec
	for id, sb := range d.sandboxes {
		if !sandboxes[id] {
			dead = append(dead, sb.spec)
		}
	}
	var refs []podruntime.ContainerRef
	for id, c := range d.containers {
		if !containers[id] {
			refs = append(refs, c.spec.ContainerRef)
		}
	}
	d.mu.Unlock()
	var errs []error
	for _, ref := range refs {
		errs = append(errs, d.DestroyContainer(ctx, ref))
	}
	for _, s := range dead {
		errs = append(errs, d.DestroySandbox(ctx, s))
	}
	return errors.Join(errs...)
}

// Images is a podruntime.Images of images that need no files. Every name is present unless it is in Missing.
type Images struct {
	Missing map[string]bool
	// Config is every image's configuration.
	Config imagespec.ImageConfig
}

// Open implements podruntime.Images.
func (i Images) Open(_ context.Context, name string) (podruntime.Image, error) {
	if i.Missing[name] {
		return podruntime.Image{}, podruntime.ErrImageNotPresent
	}
	cfg := i.Config
	if len(cfg.Entrypoint) == 0 && len(cfg.Cmd) == 0 {
		cfg.Cmd = []string{"/main"}
	}
	return podruntime.Image{ID: "sha256:" + name, Config: cfg}, nil
}

// Network is a podruntime.Network that hands out addresses of 10.244.0.0/16 in turn.
type Network struct {
	mu       sync.Mutex // guards what follows
	next     netip.Addr
	attached map[string]netip.Addr
}

// Attach implements podruntime.Network.
func (n *Network) Attach(_ context.Context, a podruntime.Attachment) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr, ok := n.attached[a.SandboxID]; ok {
		return []netip.Addr{addr}, nil
	}
	if !n.next.IsValid() {
		n.next, n.attached = netip.MustParseAddr("10.244.0.2"), map[string]netip.Addr{}
	}
	addr := n.next
	n.next = addr.Next()
	n.attached[a.SandboxID] = addr
	return []netip.Addr{addr}, nil
}

// Detach implements podruntime.Network.
func (n *Network) Detach(_ context.Context, sandbox string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.attached, sandbox)
	return nil
}

// Attached returns how many sandboxes are connected.
func (n *Network) Attached() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.attached)
}
