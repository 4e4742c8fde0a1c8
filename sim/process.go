package sim

import (
	"context"
	"time"

	"sampan/client"
	"sampan/controller"
	"sampan/plan"
	"sampan/scheduler"
	"sampan/view"
)

// process is a part of the cluster with a view of its own, that may crash.
type process struct {
	name string
	s    *simulation
	r    stream
	api  client.Client

	life      int // counts crashes: what was asked for in an earlier life is void
	down      bool
	seen      int64 // revision of the view
	following bool  // a view is on its way
	behavior
}

// behavior is what a process does with what it sees.
type behavior interface {
	reset(snap *view.Snapshot)
	offer(changes []view.Change, snap *view.Snapshot)
	// pump does what is due now, and asks to be pumped again when something more is due.
	pump()
}

func (s *simulation) newProcess(name string, b func(p *process) behavior) *process {
	p := &process{name: name, s: s, r: newStream(s.cfg.Seed, name)}
	p.api = &flaky{Client: s.api, s: s, r: newStream(s.cfg.Seed, name+" writes")}
	p.behavior = b(p)
	s.processes = append(s.processes, p)
	p.start(b)
	return p
}

func (p *process) start(b func(p *process) behavior) {
	p.behavior = b(p)
	p.down, p.following = false, false
	snap := p.s.api.Snapshot()
	p.seen = snap.Revision()
	p.reset(snap)
	p.after(0, p.pump)
	p.after(time.Second, func() { p.maybeCrash(b) })
}

// after calls do later, if the process does not crash before.
func (p *process) after(d time.Duration, do func()) {
	life := p.life
	p.s.after(d, func() {
		if p.life == life && !p.down {
			do()
		}
	})
}

func (p *process) maybeCrash(b func(p *process) behavior) {
	_, isAgent := p.behavior.(*agent)
	switch {
	case !p.s.chaos:
	case p.r.chance(p.s.cfg.Faults.Crash):
		p.crash("crash", p.r.between(10*time.Millisecond, 5*time.Second), func() { p.start(b) })
		return
	case isAgent && p.r.chance(p.s.cfg.Faults.NodeDeath):
		p.s.dead++
		p.crash("death", p.r.between(30*time.Second, 8*time.Minute), func() {
			p.s.dead--
			p.s.note("return", p.name)
			p.start(b)
		})
		return
	}
	p.after(time.Second, func() { p.maybeCrash(b) })
}

// crash ends the process's life; what it has sent may still arrive.
func (p *process) crash(what string, down time.Duration, restart func()) {
	p.s.note(what, p.name)
	p.life++
	p.down = true
	p.s.after(down, restart)
}

// notify says that there is something new to see, which the process will see in a while.
func (p *process) notify() {
	if p.down || p.following || p.s.api.Snapshot().Revision() <= p.seen {
		return
	}
	lag := p.r.between(0, 10*time.Millisecond)
	if p.s.chaos && p.r.chance(p.s.cfg.Faults.Lag) {
		lag = p.r.between(10*time.Millisecond, 5*time.Second)
	}
	p.following = true
	p.after(lag, func() {
		p.following = false
		changes, snap, ok := p.s.api.Since(p.seen)
		p.seen = snap.Revision()
		if ok {
			p.offer(changes, snap)
		} else {
			p.reset(snap)
		}
		p.pump()
	})
}

// latency is how long a write, or its answer, is on its way. A slow one may outlive its sender.
func (p *process) latency() time.Duration {
	return p.r.between(100*time.Microsecond, 20*time.Millisecond)
}

// send does a write when it arrives. A crash of the sender does not call it back; answer is called only if the
// sender is still there to hear it.
func (p *process) send(do func(), answer func()) {
	life := p.life
	p.s.after(p.latency(), func() {
		do()
		p.s.after(p.latency(), func() {
			if p.life == life && !p.down {
				answer()
			}
		})
	})
}

// manager runs the controllers.
type manager struct {
	*process
	loop     *controller.Loop
	inFlight int
	wakeAt   time.Time
}

// plansMax is how many plans a manager has in flight.
const plansMax = 4

func newManager(controllers []plan.Controller) func(*process) behavior {
	return func(p *process) behavior { return &manager{process: p, loop: controller.NewLoop(controllers)} }
}

func (m *manager) reset(snap *view.Snapshot) { m.loop.Reset(snap, m.s.now) }

func (m *manager) offer(changes []view.Change, snap *view.Snapshot) {
	m.loop.Offer(changes, snap, m.s.now)
}

func (m *manager) pump() {
	for m.inFlight < plansMax {
		t, ok := m.loop.Next(m.s.now)
		if !ok {
			break
		}
		m.inFlight++
		p, mem := t.Decide(m.s.now)
		m.s.decided(t, p)
		m.carry(t, controller.Outcome{Plan: p, Mem: mem})
	}
	if at, ok := m.loop.WakeAt(); ok && !at.Equal(m.wakeAt) {
		m.wakeAt = at
		m.after(at.Sub(m.s.now), m.pump)
	}
}

// carry carries the actions out one by one, with other events, and perhaps a crash, in between.
func (m *manager) carry(t controller.Task, o controller.Outcome) {
	if o.Carried == len(o.Plan.Actions) || o.Err != nil {
		m.inFlight--
		m.loop.Done(t, o, m.s.now)
		m.after(0, m.pump)
		return
	}
	a := o.Plan.Actions[o.Carried]
	m.send(func() {
		revision, err := controller.Execute(context.Background(), m.api, a)
		if err != nil {
			o.Fail(context.Background(), m.api, a, err)
			return
		}
		o.Carried++
		o.Revision = max(o.Revision, revision)
	}, func() { m.carry(t, o) })
}

// placer runs the scheduler.
type placer struct {
	*process
	core *scheduler.Core
	out  *scheduler.Scheduler
}

func newPlacer(p *process) behavior {
	return &placer{
		process: p,
		core:    scheduler.NewCore("default-scheduler"),
		out: scheduler.New(scheduler.Config{
			Client: p.api, Log: p.s.cfg.Log, Now: p.s.Now, Events: silence{},
		}),
	}
}

func (l *placer) reset(snap *view.Snapshot) { l.core.Reset(snap) }

func (l *placer) offer(changes []view.Change, snap *view.Snapshot) { l.core.Observe(changes, snap) }

func (l *placer) pump() {
	for {
		d, ok := l.core.Next(l.s.now)
		if !ok {
			break
		}
		snap := l.core.Snapshot()
		var err error
		l.send(func() { err = l.out.CarryOut(context.Background(), snap, d) }, func() {
			l.core.Done(d, err, l.s.now)
			l.pump()
		})
	}
	if at := l.core.WakeAt(); !at.IsZero() {
		l.after(at.Sub(l.s.now), l.pump)
	}
}
