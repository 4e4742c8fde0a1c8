package podstate

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubectl/pkg/util/qos"
)

// Owned reports whether a condition of a pod is written by the node (and so by this package). Others belong
// to other writers and must be kept.
func Owned(t corev1.PodConditionType) bool {
	switch t {
	case corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled:
		return true
	}
	return false
}

// writeStatus computes the status and asks for it to be written if it differs from the last one. Conditions
// hold only those that are [Owned].
func (p *stepper) writeStatus() {
	st := p.computeStatus()
	if equality.Semantic.DeepEqual(st, p.status) {
		return
	}
	p.status = st
	p.do(WriteStatus{*st.DeepCopy()})
}

func (p *stepper) computeStatus() corev1.PodStatus {
	start := metav1.NewTime(p.startTime)
	st := corev1.PodStatus{
		ObservedGeneration: p.pod.Generation,
		StartTime:          &start,
		QOSClass:           qos.GetPodQOS(p.pod),
	}
	if len(p.host.IPs) > 0 {
		st.HostIP = p.host.IPs[0]
		for _, ip := range p.host.IPs {
			st.HostIPs = append(st.HostIPs, corev1.HostIP{IP: ip})
		}
	}
	if ips := p.podIPs(); len(ips) > 0 {
		st.PodIP = ips[0]
		for _, ip := range ips {
			st.PodIPs = append(st.PodIPs, corev1.PodIP{IP: ip})
		}
	}
	for i := range p.containers {
		c := &p.containers[i]
		if c.class == classMain {
			st.ContainerStatuses = append(st.ContainerStatuses, p.containerStatus(c))
		} else {
			st.InitContainerStatuses = append(st.InitContainerStatuses, p.containerStatus(c))
		}
	}
	st.Phase = p.phase()
	switch {
	case p.failure != nil:
		st.Reason, st.Message = p.failure.reason, p.failure.message
	case over(st.Phase):
		st.Reason, st.Message = p.status.Reason, p.status.Message
	}
	p.conditions(&st)
	return st
}

func (p *stepper) containerStatus(c *container) corev1.ContainerStatus {
	spec := p.spec(c)
	st := corev1.ContainerStatus{
		Name: c.name, Image: spec.Image, ImageID: c.imageID,
		RestartCount: int32(c.attempt),
	}
	isStarted := c.class != classInit && started(c)
	st.Started = &isStarted
	st.Ready = isStarted && c.readinessOK
	if c.class == classInit {
		st.Ready = c.completed
		running := c.running
		st.Started = &running
	}
	if c.id != "" && (c.running || c.exit != nil) {
		st.ContainerID = p.host.IDPrefix + c.id
	} else if c.last != nil {
		st.ContainerID = c.last.ContainerID
		if c.attempt > 0 {
			st.RestartCount-- // the next instance does not count before it exists
		}
	}
	switch {
	case c.running:
		st.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(seconds(c.startedAt))}
		st.LastTerminationState.Terminated = c.last
	case c.exit != nil && (c.waiting == "" || p.stopping || !p.restarts(c)):
		st.State.Terminated = c.exit
		st.LastTerminationState.Terminated = c.last
		if st.ContainerID == "" {
			st.ContainerID = c.exit.ContainerID
		}
	case c.exit == nil && c.last != nil && c.waiting == "":
		// The next instance is being made. Until it runs the last one is what there is to show.
		st.State.Terminated = c.last
		st.LastTerminationState.Terminated = c.older
	case p.terminal && c.class != classInit && !over(p.pod.Status.Phase) && c.last == nil && p.failure == nil && p.anyRan():
		st.State.Terminated = p.terminated(c, unknownExit(p.stopBy))
		st.State.Terminated.ContainerID = ""
	default:
		st.State.Waiting = p.waitingState(c)
		st.LastTerminationState.Terminated = c.last
		if c.exit != nil {
			st.LastTerminationState.Terminated = c.exit
		}
	}
	return st
}

func (p *stepper) anyRan() bool {
	for i := range p.containers {
		if c := &p.containers[i]; c.class == classMain && c.exit != nil {
			return true
		}
	}
	return false
}

func (p *stepper) waitingState(c *container) *corev1.ContainerStateWaiting {
	hasInit := len(p.pod.Spec.InitContainers) > 0
	initializing := &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	switch {
	case c.class == classMain && hasInit && !p.sandbox.initialized:
		return initializing
	case c.waiting != "":
		return &corev1.ContainerStateWaiting{Reason: c.waiting, Message: c.waitingMsg}
	case hasInit:
		return initializing
	}
	return &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
}

