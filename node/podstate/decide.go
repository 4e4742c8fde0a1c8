package podstate

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	reasonErrImagePull     = "ErrImagePull"
	reasonImagePullBackOff = "ImagePullBackOff"
	reasonCrashLoopBackOff = "CrashLoopBackOff"
)

// decide asks for whatever is missing, from all facts together.
func (p *stepper) decide() {
	if !p.recovered {
		return
	}
	p.checkDeadline()
	if p.removed {
		p.beginStop(deletionGrace(p.pod))
	}
	if !p.stopping {
		p.run()
	}
	p.removeDead()
	if p.stopping {
		p.stop()
	}
	p.writeStatus()
	if p.stopping {
		p.finish()
	}
	if !p.wake.IsZero() && !p.wake.Equal(p.wakeAt) {
		p.wakeAt = p.wake
		p.do(WakeAt{p.wake})
	}
}

func (p *stepper) checkDeadline() {
	limit := p.pod.Spec.ActiveDeadlineSeconds
	if limit == nil || p.stopping {
		return
	}
	if end := p.startTime.Add(time.Duration(*limit) * time.Second); p.now.Before(end) {
		p.wait(end)
		return
	}
	p.failure = &failure{"DeadlineExceeded", "Pod was active on the node longer than the specified deadline"}
	p.emit(nil, false, "DeadlineExceeded", "%s", p.failure.message)
	p.beginStop(specGrace(p.pod))
}

// beginStop makes the pod end within grace. A later call can only shorten the grace.
func (p *stepper) beginStop(grace time.Duration) {
	by := p.now.Add(grace)
	if p.stopping && !p.stopBy.IsZero() && !by.Before(p.stopBy) {
		return
	}
	p.stopBy = by
	if p.stopping {
		return
	}
	p.stopping = true
	for i := range p.containers {
		if c := &p.containers[i]; c.running {
			p.stopProbes(c, Startup, Liveness)
		}
	}
}

// run moves a pod that shall run forward. Volumes, sandbox and images do not wait for each other.
func (p *stepper) run() {
	p.replaceLostSandbox()
	p.startVolumes()
	p.startSandbox()
	for i := range p.containers {
		if c := &p.containers[i]; c.id == "" && c.exit == nil && c.op == idle && !c.completed {
			p.ensureImage(c)
		}
	}
	if p.volumes.stage != volumesReady || p.sandbox.stage != sandboxReady {
		return
	}
	if !p.sandbox.initialized && !p.initialize() {
		return
	}
	p.runContainers()
}

