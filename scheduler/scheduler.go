// Package scheduler finds a node for each pod and binds it there.
//
// A [Scheduler] follows a client's view. Pods wait in a queue: active ones are decided at once by package
// scheduler/place, those whose write failed wait for their back-off, and those that fit nowhere wait for a
// change that could help. A decision is assumed at once, so that the next pod sees the node as taken, and is
// confirmed or dropped by what the API server says. Claims that wait for their first consumer are given the chosen
// node first; the pod is bound when they are.
//
// Any number of schedulers may run at once without harm: a bind is refused if the pod already has a node.
// [Core] is the scheduler itself; [Scheduler] adds goroutines, the clock and the client.
package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan/client"
	"sampan/client/events"
	"sampan/view"
)

// writers is the number of decisions carried out at once. Writes that arrive together share one sync of the disk.
const writers = 64

// Events takes what users should see about a pod: an events.Recorder. Record must not block.
type Events interface{ Record(events.Event) }

// Config is what a Scheduler is made of. Every field is required but Name and Metrics.
type Config struct {
	Client client.Client
	Log    *slog.Logger
	Now    func() time.Time
	Events Events
	Name   string // of pods' spec.schedulerName; "" means default-scheduler
	// Metrics counts what is done; nil for nobody.
	Metrics *Metrics
}

// Scheduler is the goroutine shell around [Core].
type Scheduler struct{ cfg Config }

// New returns a scheduler; Run starts it.
func New(cfg Config) *Scheduler {
	if cfg.Name == "" {
		cfg.Name = corev1.DefaultSchedulerName
	}
	return &Scheduler{cfg: cfg}
}

// news is what the follower brings: a snapshot, and the changes that led to it unless reset.
type news struct {
	reset   bool
	changes []view.Change
	snap    *view.Snapshot
}

// outcome is how carrying out a decision went.
type outcome struct {
	decision Decision
	err      error
}

// Run schedules pods until ctx is done, and returns nil then. Writes under way are waited for.
func (s *Scheduler) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()

	follow, outcomes := make(chan news), make(chan outcome, writers)
	running.Go(func() { s.follow(ctx, follow) })
	core := NewCore(s.cfg.Name)
	wake := time.NewTimer(0)
	defer wake.Stop()
	defer s.cfg.Metrics.waits(nil)
	waiting := Pending{Active: -1} // none that was shown
	for busy := 0; ; {
		for busy < writers {
			began := time.Now()
			d, ok := core.Next(s.cfg.Now())
			if !ok {
				break
			}
			s.cfg.Metrics.decided(time.Since(began))
			busy++
			snap := core.Snapshot()
			running.Go(func() {
				err := s.carryOut(ctx, snap, d)
				s.cfg.Metrics.carriedOut(s.cfg.Name, d, err, time.Since(began), s.cfg.Now())
				outcomes <- outcome{d, err}
			})
		}
		if now := core.Pending(); now != waiting {
			waiting = now
			s.cfg.Metrics.waits(&now)
		}
		wake.Stop()
		if at := core.WakeAt(); !at.IsZero() && busy < writers {
			wake.Reset(at.Sub(s.cfg.Now()))
		}
		select {
		case <-ctx.Done():
			return nil
		case n := <-follow:
			if n.reset {
				core.Reset(n.snap)
			} else {
				core.Observe(n.changes, n.snap)
			}
		case o := <-outcomes:
			busy--
			core.Done(o.decision, o.err, s.cfg.Now())
		case <-wake.C:
		}
	}
}

// follow pulls the client's view and hands over what is new.
func (s *Scheduler) follow(ctx context.Context, to chan<- news) {
	snap := s.cfg.Client.Snapshot()
	n := news{reset: true, snap: snap}
	for {
		select {
		case to <- n:
		case <-ctx.Done():
			return
		}
		at := n.snap.Revision()
		if err := s.cfg.Client.Wait(ctx, at); err != nil {
			return // ctx is done
		}
		changes, snap, ok := s.cfg.Client.Since(at)
		n = news{reset: !ok, changes: changes, snap: snap}
	}
}
