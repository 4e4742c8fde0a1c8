package podstate

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Step takes one event and returns the state after it and what is to be done. s is not changed.
func Step(s State, ev Event, now time.Time) (State, []Effect) {
	next := s.clone()
	p := &stepper{State: &next, now: now}
	p.note(ev)
	p.decide()
	return next, p.effects
}

// stepper is one step: the state in the making, and the effects so far.
type stepper struct {
	*State
	now     time.Time
	effects []Effect
	wake    time.Time // the earliest time that something waits for
}

func (p *stepper) do(e Effect) { p.effects = append(p.effects, e) }

func (p *stepper) emit(c *container, warning bool, reason, format string, args ...any) {
	name := ""
	if c != nil {
		name = c.name
	}
	p.do(Emit{Container: name, Warning: warning, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// wait asks to be woken at t at the latest.
func (p *stepper) wait(t time.Time) {
	if p.wake.IsZero() || t.Before(p.wake) {
		p.wake = t
	}
}

// named returns the record of a container, or nil.
func (p *stepper) named(name string) *container {
	for i := range p.containers {
		if p.containers[i].name == name {
			return &p.containers[i]
		}
	}
	return nil
}

// instance returns the record of a container if its current instance is the given one, or nil.
func (p *stepper) instance(name, id string) *container {
	if c := p.named(name); c != nil && c.id == id {
		return c
	}
	return nil
}

// note records what an event says. It decides nothing.
func (p *stepper) note(ev Event) {
	switch ev := ev.(type) {
	case Recovered:
		if p.recovered {
			p.noteMissed(ev)
		} else {
			p.noteRecovered(ev)
		}
	case PodChanged:
		p.notePod(ev.Pod)
	case PodRemoved:
		p.removed = true
	case Tick:
		p.wakeAt = time.Time{}
	case Retry:
		p.noteRetry()
	case VolumesReady, VolumesFailed, VolumesGone, VolumesBusy:
		p.noteVolumes(ev)
	case SandboxStarted, SandboxFailed, SandboxLost, SandboxStopped, SandboxRemoved:
		p.noteSandbox(ev)
	case ImageReady, ImageFailed:
		p.noteImage(ev)
	case ProbeChanged:
		p.noteProbe(ev)
	default:
		p.noteContainer(ev)
	}
}

func (p *stepper) notePod(pod *corev1.Pod) {
	p.pod = pod
	if pod.DeletionTimestamp != nil {
		p.beginStop(deletionGrace(pod))
	}
	if pod.Status.Phase == corev1.PodFailed && !over(p.status.Phase) {
		// Somebody else has ended the pod: an eviction, or the garbage collector.
		p.failure = &failure{pod.Status.Reason, pod.Status.Message}
		p.beginStop(specGrace(pod))
	}
}

func (p *stepper) noteRetry() {
	p.volumes.retry.at = time.Time{}
	p.sandbox.retry.at = time.Time{}
	for i := range p.containers {
		p.containers[i].retry.at = time.Time{}
	}
}

// comingMax is how often something may be missing that is being made before it is worth an event.
const comingMax = 3

func (p *stepper) noteVolumes(ev Event) {
	v := &p.volumes
	switch ev := ev.(type) {
	case VolumesReady:
		if v.stage == volumesMounting {
			v.stage, v.retry = volumesReady, retry{}
		}
	case VolumesFailed:
		if v.stage == volumesMounting {
			v.stage = volumesNone
			v.retry.fail(p.now, setupRetryFirst, setupRetryMax)
			if !ev.Coming || v.retry.failures > comingMax {
				p.emit(nil, true, "FailedMount", "%s", ev.Message)
			}
		}
	case VolumesGone:
		v.stage = volumesGone
	case VolumesBusy:
		if v.stage == volumesUndoing {
			v.stage = volumesReady
			v.retry.fail(p.now, setupRetryFirst, setupRetryMax)
			p.emit(nil, true, "FailedUnMount", "%s", ev.Message)
		}
	}
}

func (p *stepper) noteSandbox(ev Event) {
	sb := &p.sandbox
	switch ev := ev.(type) {
	case SandboxStarted:
		if sb.stage == sandboxStarting {
			sb.stage, sb.id, sb.ips, sb.retry = sandboxReady, ev.ID, ev.IPs, retry{}
		}
	case SandboxFailed:
		if sb.stage == sandboxStarting {
			sb.stage = sandboxNone
			sb.attempt++
			sb.retry.fail(p.now, setupRetryFirst, setupRetryMax)
			p.emit(nil, true, "FailedCreatePodSandBox", "Failed to create pod sandbox: %s", ev.Message)
		}
	case SandboxLost:
		if sb.stage == sandboxReady && sb.id == ev.ID {
			sb.stage = sandboxLost
		}
	case SandboxStopped:
		if sb.stage != sandboxStopping || sb.id != ev.ID {
			return
		}
		if ev.Err != "" {
			sb.stage = sandboxLost
			sb.retry.fail(p.now, setupRetryFirst, setupRetryMax)
			p.emit(nil, true, "FailedKillPod", "error killing pod: %s", ev.Err)
			return
		}
		sb.stage, sb.retry = sandboxStopped, retry{}
		for i := range p.containers {
			if c := &p.containers[i]; c.running {
				p.noteExit(c, unknownExit(p.now))
			}
		}
	case SandboxRemoved:
		if i := slices.IndexFunc(p.dead, func(d deadSandbox) bool { return d.id == ev.ID }); i >= 0 {
			if ev.Err == "" {
				p.dead = slices.Delete(p.dead, i, i+1)
				return
			}
			p.dead[i].busy = false
			p.dead[i].retry.fail(p.now, setupRetryFirst, setupRetryMax)
			return
		}
		if sb.stage != sandboxRemoving || sb.id != ev.ID {
			return
		}
		if ev.Err != "" {
			sb.stage = sandboxStopped
			sb.retry.fail(p.now, setupRetryFirst, setupRetryMax)
			return
		}
		sb.stage, sb.retry = sandboxRemoved, retry{}
	}
}

func (p *stepper) noteImage(ev Event) {
	switch ev := ev.(type) {
	case ImageReady:
		c := p.named(ev.Container)
		if c == nil || c.op != pulling {
			return
		}
		c.op, c.imageRef = idle, ev.ImageRef
		c.retry, c.pullFailed = retry{}, ""
		c.resume()
		p.emit(c, false, "Pulled", "%s", ev.Message)
	case ImageFailed:
		c := p.named(ev.Container)
		if c == nil || c.op != pulling {
			return
		}
		c.op = idle
		c.retry.fail(p.now, backOffFirst, backOffMax)
		c.waiting, c.waitingMsg, c.pullFailed = ev.Reason, ev.Message, ""
		switch ev.Reason {
		case reasonErrImagePull:
			c.pullFailed = ev.Message
			p.emit(c, true, "Failed", "Failed to pull image %q: %s", p.spec(c).Image, ev.Message)
		case "InvalidImageName":
			p.emit(c, true, "InspectFailed", "%s", ev.Message)
		case "ErrImageNeverPull":
			p.emit(c, true, "ErrImageNeverPull", "%s", ev.Message)
		}
		p.emit(c, true, "Failed", "Error: %s", ev.Reason)
	}
}

func (p *stepper) noteProbe(ev ProbeChanged) {
	c := p.instance(ev.Container, ev.ID)
	if c == nil || !c.running {
		return
	}
	switch {
	case ev.Probe == Readiness:
		c.readinessOK = ev.OK
	case ev.Probe == Startup && ev.OK:
		if !c.startupOK {
			c.startupOK = true
			p.startProbes(c)
		}
	case !ev.OK && c.op == idle && !p.stopping:
		p.emit(c, false, "Killing", "Container %s failed %s probe, will be restarted", c.name, lower(ev.Probe))
		p.haltFor(c, probeGrace(p.pod, p.spec(c), ev.Probe))
	}
}

// noteContainer takes the events of one instance.
func (p *stepper) noteContainer(ev Event) {
	switch ev := ev.(type) {
	case ContainerCreated:
		if c := p.named(ev.Container); c != nil && c.op == creating {
			c.id, c.image, c.op = ev.ID, p.spec(c).Image, idle
			c.retry = retry{}
			c.resume()
			p.emit(c, false, "Created", "Container created")
		}
	case CreateFailed:
		if c := p.named(ev.Container); c != nil && c.op == creating {
			c.op, c.imageRef = idle, ""
			c.retry.fail(p.now, backOffFirst, backOffMax)
			c.waiting, c.waitingMsg = ev.Reason, ev.Message
			p.emit(c, true, "Failed", "Error: %s", ev.Message)
		}
	case ContainerStarted:
		if c := p.instance(ev.Container, ev.ID); c != nil && c.op == starting {
			p.noteStarted(c, ev)
		}
	case StartFailed:
		if c := p.instance(ev.Container, ev.ID); c != nil && c.op == starting {
			c.op = idle
			p.emit(c, true, "Failed", "Error: %s", ev.Message)
			p.noteExit(c, Exit{Code: 128, Reason: "StartError", Message: ev.Message, StartedAt: p.now, FinishedAt: p.now})
			c.waiting, c.waitingMsg = "RunContainerError", ev.Message
		}
	case HookDone:
		c := p.instance(ev.Container, ev.ID)
		if c == nil || c.op != hooking {
			return
		}
		c.op = idle
		if !c.running {
			return
		}
		if ev.Err == "" {
			c.hooked = true
			p.startProbes(c)
			return
		}
		p.emit(c, true, "FailedPostStartHook", "PostStartHook failed")
		if !p.stopping {
			p.emit(c, false, "Killing", "FailedPostStartHook")
			p.haltFor(c, specGrace(p.pod))
		}
	case ContainerExited:
		if c := p.instance(ev.Container, ev.ID); c != nil {
			p.noteExit(c, ev.Exit)
		}
	case StopDone:
		c := p.instance(ev.Container, ev.ID)
		if c == nil || c.op != halting {
			return
		}
		c.op = idle
		if !c.running {
			return
		}
		if ev.Err != "" {
			c.retry.fail(p.now, setupRetryFirst, setupRetryMax)
			p.emit(c, true, "FailedKillPod", "error killing pod: %s", ev.Err)
			return
		}
		p.noteExit(c, unknownExit(p.now))
	}
}

func (p *stepper) noteStarted(c *container, ev ContainerStarted) {
	c.op = idle
	c.startedAt = ev.At
	if ev.ImageID != "" {
		c.imageID = ev.ImageID
	}
	p.emit(c, false, "Started", "Container started")
	if c.exit != nil { // it was quicker than the answer
		return
	}
	c.running, c.waiting, c.waitingMsg = true, "", ""
	spec := p.spec(c)
	c.startupOK, c.readinessOK = c.class == classInit || spec.StartupProbe == nil, spec.ReadinessProbe == nil
	if spec.Lifecycle != nil && spec.Lifecycle.PostStart != nil {
		c.hooked = false
		c.op = hooking
		p.do(RunPostStart{c.name, c.id})
		return
	}
	c.hooked = true
	p.startProbes(c)
}

// startProbes starts the probes that are due in the container's present stage.
func (p *stepper) startProbes(c *container) {
	if c.class == classInit {
		return
	}
	spec := p.spec(c)
	var probes []Probe
	if !c.startupOK {
		probes = append(probes, Startup)
	} else {
		if spec.ReadinessProbe != nil {
			probes = append(probes, Readiness)
		}
		if spec.LivenessProbe != nil && !p.stopping {
			probes = append(probes, Liveness)
		}
	}
	if len(probes) > 0 {
		p.do(StartProbes{c.name, c.id, probes})
	}
}

// stopProbes ends those of the probes that the container has.
func (p *stepper) stopProbes(c *container, which ...Probe) {
	spec := p.spec(c)
	which = slices.DeleteFunc(which, func(w Probe) bool {
		switch w {
		case Startup:
			return spec.StartupProbe == nil
		case Liveness:
			return spec.LivenessProbe == nil
		}
		return spec.ReadinessProbe == nil
	})
	if len(which) > 0 && c.class != classInit {
		p.do(StopProbes{c.name, c.id, which})
	}
}

// resume forgets why a container waited, now that it goes on. A crash loop is shown until the container runs.
func (c *container) resume() {
	if c.waiting != reasonCrashLoopBackOff {
		c.waiting, c.waitingMsg = "", ""
	}
}

// noteExit records the end of the current instance, once.
func (p *stepper) noteExit(c *container, e Exit) {
	if c.exit != nil {
		return
	}
	if c.running {
		p.stopProbes(c, Startup, Readiness, Liveness)
	}
	c.running, c.startupOK, c.readinessOK, c.hooked = false, false, false, false
	c.exit = p.terminated(c, e)
	c.imageRef = ""
	if c.class == classInit && e.Code == 0 {
		c.completed = true
		return
	}
	began := e.StartedAt
	if began.IsZero() {
		began = c.startedAt
	}
	if !began.IsZero() && e.FinishedAt.Sub(began) >= crashForget {
		c.crashes = 0
	}
	c.restartAt = e.FinishedAt.Add(double(backOffFirst, backOffMax, c.crashes))
	c.crashes++
}

func (p *stepper) terminated(c *container, e Exit) *corev1.ContainerStateTerminated {
	reason := e.Reason
	if reason == "" {
		reason = "Completed"
		if e.Code != 0 {
			reason = "Error"
		}
	}
	if e.StartedAt.IsZero() {
		e.StartedAt = c.startedAt
	}
	t := &corev1.ContainerStateTerminated{ExitCode: e.Code, Reason: reason, Message: e.Message, ContainerID: p.host.IDPrefix + c.id}
	if !e.StartedAt.IsZero() {
		t.StartedAt = metav1.NewTime(seconds(e.StartedAt))
	}
	if !e.FinishedAt.IsZero() {
		t.FinishedAt = metav1.NewTime(seconds(e.FinishedAt))
	}
	return t
}

func unknownExit(now time.Time) Exit {
	return Exit{
		Code: 137, Reason: "ContainerStatusUnknown", FinishedAt: now,
		Message: "The container could not be located when the pod was terminated",
	}
}

func lower(p Probe) string {
	switch p {
	case Startup:
		return "startup"
	case Liveness:
		return "liveness"
	}
	return "readiness"
}

func specGrace(pod *corev1.Pod) time.Duration {
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		return time.Duration(max(*g, 0)) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}

func deletionGrace(pod *corev1.Pod) time.Duration {
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		return time.Duration(max(*g, 0)) * time.Second
	}
	return specGrace(pod)
}

func probeGrace(pod *corev1.Pod, c *corev1.Container, which Probe) time.Duration {
	probe := c.LivenessProbe
	if which == Startup {
		probe = c.StartupProbe
	}
	if probe != nil && probe.TerminationGracePeriodSeconds != nil {
		return time.Duration(*probe.TerminationGracePeriodSeconds) * time.Second
	}
	return specGrace(pod)
}

// newestFirst orders instances of one container.
func newestFirst(list []Instance) {
	slices.SortStableFunc(list, func(a, b Instance) int { return cmp.Compare(b.Attempt, a.Attempt) })
}
