package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"sampan/node/podstate"
)

// probeKey names one probe of a pod.
type probeKey struct {
	container string
	probe     podstate.Probe
}

// earlyFirst is the delay after which a container that is not ready yet is looked at again, for the first time.
// The delay doubles until it reaches the probe's period.
const earlyFirst = 50 * time.Millisecond

// firstResult is when the first result counts, after the initial delay: a server that has just been started is
// not yet unhealthy because it does not listen yet. The kubelet gets to its first probe about as late.
const firstResult = time.Second

func (w *worker) startProbes(ctx context.Context, pod *corev1.Pod, e podstate.StartProbes) {
	for _, which := range e.Probes {
		key := probeKey{e.Container, which}
		if cancel := w.probes[key]; cancel != nil {
			cancel()
		}
		ctx, cancel := context.WithCancel(ctx)
		w.probes[key] = cancel
		c := containerOf(pod, e.Container)
		w.a.effects.Go(func() {
			defer cancel()
			w.probe(ctx, pod, c, e.ID, which)
		})
	}
}

func (w *worker) stopProbes(e podstate.StopProbes) {
	for _, which := range e.Probes {
		key := probeKey{e.Container, which}
		if cancel := w.probes[key]; cancel != nil {
			cancel()
			delete(w.probes, key)
		}
	}
}

func probeSpec(c *corev1.Container, which podstate.Probe) *corev1.Probe {
	switch which {
	case podstate.Startup:
		return c.StartupProbe
	case podstate.Liveness:
		return c.LivenessProbe
	}
	return c.ReadinessProbe
}

// thresholds turns single results of a probe into changes of opinion.
type thresholds struct {
	success, failure int  // how many in a row are needed
	row              int  // of equal results up to now: of successes above zero, of failures below
	value            bool // the present opinion
	told             bool
}

// result takes one result. It returns whether the opinion has changed, or is formed for the first time.
func (t *thresholds) result(ok bool) (changed bool) {
	if ok {
		t.row = max(t.row, 0) + 1
	} else {
		t.row = min(t.row, 0) - 1
	}
	next := t.row >= t.success
	if !next && -t.row < t.failure {
		return false
	}
	changed = next != t.value || !t.told
	t.value, t.told = next, true
	return changed
}

// probe runs one probe until ctx ends (or, for a startup probe, it has succeeded).
//
// While a container is on its way to its first success, readiness and startup probes also look between the periods,
// at first after 50 ms and then ever more seldom, so that a container is ready when it is, not at the next full
// period. These looks count only if they succeed: a failure threshold means as many periods as upstream.
func (w *worker) probe(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, which podstate.Probe) {
	spec := probeSpec(c, which)
	if spec == nil {
		return
	}
	period := time.Duration(max(spec.PeriodSeconds, 1)) * time.Second
	t := thresholds{success: int(max(spec.SuccessThreshold, 1)), failure: int(max(spec.FailureThreshold, 1)), value: which == podstate.Liveness}
	if which == podstate.Liveness {
		t.told = true // alive until shown otherwise
	}
	early := which != podstate.Liveness && t.success == 1
	sleep(ctx, time.Duration(spec.InitialDelaySeconds)*time.Second-w.a.cfg.Now().Sub(w.startedAt(c.Name)))
	due := w.a.cfg.Now().Add(firstResult)
	if !early {
		sleep(ctx, firstResult)
	}
	pause := earlyFirst
	for ctx.Err() == nil {
		counts := !w.a.cfg.Now().Before(due)
		err := w.runProbe(ctx, pod, c, id, spec)
		if ctx.Err() != nil {
			return
		}
		if err == nil || counts {
			if counts {
				due = due.Add(period)
				if now := w.a.cfg.Now(); due.Before(now) {
					due = now
				}
			}
			if err != nil {
				w.record(fieldPath(pod, c.Name), true, "Unhealthy", fmt.Sprintf("%s probe failed: %v", which, err))
			}
			if t.result(err == nil) {
				w.post(podstate.ProbeChanged{Container: c.Name, ID: id, Probe: which, OK: t.value})
			}
		}
		if t.told && t.value {
			if which == podstate.Startup {
				return
			}
			early = false
		}
		wait := due.Sub(w.a.cfg.Now())
		if early && pause < wait {
			wait = pause
			pause *= 2
		}
		sleep(ctx, max(wait, 0))
	}
}

func (w *worker) startedAt(container string) time.Time {
	c, _ := w.current().Container(container)
	return c.StartedAt
}
