package events

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client"
	"sampan/kind"
	"sampan/view"
)

const (
	queueMax     = 1000             // events that wait to be written, beyond which they are dropped
	writeTimeout = 10 * time.Second // for one event
)

// Config is what a Recorder needs.
type Config struct {
	Client client.Client
	Kinds  *kind.Registry
	Now    func() time.Time
	Log    *slog.Logger
}

// Recorder writes events in the background. Record may be called from any goroutine, before and after Run.
type Recorder struct {
	cfg        Config
	queue      chan observed
	dropped    atomic.Int64
	correlator Correlator // of Run's goroutine
}

type observed struct {
	event Event
	at    time.Time
}

// New makes a recorder. It writes while Run runs.
func New(cfg Config) *Recorder {
	return &Recorder{cfg: cfg, queue: make(chan observed, queueMax)}
}

// Record takes an event to be written. It never blocks.
func (r *Recorder) Record(e Event) {
	select {
	case r.queue <- observed{e, r.cfg.Now()}:
	default:
		r.dropped.Add(1)
	}
}

// Dropped returns how many events were dropped because too many waited or the API server refused them.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Run writes events until ctx ends, and returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-r.queue:
			if err := r.write(ctx, o); err != nil && ctx.Err() == nil {
				r.dropped.Add(1)
				r.cfg.Log.Debug("event not written", "about", o.event.About.String(), "reason", o.event.Reason, "error", err)
			}
		}
	}
}

// Drain writes what waits now and returns, for callers that have no goroutine to spare (the simulator).
func (r *Recorder) Drain(ctx context.Context) {
	for len(r.queue) > 0 {
		if err := r.write(ctx, <-r.queue); err != nil {
			r.dropped.Add(1)
		}
	}
}

func (r *Recorder) write(ctx context.Context, o observed) error {
	k := r.cfg.Kinds.ByID(o.event.About.Kind)
	if k == nil {
		return fmt.Errorf("write event about %s: unknown kind", o.event.About)
	}
	w, ok := r.correlator.Observe(o.event, o.at)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if w.Count > 1 {
		patch, err := w.patch()
		if err != nil {
			return fmt.Errorf("encode event %s: %w", w.Name, err)
		}
		key := view.Key{Kind: kind.Events, Namespace: namespace(w.Event), Name: w.Name}
		_, err = r.cfg.Client.Patch(ctx, key, types.MergePatchType, patch, "", metav1.PatchOptions{})
		if !apierrors.IsNotFound(err) {
			return err
		}
		// The object expired, or was not written when the bucket was empty: start it anew with the same count.
	}
	_, err := r.cfg.Client.Create(ctx, w.object(k), metav1.CreateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) { // the namespace is gone or going
		r.correlator.Forget(w.Event)
	}
	return err
}
