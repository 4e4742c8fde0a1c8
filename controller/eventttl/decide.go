// Package eventttl removes Events an hour after they were last seen, as Kubernetes' API server does by default
// (--event-ttl). Without it they would pile up for ever, since nothing owns them.
//
// The controller is pure; package controller runs it. It waits by Plan.WakeAt, so it costs nothing until then.
package eventttl

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// TTL is how long an Event is kept after it was last seen.
const TTL = time.Hour

// In is what a decision about an Event may know.
type In struct {
	Event *corev1.Event // nil: it is gone
	Now   time.Time
}

// New returns the controller.
func New() plan.Controller {
	return plan.Define("event-ttl-controller", []plan.Watch{{Kind: kind.Events, Keys: plan.Self}}, Gather, Decide)
}

// Gather collects what the decision about an Event may know.
func Gather(snap *view.Snapshot, key view.Key, now time.Time) In {
	e, _ := view.Get[*corev1.Event](snap, kind.Events, key.Namespace, key.Name)
	return In{e, now}
}

// Decide removes an Event that is too old, or waits until it is. The mem is not used.
func Decide(in In, _ struct{}) (p plan.Plan, _ struct{}) {
	if in.Event == nil || in.Event.DeletionTimestamp != nil {
		return p, struct{}{}
	}
	if end := lastSeen(in.Event).Add(TTL); end.After(in.Now) {
		p.Wake(end)
		return p, struct{}{}
	}
	// The revision makes sure that the event was not seen again meanwhile.
	p.Do(plan.Delete{
		Key: view.KeyOf(kind.Events, in.Event), UID: in.Event.UID, Revision: in.Event.ResourceVersion,
	})
	return p, struct{}{}
}

// lastSeen is the latest of the times that an Event carries: which ones are set depends on who wrote it.
func lastSeen(e *corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	times := []time.Time{e.FirstTimestamp.Time, e.LastTimestamp.Time, e.EventTime.Time}
	if e.Series != nil {
		times = append(times, e.Series.LastObservedTime.Time)
	}
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
