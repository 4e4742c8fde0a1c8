package podstate

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// State is all that is known of one pod. It is a value: copies are independent. Make it with [New].
type State struct {
	pod  *corev1.Pod
	host Host

	recovered bool // nothing is decided before the runtime was asked
	removed   bool // the API object is gone
	startTime time.Time
	// failure is set when the pod as a whole has failed for a reason beside its containers.
	failure *failure
	// stopping is set once the pod must end; nothing is started any more. stopBy is when its grace is over.
	stopping bool
	stopBy   time.Time
	// terminal is set when every container has ended for good. It is never unset.
	terminal bool

	volumes    volumes
	sandbox    sandbox
	dead       []deadSandbox // besides the current one
	containers []container

	status    corev1.PodStatus // as last written
	wakeAt    time.Time        // as last asked for
	finishing bool             // FinishDeletion was asked for
}

// Host is what the pod's status says of the machine, and how the runtime's IDs are written.
type Host struct {
	// IPs are the node's addresses, the primary one first.
	IPs []string
	// IDPrefix goes before container IDs: "containerd://".
	IDPrefix string
}

type failure struct{ reason, message string }

type volumeStage string

const (
	volumesNone     volumeStage = ""
	volumesMounting volumeStage = "mounting"
	volumesReady    volumeStage = "ready"
	volumesUndoing  volumeStage = "undoing"
	volumesGone     volumeStage = "gone"
)

type volumes struct {
	stage volumeStage
	retry retry
}

type sandboxStage string

const (
	sandboxNone     sandboxStage = ""
	sandboxStarting sandboxStage = "starting"
	sandboxReady    sandboxStage = "ready"
	sandboxLost     sandboxStage = "lost"
	sandboxStopping sandboxStage = "stopping"
	sandboxStopped  sandboxStage = "stopped"
	sandboxRemoving sandboxStage = "removing"
	sandboxRemoved  sandboxStage = "removed"
)

type sandbox struct {
	stage   sandboxStage
	id      string
	attempt uint32 // of the current one, or of the next one if there is none
	ips     []string
	// initialized says that every init container has completed in this sandbox and every sidecar has started once.
	initialized bool
	retry       retry
}

// deadSandbox is an earlier sandbox that is still to be removed.
type deadSandbox struct {
	id    string
	busy  bool // RemoveSandbox is in flight
	retry retry
}

type operation string

const (
	idle     operation = ""
	pulling  operation = "pulling"
	creating operation = "creating"
	starting operation = "starting"
	hooking  operation = "hooking" // postStart
	halting  operation = "halting" // preStop and stop
)

type class int

const (
	classInit class = iota
	classSidecar
	classMain
)

// container is the record of one container of the pod: its current instance and what came before it.
type container struct {
	name  string
	class class
	op    operation // the effect in flight

	imageRef string // "" until the image is known to be present

	id        string
	attempt   uint32 // of the current instance, or of the next one if there is none
	image     string // of the specification when the instance was created
	imageID   string
	running   bool
	startedAt time.Time
	hooked    bool // the postStart hook has ended well, or there is none
	exit      *corev1.ContainerStateTerminated
	stopBy    time.Time // while halting

	last       *corev1.ContainerStateTerminated
	older      *corev1.ContainerStateTerminated // the one before last
	previousID string                           // the instance of attempt-1, kept for its log

	// completed says that an init container has done its work in the current sandbox.
	completed bool

	startupOK, readinessOK bool

	waiting    string // reason
	waitingMsg string
	retry      retry // of image and creation
	pullFailed string
	crashes    int       // in a row
	restartAt  time.Time // not before
}

// New makes the state of a pod that the agent sees for the first time since it started.
func New(pod *corev1.Pod, host Host, now time.Time) State {
	s := State{pod: pod, host: host, startTime: seconds(now), status: *pod.Status.DeepCopy()}
	s.status.Conditions = slices.DeleteFunc(s.status.Conditions, func(c corev1.PodCondition) bool { return !Owned(c.Type) })
	if t := pod.Status.StartTime; t != nil {
		s.startTime = t.Time
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		class := classInit
		if sidecar(c) {
			class = classSidecar
		}
		s.containers = append(s.containers, container{name: c.Name, class: class})
	}
	for i := range pod.Spec.Containers {
		s.containers = append(s.containers, container{name: pod.Spec.Containers[i].Name, class: classMain})
	}
	if over(pod.Status.Phase) {
		s.stopping, s.stopBy = true, now.Add(specGrace(pod))
	}
	return s
}

// Gone reports that nothing of the pod is left, on the node and in the API.
func (s State) Gone() bool {
	return s.removed && s.volumes.stage == volumesGone && s.sandbox.stage == sandboxRemoved && len(s.dead) == 0
}

// Pod returns the newest version of the API object that the state has seen.
func (s State) Pod() *corev1.Pod { return s.pod }

// PodIPs returns the pod's addresses, the primary one first.
func (s State) PodIPs() []string { return slices.Clone(s.podIPs()) }

// SandboxID returns the ID of the running sandbox, or "".
func (s State) SandboxID() string {
	if s.sandbox.stage == sandboxReady {
		return s.sandbox.id
	}
	return ""
}

// VolumesMounted reports whether the volumes are in use.
func (s State) VolumesMounted() bool { return s.volumes.stage == volumesReady }

// Current is what a state knows of a container's current instance.
type Current struct {
	ID        string
	Attempt   uint32
	Running   bool
	StartedAt time.Time
}

// Container returns the current instance of a container; ok is false if the pod has no such container.
func (s State) Container(name string) (cur Current, ok bool) {
	for i := range s.containers {
		if c := &s.containers[i]; c.name == name {
			return Current{ID: c.id, Attempt: c.attempt, Running: c.running, StartedAt: c.startedAt}, true
		}
	}
	return Current{}, false
}

func (s State) clone() State {
	s.containers = slices.Clone(s.containers)
	s.dead = slices.Clone(s.dead)
	return s
}

func (s *State) podIPs() []string {
	if s.pod.Spec.HostNetwork {
		if s.sandbox.stage == sandboxReady {
			return s.host.IPs
		}
		return nil
	}
	return s.sandbox.ips
}

// spec returns a container's specification in the newest version of the pod.
func (s *State) spec(c *container) *corev1.Container {
	list := s.pod.Spec.Containers
	if c.class != classMain {
		list = s.pod.Spec.InitContainers
	}
	for i := range list {
		if list[i].Name == c.name {
			return &list[i]
		}
	}
	return &corev1.Container{Name: c.name}
}

func sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func over(phase corev1.PodPhase) bool {
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

func seconds(t time.Time) time.Time { return t.Truncate(time.Second) }
