// Package term decides who leads: one candidate's view of a Lease, and the time, make its next step.
//
// It is the rule of upstream's leader election (client-go's tools/leaderelection): the holder of a Lease renews it, and
// gives up if it could not for a while; the others take it when it was not renewed for longer than that. Every write
// is on condition that the Lease is as it was seen, so of many who try one wins. Clocks of machines need not agree:
// how long ago a renewal was is measured from when this candidate saw it.
//
// Everything is pure.
package term

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rules are what the candidates agree on. Duration must be longer than Deadline, and Deadline than Retry.
type Rules struct {
	Identity string        // of this candidate; no other one has it
	Duration time.Duration // a Lease that was not renewed for so long may be taken
	Deadline time.Duration // a holder that could not renew for so long leads no more
	Retry    time.Duration // between two renewals, or two tries
}

// Mem is what a candidate remembers. The zero value is that of one who has just come.
type Mem struct {
	Leading bool
	Renewed time.Time // when the last write that succeeded was begun; of a leader only
	Tried   time.Time // when the last write was begun

	seen   seen
	seenAt time.Time // when the Lease was first seen as it is now
	expiry time.Duration
}

// seen tells two states of a Lease apart.
type seen struct{ uid, version string }

// Step is what a candidate does next.
type Step struct {
	// Lead says whether it leads, from now on until the next step.
	Lead bool
	// Write is the Lease to write, nil for none: an update on condition of its resourceVersion, or a creation if it
	// has none. Then comes [Mem.Wrote] or [Mem.Failed], and the next step at once.
	Write *coordinationv1.Lease
	// WakeAt is when the next step is due at the latest; any change of the Lease makes it due at once.
	WakeAt time.Time
}

// Decide returns the next step of a candidate that sees a Lease, or none (nil), which it does not write to. The
// returned Lease has the given names when there is none yet.
func (r Rules) Decide(namespace, name string, lease *coordinationv1.Lease, now time.Time, m Mem) (Step, Mem) {
	m = r.look(lease, now, m)
	holder := holderOf(lease)
	if m.Leading && (lease != nil && holder != r.Identity || !now.Before(m.Renewed.Add(r.Deadline))) {
		m.Leading, m.Renewed = false, time.Time{}
	}
	next := m.Tried.Add(r.Retry)
	if m.Leading && lease == nil {
		next = now // somebody has removed it; the others wait before they make it anew
	}
	if !m.Leading && holder != "" && holder != r.Identity || lease == nil && !m.Leading {
		next = later(next, m.seenAt.Add(m.expiry))
	}
	if now.Before(next) {
		if m.Leading {
			next = earlier(next, m.Renewed.Add(r.Deadline))
		}
		return Step{Lead: m.Leading, WakeAt: next}, m
	}
	return Step{Lead: m.Leading, Write: r.held(namespace, name, lease, now), WakeAt: now.Add(r.Retry)}, m
}

// look notes when the Lease is seen to have changed, and for how long its holder may lead from then.
func (r Rules) look(lease *coordinationv1.Lease, now time.Time, m Mem) Mem {
	var s seen
	if lease != nil {
		s = seen{string(lease.UID), lease.ResourceVersion}
	}
	if s == m.seen {
		return m
	}
	m.seen, m.seenAt, m.expiry = s, now, 0
	switch {
	case lease == nil: // somebody has removed it under its holder, who may have renewed it unseen
		m.expiry = r.Duration
	case lease.Spec.LeaseDurationSeconds != nil:
		m.expiry = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	}
	return m
}

// held is the Lease as this candidate holds it.
func (r Rules) held(namespace, name string, lease *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	out := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if lease != nil {
		out = lease.DeepCopy()
	}
	at, seconds := metav1.NewMicroTime(now), int32(r.Duration/time.Second)
	if s := &out.Spec; holderOf(lease) != r.Identity {
		if s.LeaseTransitions != nil {
			s.LeaseTransitions = new(*s.LeaseTransitions + 1)
		} else {
			s.LeaseTransitions = new(int32)
		}
		s.HolderIdentity, s.AcquireTime = new(r.Identity), &at
	}
	out.Spec.LeaseDurationSeconds, out.Spec.RenewTime = &seconds, &at
	return out
}

// Released returns the Lease as its holder leaves it, for anybody to take at once, or nil if it is not the holder's.
func (r Rules) Released(lease *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	if holderOf(lease) != r.Identity {
		return nil
	}
	out := lease.DeepCopy()
	at := metav1.NewMicroTime(now)
	out.Spec.HolderIdentity, out.Spec.LeaseDurationSeconds = new(string), new(int32(1))
	out.Spec.RenewTime, out.Spec.AcquireTime = &at, &at
	return out
}

// Wrote notes that the write of a step, begun at a time, succeeded: the candidate leads.
func (m Mem) Wrote(began time.Time) Mem {
	m.Leading, m.Renewed, m.Tried = true, began, began
	return m
}

// Failed notes that the write of a step, begun at a time, failed, or that nobody knows.
func (m Mem) Failed(began time.Time) Mem {
	m.Tried = began
	return m
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease == nil || lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
