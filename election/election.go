// Package election lets one of several processes do what only one may do at a time, such as to run the controllers of
// a cluster: the holder of a Lease. Who that is decides package election/term; this is the shell around it.
package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/client"
	"sampan/election/term"
	"sampan/kind"
	"sampan/view"
)

// The times of upstream's controller manager and scheduler.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// releaseTimeout bounds the last write of a candidate that goes away.
const releaseTimeout = 5 * time.Second

// Config is what an Election needs. Every field is required.
type Config struct {
	Client client.Client
	// Namespace and Name are of the Lease; whoever names the same takes part in the same election.
	Namespace, Name string
	// Identity is the name of this candidate, which no other one has that may live at the same time.
	Identity string
	Now      func() time.Time
	Log      *slog.Logger
}

// Election is one candidate.
type Election struct {
	cfg   Config
	key   view.Key
	rules term.Rules
	mem   term.Mem
	guard *guard
	stop  context.CancelFunc // ends the duty; nil if there is none
	ended chan error         // gets what the duty returns
}

// New returns a candidate; Run makes it one.
func New(cfg Config) *Election {
	return &Election{
		cfg:   cfg,
		key:   view.Key{Kind: kind.Leases, Namespace: cfg.Namespace, Name: cfg.Name},
		rules: term.Rules{Identity: cfg.Identity, Duration: leaseDuration, Deadline: renewDeadline, Retry: retryPeriod},
	}
}

// Run takes part until ctx ends, and returns nil then. Whenever this candidate leads, duty runs. Its context ends as
// soon as the candidate leads no more, and its client refuses writes even before that: from the moment at which
// another one might begin to lead. When duty has returned, the candidate stands by again; if it returns an error while
// its context goes on, Run returns that. A candidate that goes away gives the Lease back.
func (e *Election) Run(ctx context.Context, duty func(context.Context, client.Client) error) error {
	e.ended = make(chan error, 1)
	defer e.release(context.WithoutCancel(ctx))
	for {
		snap := e.cfg.Client.Snapshot()
		lease, _ := view.Get[*coordinationv1.Lease](snap, kind.Leases, e.cfg.Namespace, e.cfg.Name)
		var step term.Step
		step, e.mem = e.rules.Decide(e.cfg.Namespace, e.cfg.Name, lease, e.cfg.Now(), e.mem)
		if err := e.lead(ctx, step.Lead, duty); err != nil {
			return err
		}
		var err error
		if step.Write != nil {
			e.write(ctx, step.Write)
		} else {
			err = e.wait(ctx, snap.Revision(), step.WakeAt)
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, e.lead(ctx, false, nil))
		}
	}
}

// lead begins the duty, or ends it and waits until it has ended.
func (e *Election) lead(ctx context.Context, yes bool, duty func(context.Context, client.Client) error) error {
	switch {
	case yes && e.stop == nil:
		e.cfg.Log.Info("leading", "lease", e.cfg.Name, "as", e.cfg.Identity)
		var life context.Context
		life, e.stop = context.WithCancel(ctx)
		g := newGuard(e.cfg.Client, e.cfg.Now, e.mem.Renewed.Add(renewDeadline))
		e.guard = g
		go func() {
			err := duty(life, g)
			if life.Err() == nil && err == nil {
				err = errors.New("ended by itself")
			}
			e.ended <- err
		}()
	case !yes && e.stop != nil:
		e.guard.until(time.Time{})
		e.stop()
		e.stop = nil
		if ctx.Err() == nil {
			e.cfg.Log.Warn("leading no more", "lease", e.cfg.Name, "as", e.cfg.Identity)
		}
		if err := <-e.ended; err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// write makes the write of a step.
func (e *Election) write(ctx context.Context, lease *coordinationv1.Lease) {
	began := e.cfg.Now()
	limit := renewDeadline
	if e.stop != nil {
		limit = e.mem.Renewed.Add(renewDeadline).Sub(began)
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var obj kind.Object
	var err error
	if lease.ResourceVersion == "" {
		obj, err = e.cfg.Client.Create(limited, lease, metav1.CreateOptions{})
	} else {
		obj, err = e.cfg.Client.Update(limited, lease, "", metav1.UpdateOptions{})
	}
	if err == nil {
		err = e.see(limited, obj)
	}
	if err != nil {
		e.cfg.Log.Debug("lease not taken", "lease", e.cfg.Name, "error", err)
		e.mem = e.mem.Failed(began)
		return
	}
	e.mem = e.mem.Wrote(began)
	if e.guard != nil {
		e.guard.until(began.Add(renewDeadline))
	}
}

// see waits until the view shows the own write: the next step must not look at what was before it.
func (e *Election) see(ctx context.Context, obj kind.Object) error {
	revision, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return fmt.Errorf("resourceVersion of the lease: %w", err)
	}
	for {
		at := e.cfg.Client.Snapshot().Revision()
		if at >= revision {
			return nil
		}
		if err := e.cfg.Client.Wait(ctx, at); err != nil {
			return err
		}
	}
}

// wait returns at a change of the Lease, or at a time. The error is that of a duty that has ended.
func (e *Election) wait(ctx context.Context, seen int64, until time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, until.Sub(e.cfg.Now()))
	defer cancel()
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		for e.cfg.Client.Wait(ctx, seen) == nil {
			changes, snap, ok := e.cfg.Client.Since(seen)
			if !ok {
				return
			}
			for _, c := range changes {
				if c.Key == e.key {
					return
				}
			}
			seen = snap.Revision()
		}
	}()
	select {
	case <-changed:
		return nil
	case err := <-e.ended:
		cancel()
		<-changed
		e.stop()
		e.stop = nil
		return err
	}
}

// release gives the Lease back if this candidate holds it.
func (e *Election) release(ctx context.Context) {
	if e.stop != nil { // the duty failed to begin or to end
		e.stop()
	}
	if !e.mem.Leading {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	lease, _ := view.Get[*coordinationv1.Lease](e.cfg.Client.Snapshot(), kind.Leases, e.cfg.Namespace, e.cfg.Name)
	if released := e.rules.Released(lease, e.cfg.Now()); released != nil {
		if _, err := e.cfg.Client.Update(ctx, released, "", metav1.UpdateOptions{}); err != nil {
			e.cfg.Log.Warn("lease not given back; it expires", "lease", e.cfg.Name, "error", err)
		}
	}
}
