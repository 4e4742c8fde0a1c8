package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"sampan/client"
	"sampan/client/events"
	"sampan/plan"
	"sampan/view"
)

// workersDefault is how many plans are decided and carried out at the same time.
const workersDefault = 4

// Recorder writes events; *events.Recorder is one.
type Recorder interface{ Record(events.Event) }

// Config is what a Runner needs.
type Config struct {
	Client      client.Client
	Controllers []plan.Controller
	Now         func() time.Time
	Log         *slog.Logger
	// Events takes the events; nil drops them.
	Events Recorder
	// Metrics takes what there is to know of the queues; nil drops it.
	Metrics *Metrics
	// Workers is how many plans are in flight at most; 0 means 4.
	Workers int
}

// Runner runs controllers until its context ends.
type Runner struct {
	cfg Config

	mu      sync.Mutex // guards the loop and stopped
	loop    *Loop
	stopped bool
	due     *sync.Cond // of mu: a key may be due, or the runner stopped
}

// New makes a runner. Nothing happens before Run.
func New(cfg Config) *Runner {
	if cfg.Workers == 0 {
		cfg.Workers = workersDefault
	}
	r := &Runner{cfg: cfg, loop: NewLoop(cfg.Controllers)}
	r.due = sync.NewCond(&r.mu)
	return r
}

// Explain returns what the controllers last did about an object; see [Loop.Explain].
func (r *Runner) Explain(about view.Key) []Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loop.Explain(about)
}

func (r *Runner) queues() []Queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loop.Queues(r.cfg.Now())
}

// Run runs the controllers until ctx ends, waits for the plans in flight, and returns nil. An error means
// that the view cannot be followed.
func (r *Runner) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	snap := r.cfg.Client.Snapshot()
	r.mu.Lock()
	r.loop.Reset(snap, r.cfg.Now())
	r.mu.Unlock()
	if r.cfg.Metrics != nil {
		defer r.cfg.Metrics.follow(r)()
	}

	var running sync.WaitGroup
	for range r.cfg.Workers {
		running.Go(func() { r.work(ctx) })
	}
	err := r.follow(ctx, snap.Revision())
	cancel()
	r.mu.Lock()
	r.stopped = true
	r.due.Broadcast()
	r.mu.Unlock()
	running.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// follow offers the changes to the loop as they come.
func (r *Runner) follow(ctx context.Context, seen int64) error {
	for {
		if err := r.cfg.Client.Wait(ctx, seen); err != nil {
			return err
		}
		changes, snap, ok := r.cfg.Client.Since(seen)
		r.mu.Lock()
		if ok {
			r.loop.Offer(changes, snap, r.cfg.Now())
		} else {
			r.loop.Reset(snap, r.cfg.Now())
		}
		r.due.Broadcast()
		r.mu.Unlock()
		seen = snap.Revision()
	}
}

// work decides and carries out what is due.
func (r *Runner) work(ctx context.Context) {
	for {
		t, ok := r.next()
		if !ok {
			return
		}
		began := time.Now()
		o := r.do(ctx, t)
		if r.cfg.Metrics != nil {
			r.cfg.Metrics.done(t, time.Since(began))
		}
		if r.cfg.Events != nil {
			for _, e := range Events(t, o) {
				r.cfg.Events.Record(e)
			}
		}
		r.log(ctx, t, o)
		r.mu.Lock()
		r.loop.Done(t, o, r.cfg.Now())
		r.mu.Unlock()
	}
}

// do decides about a key and carries the plan out. A decision that panics is a failed one: a mistake in one
// controller, or an object that nobody thought of, must not take the API server of the same process down.
func (r *Runner) do(ctx context.Context, t Task) (o Outcome) {
	defer func() {
		if v := recover(); v != nil {
			o = Outcome{Mem: t.mem, Err: fmt.Errorf("decide about %s: panic: %v\n%s", t.Key, v, debug.Stack())}
		}
	}()
	p, mem := t.Decide(r.cfg.Now())
	return Carry(ctx, r.cfg.Client, p, mem)
}

// next waits for a key that is due; ok is false when the runner stopped.
func (r *Runner) next() (t Task, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.stopped {
		now := r.cfg.Now()
		if t, ok := r.loop.Next(now); ok {
			return t, true
		}
		at, ok := r.loop.WakeAt()
		if !ok {
			r.due.Wait()
			continue
		}
		// The timer takes the lock, so that its broadcast cannot fall between the check above and Wait.
		wake := time.AfterFunc(at.Sub(now), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.due.Broadcast()
		})
		r.due.Wait()
		wake.Stop()
	}
	return Task{}, false
}

func (r *Runner) log(ctx context.Context, t Task, o Outcome) {
	if o.Err == nil || ctx.Err() != nil || apierrors.IsConflict(o.Err) || apierrors.IsNotFound(o.Err) {
		return // stale views are everyday life
	}
	r.cfg.Log.Warn("plan failed", "controller", t.Controller, "key", t.Key.String(), "error", o.Err)
}
