package podstate

// stop moves a pod that must end forward: main and init containers together, then sidecars in reverse order,
// then the sandbox and the volumes.
func (p *stepper) stop() {
	if !p.containersStopped() {
		return
	}
	if p.sandbox.stage == sandboxStarting || p.volumes.stage == volumesMounting {
		return // their answer decides what there is to undo
	}
	p.terminal = true
	p.stopSandbox()
}

// containersStopped asks running containers to stop and reports whether none is left.
func (p *stepper) containersStopped() bool {
	busy := false
	for i := range p.containers {
		if c := &p.containers[i]; c.class != classSidecar && p.halt(c) {
			busy = true
		}
	}
	// When the grace is over nobody waits for anybody.
	overdue := !p.stopBy.IsZero() && !p.now.Before(p.stopBy)
	for i := len(p.containers) - 1; i >= 0 && (!busy || overdue); i-- {
		if c := &p.containers[i]; c.class == classSidecar && p.halt(c) {
			busy = true
		}
	}
	if busy && !overdue && !p.stopBy.IsZero() && p.sidecarsRun() {
		p.wait(p.stopBy)
	}
	return !busy
}

func (p *stepper) sidecarsRun() bool {
	for i := range p.containers {
		if c := &p.containers[i]; c.class == classSidecar && c.running && c.op != halting {
			return true
		}
	}
	return false
}

// halt stops a container and reports whether it is still there.
func (p *stepper) halt(c *container) bool {
	switch {
	case c.op == creating || c.op == starting:
		return true
	case c.op == halting && !c.running:
		c.op = idle // it has ended; that the call returns too is of no interest
		return false
	case c.op == halting:
		if p.stopBy.Before(c.stopBy) {
			c.stopBy = p.stopBy
			p.do(StopContainer{c.name, c.id, max(p.stopBy.Sub(p.now), 0)})
		}
		return true
	case c.running:
		if !p.due(&c.retry) {
			return true
		}
		if c.retry.failures == 0 {
			p.emit(c, false, "Killing", "Stopping container %s", c.name)
		}
		p.haltFor(c, max(p.stopBy.Sub(p.now), 0))
		return true
	}
	c.op = idle // a pull or a hook that nobody waits for any more
	return false
}

func (p *stepper) stopSandbox() {
	sb := &p.sandbox
	switch sb.stage {
	case sandboxReady, sandboxLost:
		if p.due(&sb.retry) {
			sb.stage = sandboxStopping
			p.do(StopSandbox{sb.id})
		}
	case sandboxNone:
		sb.stage = sandboxRemoved // there never was one, or it could not be made
	}
}

// finish clears away what is left, and for a pod that is being deleted gives the name free. It runs after the
// status was written, so that the last status is known before the object goes.
func (p *stepper) finish() {
	if !p.terminal || p.sandbox.stage == sandboxStopping || p.sandbox.stage == sandboxReady || p.sandbox.stage == sandboxLost {
		return
	}
	if (p.volumes.stage == volumesReady || p.volumes.stage == volumesNone) && p.due(&p.volumes.retry) {
		p.volumes.stage = volumesUndoing
		p.do(UnmountVolumes{})
	}
	deleting := p.pod.DeletionTimestamp != nil || p.removed
	if !deleting {
		return
	}
	if p.sandbox.stage == sandboxStopped && p.due(&p.sandbox.retry) {
		p.sandbox.stage = sandboxRemoving
		p.do(RemoveSandbox{p.sandbox.id})
	}
	clean := p.volumes.stage == volumesGone && p.sandbox.stage == sandboxRemoved && len(p.dead) == 0
	if clean && !p.removed && !p.finishing {
		p.finishing = true
		p.do(FinishDeletion{})
	}
}
