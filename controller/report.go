package controller

import (
	"time"

	"sampan/client/events"
	"sampan/plan"
	"sampan/view"
)

// Report says what a controller last did for a key, and what it waits for.
type Report struct {
	Controller string
	Key        view.Key
	At         time.Time
	Revision   int64 // of the view that was decided on
	Actions    int   // that the plan had
	Carried    int   // of which were carried out
	Reasons    []plan.Reason
	WakeAt     time.Time
	Err        error // that ended the plan, or nil
}

// report returns nil if there is nothing to tell: most controllers look at most objects in vain.
func report(t Task, o Outcome, now time.Time) *Report {
	if len(o.Plan.Actions) == 0 && len(o.Plan.Reasons) == 0 && o.Plan.WakeAt.IsZero() && o.Err == nil {
		return nil
	}
	return &Report{
		Controller: t.Controller,
		Key:        t.Key,
		At:         now,
		Revision:   t.snap.Revision(),
		Actions:    len(o.Plan.Actions),
		Carried:    o.Carried,
		Reasons:    o.Plan.Reasons,
		WakeAt:     o.Plan.WakeAt,
		Err:        o.Err,
	}
}

// Explain returns the last reports about the object: those of its own key, and those with a reason about
// it, ordered by controller and key.
func (l *Loop) Explain(about view.Key) []Report {
	var reports []Report
	for _, it := range l.sorted() {
		if it.last == nil {
			continue
		}
		if it.key == about || mentions(it.last.Reasons, about) {
			reports = append(reports, *it.last)
		}
	}
	return reports
}

func mentions(reasons []plan.Reason, about view.Key) bool {
	for _, r := range reasons {
		if r.About == about {
			return true
		}
	}
	return false
}

// Events returns the events that an outcome gives rise to. A reason about an object that the view does not
// have is left out.
func Events(t Task, o Outcome) []events.Event {
	var out []events.Event
	for _, r := range o.Plan.Reasons {
		if r.EventReason == "" || r.After > o.Carried {
			continue
		}
		obj := t.snap.Get(r.About)
		if obj == nil {
			continue
		}
		out = append(out, events.Event{
			About:     r.About,
			UID:       obj.GetUID(),
			Revision:  obj.GetResourceVersion(),
			Component: t.Controller,
			Warning:   r.Warning,
			Reason:    r.EventReason,
			Message:   r.Message,
		})
	}
	return out
}