func (p *stepper) replaceLostSandbox() {
	sb := &p.sandbox
	switch sb.stage {
	case sandboxLost:
		if !p.worthRunning() {
			p.beginStop(specGrace(p.pod))
			return
		}
		if !p.due(&sb.retry) {
			return
		}
		if sb.retry.failures == 0 {
			p.emit(nil, false, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
		}
		sb.stage = sandboxStopping
		p.do(StopSandbox{sb.id})
	case sandboxStopped:
		// The containers of the old sandbox go with it; their records stay for the status. Everything starts
		// over in the new one, init containers included.
		for i := range p.containers {
			if c := &p.containers[i]; c.op != idle && c.op != pulling {
				return
			}
		}
		p.dead = append(p.dead, deadSandbox{id: sb.id})
		p.sandbox = sandbox{attempt: sb.attempt + 1}
		for i := range p.containers {
			c := &p.containers[i]
			c.completed, c.previousID, c.restartAt = false, "", time.Time{}
			if c.pullFailed == "" {
				// What failed in the old sandbox, perhaps because it was dying, did not fail in this one.
				c.retry, c.waiting, c.waitingMsg = retry{}, "", ""
			}
			if c.id != "" && c.exit == nil { // created, never started
				c.id = ""
			}
		}
	}
}

func (p *stepper) removeDead() {
	for i := range p.dead {
		if d := &p.dead[i]; !d.busy && p.due(&d.retry) {
			d.busy = true
			p.do(RemoveSandbox{d.id})
		}
	}
}

// worthRunning reports whether any container would be started again in a new sandbox.
func (p *stepper) worthRunning() bool {
	for i := range p.containers {
		if c := &p.containers[i]; c.class == classMain && (c.running || p.restarts(c)) {
			return true
		}
	}
	return false
}

func (p *stepper) due(r *retry) bool {
	if p.now.Before(r.at) {
		p.wait(r.at)
		return false
	}
	return true
}

func (p *stepper) startVolumes() {
	if p.volumes.stage == volumesNone && p.due(&p.volumes.retry) {
		p.volumes.stage = volumesMounting
		p.do(MountVolumes{})
	}
}

func (p *stepper) startSandbox() {
	if p.sandbox.stage == sandboxNone && p.due(&p.sandbox.retry) {
		p.sandbox.stage = sandboxStarting
		p.do(RunSandbox{p.sandbox.attempt})
	}
}

// initialize runs init containers one after the other, and sidecars from their place on. It reports whether
// the main containers may start.
func (p *stepper) initialize() bool {
	for i := range p.containers {
		c := &p.containers[i]
		switch {
		case c.class == classMain, c.completed:
		case c.class == classSidecar:
			p.keepRunning(c)
			if !started(c) {
				p.keepSidecars(i)
				return false
			}
		case c.exit != nil && !p.restarts(c):
			p.beginStop(specGrace(p.pod)) // the phase becomes Failed
			return false
		default:
			p.keepRunning(c)
			p.keepSidecars(i)
			return false
		}
	}
	p.sandbox.initialized = true
	return true
}

// keepSidecars restarts sidecars before position i that have ended.
func (p *stepper) keepSidecars(i int) {
	for j := range p.containers[:i] {
		if c := &p.containers[j]; c.class == classSidecar {
			p.keepRunning(c)
		}
	}
}

// runContainers keeps sidecars and main containers running. Main containers start in order: one waits for
// the start (and the postStart hook) of the one before it, as users of the hook rely on.
func (p *stepper) runContainers() {
	inOrder, finished := true, true
	for i := range p.containers {
		c := &p.containers[i]
		switch {
		case c.class == classSidecar:
			p.keepRunning(c)
		case c.class == classMain:
			if inOrder {
				p.keepRunning(c)
			}
			if c.op == creating || c.op == starting || c.op == hooking {
				inOrder = false
			}
			if c.running || c.op != idle || p.restarts(c) {
				finished = false
			}
		}
	}
	if finished {
		p.beginStop(specGrace(p.pod)) // of the sidecars
	}
}

// started reports whether a container has started as its hook and its startup probe define it.
func started(c *container) bool { return c.running && c.hooked && c.startupOK }

// restarts reports whether an instance follows the one that has ended, or the first one is still to come.
func (p *stepper) restarts(c *container) bool {
	if c.exit == nil {
		return true
	}
	if c.class == classSidecar {
		return true
	}
	if c.completed {
		return false
	}
	if c.class == classInit && c.exit.ExitCode == 0 {
		return true // its work was for a sandbox that is no more
	}
	policy := p.pod.Spec.RestartPolicy
	if own := p.spec(c).RestartPolicy; own != nil {
		policy = corev1.RestartPolicy(*own)
	}
	switch policy {
	case corev1.RestartPolicyNever:
		return false
	case corev1.RestartPolicyOnFailure:
		return c.exit.ExitCode != 0
	}
	return true
}

// keepRunning moves one container forward to running.
func (p *stepper) keepRunning(c *container) {
	if c.op != idle {
		return
	}
	if c.running {
		p.checkImageChange(c)
		return
	}
	if c.exit != nil {
		if !p.restarts(c) {
			return
		}
		if p.now.Before(c.restartAt) {
			p.backOff(c)
			return
		}
	}
	if c.id != "" && c.exit == nil {
		c.op = starting
		p.do(StartContainer{c.name, c.id})
		return
	}
	if c.imageRef == "" {
		p.ensureImage(c)
		return
	}
	if !p.due(&c.retry) {
		return
	}
	p.create(c)
}

func (p *stepper) checkImageChange(c *container) {
	if c.class != classInit && c.image != "" && c.image != p.spec(c).Image {
		p.emit(c, false, "Killing", "Container %s definition changed, will be restarted", c.name)
		c.image, c.crashes = "", 0 // told once; the new image has not crashed yet
		p.haltFor(c, specGrace(p.pod))
	}
}

func (p *stepper) backOff(c *container) {
	p.wait(c.restartAt)
	if c.waiting == reasonCrashLoopBackOff {
		return
	}
	delay := double(backOffFirst, backOffMax, c.crashes-1)
	c.waiting = reasonCrashLoopBackOff
	c.waitingMsg = "back-off " + delay.String() + " restarting failed container=" + c.name + " pod=" + podID(p.pod)
	p.emit(c, true, "BackOff", "Back-off restarting failed container %s in pod %s", c.name, podID(p.pod))
}

// ensureImage asks for the image, unless an earlier failure is too near.
func (p *stepper) ensureImage(c *container) {
	if c.op != idle || c.imageRef != "" {
		return
	}
	if p.now.Before(c.retry.at) {
		p.wait(c.retry.at)
		if c.waiting == reasonErrImagePull {
			delay := double(backOffFirst, backOffMax, c.retry.failures)
			if shown := c.retry.at.Add(pullErrorShown - delay); p.now.Before(shown) {
				p.wait(shown)
				return
			}
			image := p.spec(c).Image
			c.waiting = reasonImagePullBackOff
			c.waitingMsg = "Back-off pulling image \"" + image + "\": ErrImagePull: " + c.pullFailed
			p.emit(c, false, "BackOff", "Back-off pulling image %q", image)
			p.emit(c, true, "Failed", "Error: %s", reasonImagePullBackOff)
		}
		return
	}
	c.op = pulling
	p.do(PullImage{c.name})
}

func (p *stepper) create(c *container) {
	if c.exit != nil {
		if c.previousID != "" {
			p.do(RemoveContainer{c.name, c.previousID, c.attempt - 1})
		}
		c.previousID, c.older, c.last = c.id, c.last, c.exit
		c.id, c.exit, c.imageID = "", nil, ""
		c.attempt++
	}
	c.op = creating
	p.do(CreateContainer{
		Container: c.name, SandboxID: p.sandbox.id, Attempt: c.attempt, ImageRef: c.imageRef, PodIPs: p.podIPs(),
	})
}

// haltFor stops one running instance within grace.
func (p *stepper) haltFor(c *container, grace time.Duration) {
	c.op = halting
	c.stopBy = p.now.Add(grace)
	p.do(StopContainer{c.name, c.id, grace})
}

func podID(pod *corev1.Pod) string {
	return pod.Name + "_" + pod.Namespace + "(" + string(pod.UID) + ")"
}
