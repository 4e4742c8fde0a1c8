package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/apiserver"
	"sampan/apiserver/admit"
	"sampan/apiserver/auth"
	"sampan/client"
	"sampan/client/events"
	"sampan/controller"
	"sampan/controller/all"
	"sampan/controller/volume"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/plan"
	"sampan/sim/check"
	"sampan/store/memory"
)

// Config is a simulation. The zero value of a field means what its comment says.
type Config struct {
	Seed    uint64
	Nodes   int           // 3
	For     time.Duration // of faults and users' changes, 2 minutes
	Faults  Faults        // none
	Objects []kind.Object // that are created at the start; nil: Shop()
	// Users makes users roll, scale, pause and kill what there is while the faults last.
	Users bool
	// Trace takes one line per change, decision and fault; nil: nobody.
	Trace io.Writer
	Log   *slog.Logger // nil: silence
}

// Result is what became of a simulation.
type Result struct {
	Seed    uint64
	Writes  int           // committed, without leases
	Settled time.Duration // from the end of the faults to the last write
	Hash    uint64        // of all changes: equal runs have equal hashes
	// Err is the broken rule, or what did not settle; nil if all is well.
	Err error
}

const (
	quiet     = 2*time.Minute + 30*time.Second // without a write: longer than any back-off
	aftermath = time.Minute                    // after a node's return, for nodes and pods to be marked ready again
	settleMax = 40 * time.Minute               // beyond a progress deadline
)

// simulation is a run in the making.
type simulation struct {
	clock
	cfg       Config
	kinds     *kind.Registry
	api       client.Client
	processes []*process
	chaos     bool

	rules  []check.Rule
	budget *check.Budget
	dead   int       // nodes without an agent
	shaken time.Time // when there last was one
	seen   int64
	writes int
	last   time.Time // of the last write that is not a lease
	hash   interface {
		io.Writer
		Sum64() uint64
	}
	err  error
	uids uint64
}

// Run simulates a cluster's life.
func Run(cfg Config) Result {
	if cfg.Nodes == 0 {
		cfg.Nodes = 3
	}
	if cfg.For == 0 {
		cfg.For = 2 * time.Minute
	}
	if cfg.Objects == nil {
		cfg.Objects = Shop()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &simulation{cfg: cfg, kinds: registry.New(), hash: fnv.New64a(), rules: check.Rules()}
	for _, r := range s.rules {
		if b, ok := r.(*check.Budget); ok {
			s.budget = b
		}
	}
	s.now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := s.build(); err != nil {
		return Result{Seed: cfg.Seed, Err: fmt.Errorf("build the simulated cluster: %w", err)}
	}
	return s.run()
}

// build puts the cluster together.
func (s *simulation) build() error {
	server, err := apiserver.New(apiserver.Config{
		Store:       memory.New(),
		Kinds:       s.kinds,
		Admission:   admit.Default(admit.Config{}),
		Now:         s.Now,
		NewUID:      s.newUID,
		Random:      rand.NewPCG(s.cfg.Seed, 1),
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/12"),
	})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := server.Bootstrap(ctx); err != nil {
		return err
	}
	s.api = server.Client(auth.User{Name: "sim", Groups: []string{auth.GroupMasters}})
	if class := volume.DefaultStorageClass(); class != nil {
		if _, err := s.api.Create(ctx, class, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	for i := range s.cfg.Nodes {
		if err := s.register(ctx, node(nodeName(i))); err != nil {
			return err
		}
	}
	s.newProcess("controllers", newManager(all.All(all.Config{
		Kinds: s.kinds, CABundle: []byte("simulated"), Volume: volume.Config{Root: "/volumes"},
	})))
	s.newProcess("scheduler", newPlacer)
	for i := range s.cfg.Nodes {
		s.newProcess(nodeName(i), newAgent(nodeName(i)))
	}
	for _, obj := range s.cfg.Objects {
		s.user(obj)
	}
	return nil
}

func nodeName(i int) string { return fmt.Sprintf("node%d", i+1) }

// register creates a node and its status.
func (s *simulation) register(ctx context.Context, n *corev1.Node) error {
	obj, err := s.api.Create(ctx, n, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made := obj.(*corev1.Node).DeepCopy()
	made.Status = n.Status
	_, err = s.api.Update(ctx, made, "status", metav1.UpdateOptions{})
	return err
}

func (s *simulation) newUID() types.UID {
	s.uids++
	return types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", s.uids))
}

// run takes events until the cluster has settled, a rule is broken, or time is over.
func (s *simulation) run() Result {
	start := s.now
	calm := start.Add(s.cfg.For)
	s.last = start
	s.chaos = true
	if s.cfg.Users {
		s.startUsers(calm)
	}
	for s.err == nil && s.step(calm) {
		s.publish()
	}
	s.chaos = false
	s.last = s.now
	if s.cfg.Users {
		s.calmUsers()
		s.publish()
	}
	for end := calm.Add(settleMax); s.err == nil && s.now.Before(s.last.Add(quiet)); {
		if !s.step(end) {
			s.err = fmt.Errorf("still writing %v after the faults stopped", settleMax)
		}
		s.publish()
	}
	if s.err == nil {
		if wrong := check.Settled(s.api.Snapshot()); len(wrong) > 0 {
			s.err = fmt.Errorf("at rest, but %d things are not as asked for: %v", len(wrong), wrong)
		}
	}
	return Result{Seed: s.cfg.Seed, Writes: s.writes, Settled: s.last.Sub(calm), Hash: s.hash.Sum64(), Err: s.err}
}

// publish shows what was committed to the rules and to the processes.
func (s *simulation) publish() {
	changes, snap, ok := s.api.Since(s.seen)
	if s.dead > 0 {
		s.last, s.shaken = s.now, s.now
	}
	if s.now.Before(s.shaken.Add(aftermath)) {
		s.budget.Excuse("", snap, s.now)
	}
	if !ok {
		s.err = fmt.Errorf("the API server forgot the changes after revision %d", s.seen)
		return
	}
	if len(changes) == 0 {
		return
	}
	s.seen = snap.Revision()
	for _, c := range changes {
		if c.Key.Kind == kind.Leases {
			continue
		}
		s.writes++
		s.last = s.now
		verb := "update"
		switch {
		case c.Old == nil:
			verb = "create"
		case c.New == nil:
			verb = "remove"
		}
		s.note(verb, c.Key.String())
		for _, r := range s.rules {
			if err := r.Change(c, snap, s.now); err != nil && s.err == nil {
				s.err = fmt.Errorf("at %v: %w", s.elapsed(), err)
			}
		}
	}
	for _, p := range s.processes {
		p.notify()
	}
}

func (s *simulation) elapsed() time.Duration {
	return s.now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
}

// note adds a line to the trace and to the hash.
func (s *simulation) note(what, about string) {
	line := fmt.Sprintf("%-14v %-8s %s\n", s.elapsed(), what, about)
	io.WriteString(s.hash, line)
	if s.cfg.Trace != nil {
		io.WriteString(s.cfg.Trace, line)
	}
}

// decided traces a decision that asks for something.
func (s *simulation) decided(t controller.Task, p plan.Plan) {
	if s.cfg.Trace == nil || len(p.Actions) == 0 {
		return
	}
	fmt.Fprintf(s.cfg.Trace, "%-14v decide   %s %s: %d actions\n", s.elapsed(), t.Controller, t.Key, len(p.Actions))
	for _, r := range p.Reasons {
		fmt.Fprintf(s.cfg.Trace, "%-14s          %s\n", "", r.Message)
	}
}

// silence takes events nowhere.
type silence struct{}

func (silence) Record(events.Event) {}
