package podstate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// noteRecovered takes over what runs already, when the agent has just started. What the runtime has
// forgotten is filled in from the pod's last status.
func (p *stepper) noteRecovered(ev Recovered) {
	p.recovered = true
	for _, sb := range ev.Sandboxes {
		p.sandbox.attempt = max(p.sandbox.attempt, sb.Attempt+1)
		switch {
		case p.sandbox.id == "" && (sb.Ready || !slices.ContainsFunc(ev.Sandboxes, ready)):
			p.sandbox.id, p.sandbox.ips = sb.ID, sb.IPs
			p.sandbox.stage = sandboxLost
			if sb.Ready {
				p.sandbox.stage = sandboxReady
			}
		default:
			p.dead = append(p.dead, deadSandbox{id: sb.ID})
		}
	}
	for _, sb := range ev.Sandboxes {
		if sb.ID == p.sandbox.id {
			p.sandbox.attempt = sb.Attempt
		}
	}
	for i := range p.containers {
		c := &p.containers[i]
		var own []Instance
		for _, inst := range ev.Containers {
			if inst.Container == c.name {
				own = append(own, inst)
			}
		}
		newestFirst(own)
		p.recoverFromStatus(c, len(own) > 0)
		p.recoverInstances(c, own)
	}
	for i := range p.containers {
		// A main container in this sandbox proves that initialisation was over, even if the records of
		// the init containers are gone.
		if c := &p.containers[i]; c.class == classMain && c.id != "" && p.sandbox.stage == sandboxReady && p.inCurrentSandbox(c, ev) {
			p.sandbox.initialized = true
		}
	}
	if p.sandbox.initialized {
		for i := range p.containers {
			if c := &p.containers[i]; c.class == classInit {
				c.completed = true
			}
		}
	}
	if p.pod.DeletionTimestamp != nil {
		p.beginStop(deletionGrace(p.pod))
	}
}

func ready(s Sandbox) bool { return s.Ready }

func (p *stepper) inCurrentSandbox(c *container, ev Recovered) bool {
	return slices.ContainsFunc(ev.Containers, func(i Instance) bool {
		return i.ID == c.id && i.SandboxID == p.sandbox.id
	})
}

func (p *stepper) recoverFromStatus(c *container, known bool) {
	list := p.pod.Status.ContainerStatuses
	if c.class != classMain {
		list = p.pod.Status.InitContainerStatuses
	}
	for i := range list {
		st := &list[i]
		if st.Name != c.name {
			continue
		}
		c.last = st.LastTerminationState.Terminated
		c.imageID = st.ImageID
		if known || st.ContainerID == "" {
			return
		}
		// The runtime has lost it (a new machine state directory, a removed container). The status is the
		// only witness of how it ended and of how often it was started.
		c.attempt = uint32(max(st.RestartCount, 0))
		c.exit = st.State.Terminated
		if c.exit == nil {
			c.exit = p.terminated(c, unknownExit(p.now))
		}
		c.completed = c.class == classInit && c.exit.ExitCode == 0
		return
	}
}

func (p *stepper) recoverInstances(c *container, own []Instance) {
	for i, inst := range own {
		switch i {
		case 0:
			p.adopt(c, inst)
		case 1:
			c.previousID = inst.ID
			if inst.Exit != nil {
				id := c.id
				c.id = inst.ID
				c.last = p.terminated(c, *inst.Exit)
				c.id = id
			}
		default:
			p.do(RemoveContainer{c.name, inst.ID, inst.Attempt})
		}
	}
}

func (p *stepper) adopt(c *container, inst Instance) {
	c.id, c.attempt, c.image, c.startedAt = inst.ID, inst.Attempt, inst.Image, inst.StartedAt
	if inst.ImageID != "" {
		c.imageID = inst.ImageID
	}
	spec := p.spec(c)
	switch inst.State {
	case InstanceRunning:
		c.running, c.hooked = true, true
		st := p.knownStatus(c)
		c.startupOK = c.class == classInit || spec.StartupProbe == nil || st.Started != nil && *st.Started
		c.readinessOK = spec.ReadinessProbe == nil || st.Ready
		p.startProbes(c)
	case InstanceExited:
		e := unknownExit(p.now)
		if inst.Exit != nil {
			e = *inst.Exit
		}
		c.crashes = min(int(inst.Attempt), 1) // a container that was restarted before has no free restart left
		p.noteExit(c, e)
		if inst.SandboxID != p.sandbox.id {
			c.completed = false
		}
	case InstanceCreated:
		if !p.stopping && p.pod.DeletionTimestamp == nil && inst.SandboxID == p.sandbox.id {
			c.op = starting
			p.do(StartContainer{c.name, c.id})
		}
	}
}

func (p *stepper) knownStatus(c *container) corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{p.pod.Status.ContainerStatuses, p.pod.Status.InitContainerStatuses} {
		for i := range list {
			if list[i].Name == c.name {
				return list[i]
			}
		}
	}
	return corev1.ContainerStatus{}
}

// noteMissed compares with what the runtime says after its event stream was interrupted.
func (p *stepper) noteMissed(ev Recovered) {
	if p.sandbox.stage == sandboxReady {
		i := slices.IndexFunc(ev.Sandboxes, func(s Sandbox) bool { return s.ID == p.sandbox.id })
		if i < 0 || !ev.Sandboxes[i].Ready {
			p.sandbox.stage = sandboxLost
		}
	}
	for i := range p.containers {
		c := &p.containers[i]
		if !c.running || c.op == halting {
			continue
		}
		j := slices.IndexFunc(ev.Containers, func(inst Instance) bool { return inst.ID == c.id })
		switch {
		case j < 0:
			p.noteExit(c, unknownExit(p.now))
		case ev.Containers[j].State == InstanceExited && ev.Containers[j].Exit != nil:
			p.noteExit(c, *ev.Containers[j].Exit)
		}
	}
}
