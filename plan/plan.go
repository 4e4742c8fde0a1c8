// Package plan is what a decision may ask for: actions, the time to look again, and the reasons.
//
// A decision is pure: Decide(In, Mem) returns a [Plan] and the next Mem. The shell in package controller
// carries the actions out in order and the first failure ends the plan; the next view decides anew. So a
// plan must be right after any prefix of it was carried out.
package plan

import (
	"reflect"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/view"
)

// Plan is the result of one decision about one key.
type Plan struct {
	Actions []Action
	// WakeAt is the absolute time at which the decision must be taken again even if nothing changed; zero: never.
	WakeAt time.Time
	// Reasons say what was done and what is waited for. They feed events, the dashboard and `sampan explain`.
	Reasons []Reason
}

// Action is one write to the API: one of the types below.
type Action interface{ action() }

// Create creates an object. "Already exists" counts as done, because the names of children are a function
// of owner and slot (see [ChildName]).
type Create struct{ Object kind.Object }

// Update replaces an object. Its resourceVersion is the one that the decision saw.
type Update struct{ Object kind.Object }

// UpdateStatus replaces the status of an object. Its resourceVersion is the one that the decision saw.
type UpdateStatus struct{ Object kind.Object }

// Finalize replaces the spec.finalizers of a Namespace (the finalize subresource). Its resourceVersion is the one
// that the decision saw.
type Finalize struct{ Object kind.Object }

// Delete deletes an object if it still is the one that the decision saw. "Not found" counts as done.
type Delete struct {
	Key view.Key
	UID types.UID // required
	// Revision is the resourceVersion that the object must still have; "" for any.
	Revision     string
	GraceSeconds *int64 // nil: as the object says
	// Propagation is "", "Foreground", "Background" or "Orphan" (metav1.DeletionPropagation).
	Propagation string
}

// Evict asks for the voluntary deletion of a pod, subject to disruption budgets.
type Evict struct {
	Pod view.Key
	UID types.UID
}

// Bind assigns a pod to a node (the binding subresource).
type Bind struct {
	Pod  view.Key
	UID  types.UID
	Node string
}

func (Create) action()       {}
func (Update) action()       {}
func (UpdateStatus) action() {}
func (Finalize) action()     {}
func (Delete) action()       {}
func (Evict) action()        {}
func (Bind) action()         {}

// Reason says why something was done, or what is waited for. With an EventReason it is also written as an
// Event about the object ("SuccessfulCreate", "FailedScheduling"), in the words of Kubernetes.
type Reason struct {
	About       view.Key
	EventReason string // CamelCase, or "" when the reason is not an event
	Warning     bool   // event type Warning rather than Normal
	Message     string
	// Waiting marks a reason that says what is waited for, not what was done.
	Waiting bool
	// After is how many of the plan's actions must have been carried out for the reason to be true; an event
	// is written only then. 0: the reason holds whatever becomes of the actions. See [Plan.Do].
	After int
}

// Do appends an action, and reasons that are true once it is carried out.
func (p *Plan) Do(a Action, reasons ...Reason) {
	p.Actions = append(p.Actions, a)
	for _, r := range reasons {
		r.After = len(p.Actions)
		p.Reasons = append(p.Reasons, r)
	}
}

// Say appends reasons that are true whatever becomes of the actions.
func (p *Plan) Say(reasons ...Reason) { p.Reasons = append(p.Reasons, reasons...) }

// Wake asks for a decision at t, or earlier if one was asked for already. A zero t asks for nothing.
func (p *Plan) Wake(t time.Time) {
	if !t.IsZero() && (p.WakeAt.IsZero() || t.Before(p.WakeAt)) {
		p.WakeAt = t
	}
}

// Failure is an action that the API server refused, and how.
type Failure struct {
	Action Action
	Err    error // as of the API server; only its text and apierrors.IsX may be looked at
}

// Controller is one controller: what wakes it, and its decision. It is a value; package controller runs it
// in production and package sim in a simulation.
type Controller struct {
	Name    string // as in event sources and logs: "replicaset-controller"
	Watches []Watch
	// Decide looks at one key. mem is what the last decision about this key returned, nil at first.
	Decide func(snap *view.Snapshot, key view.Key, now time.Time, mem any) (Plan, any)
	// Failed puts a failure into the mem that the next decision about the key gets, for controllers that
	// report failures in a status or an event. May be nil.
	Failed func(mem any, f Failure) any
}

// Watch maps changes of one kind to the keys that must be decided again. Keys is pure; snap is at or after
// the change.
type Watch struct {
	Kind kind.ID
	Keys func(snap *view.Snapshot, change view.Change) []view.Key
}

// Self is a Watch's Keys for the controller's own kind: the changed object itself.
func Self(_ *view.Snapshot, c view.Change) []view.Key { return []view.Key{c.Key} }

// Define makes a Controller of the two pure halves of a decision. Gather collects everything that the
// decision may know; Decide never sees the snapshot.
func Define[In, Mem any](
	name string,
	watches []Watch,
	gather func(snap *view.Snapshot, key view.Key, now time.Time) In,
	decide func(in In, mem Mem) (Plan, Mem),
) Controller {
	return Controller{
		Name:    name,
		Watches: watches,
		Decide: func(snap *view.Snapshot, key view.Key, now time.Time, mem any) (Plan, any) {
			m, _ := mem.(Mem)
			p, next := decide(gather(snap, key, now), m)
			if reflect.ValueOf(&next).Elem().IsZero() {
				return p, nil // nothing to remember, so a key that is gone can be forgotten
			}
			return p, next
		},
	}
}