// phase follows the rules that Kubernetes documents: containers decide, and a finished pod stays finished.
func (p *stepper) phase() corev1.PodPhase {
	if over(p.pod.Status.Phase) {
		return p.pod.Status.Phase
	}
	if over(p.status.Phase) {
		return p.status.Phase
	}
	var waiting, running, stopped, failed int
	initFailed, initPending := false, false
	for i := range p.containers {
		c := &p.containers[i]
		switch c.class {
		case classInit:
			if c.completed {
				continue
			}
			if c.exit != nil && !p.restarts(c) {
				initFailed = true
			}
			initPending = true
		case classSidecar:
			if !p.sandbox.initialized && !started(c) {
				initPending = true
			}
			if c.running {
				running++
			}
		case classMain:
			switch {
			case c.running:
				running++
			case c.exit != nil || c.last != nil:
				stopped++
				if c.exit == nil || c.exit.ExitCode != 0 {
					failed++
				}
			default:
				waiting++
			}
		}
	}
	mainsRun := running > 0
	if p.terminal {
		if p.failure != nil || initFailed || failed > 0 || waiting > 0 || initPending {
			return corev1.PodFailed
		}
		return corev1.PodSucceeded
	}
	switch {
	case initPending && !p.everRan():
		return corev1.PodPending
	case waiting > 0:
		return corev1.PodPending
	case mainsRun, stopped > 0:
		return corev1.PodRunning
	}
	return corev1.PodPending
}

// everRan reports whether the main containers have run, in whatever sandbox.
func (p *stepper) everRan() bool {
	for i := range p.containers {
		if c := &p.containers[i]; c.class == classMain && (c.running || c.exit != nil || c.last != nil) {
			return true
		}
	}
	return false
}

func (p *stepper) conditions(st *corev1.PodStatus) {
	finished := st.Phase == corev1.PodSucceeded
	failed := st.Phase == corev1.PodFailed

	p.condition(st, corev1.PodReadyToStartContainers, p.sandbox.stage == sandboxReady, "", "")

	var incomplete, unready []string
	for i := range p.containers {
		c := &p.containers[i]
		switch {
		case c.class == classInit && !c.completed, c.class == classSidecar && !p.sandbox.initialized && !started(c):
			incomplete = append(incomplete, c.name)
		}
		if c.class != classInit && (!started(c) || !c.readinessOK) {
			unready = append(unready, c.name)
		}
	}
	switch {
	case finished:
		p.condition(st, corev1.PodInitialized, true, "PodCompleted", "")
		p.condition(st, corev1.PodReady, false, "PodCompleted", "")
		p.condition(st, corev1.ContainersReady, false, "PodCompleted", "")
	default:
		if len(incomplete) == 0 || p.sandbox.initialized {
			p.condition(st, corev1.PodInitialized, true, "", "")
		} else {
			p.condition(st, corev1.PodInitialized, false, "ContainersNotInitialized", list("containers with incomplete status", incomplete))
		}
		reason, message := "", ""
		if len(unready) > 0 {
			reason, message = "ContainersNotReady", list("containers with unready status", unready)
		}
		if failed {
			reason, message = "PodFailed", ""
		}
		gateReason, gateMessage := reason, message
		if reason == "" {
			if gates := p.closedGates(); len(gates) > 0 {
				gateReason, gateMessage = "ReadinessGatesNotReady", strings.Join(gates, ", ")
			}
		}
		p.condition(st, corev1.PodReady, gateReason == "", gateReason, gateMessage)
		p.condition(st, corev1.ContainersReady, reason == "", reason, message)
	}
	p.condition(st, corev1.PodScheduled, true, "", "")
}

func list(what string, names []string) string {
	return fmt.Sprintf("%s: [%s]", what, strings.Join(names, " "))
}

// closedGates says which readiness gates are not open.
func (p *stepper) closedGates() []string {
	var closed []string
	for _, gate := range p.pod.Spec.ReadinessGates {
		found := corev1.ConditionStatus("")
		for i := range p.pod.Status.Conditions {
			if p.pod.Status.Conditions[i].Type == gate.ConditionType {
				found = p.pod.Status.Conditions[i].Status
			}
		}
		switch found {
		case corev1.ConditionTrue:
		case "":
			closed = append(closed, fmt.Sprintf("corresponding condition of pod readiness gate %q does not exist.", gate.ConditionType))
		default:
			closed = append(closed, fmt.Sprintf("the status of pod readiness gate %q is not \"True\", but %s", gate.ConditionType, found))
		}
	}
	return closed
}

// condition adds a condition; the time of its last transition stays as long as its status does.
func (p *stepper) condition(st *corev1.PodStatus, t corev1.PodConditionType, ok bool, reason, message string) {
	c := corev1.PodCondition{
		Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: p.pod.Generation, LastTransitionTime: metav1.NewTime(seconds(p.now)),
	}
	if ok {
		c.Status = corev1.ConditionTrue
	}
	for _, known := range [][]corev1.PodCondition{p.status.Conditions, p.pod.Status.Conditions} {
		for i := range known {
			if known[i].Type == t {
				if known[i].Status == c.Status && !known[i].LastTransitionTime.IsZero() {
					c.LastTransitionTime = known[i].LastTransitionTime
				}
				st.Conditions = append(st.Conditions, c)
				return
			}
		}
	}
	st.Conditions = append(st.Conditions, c)
}
