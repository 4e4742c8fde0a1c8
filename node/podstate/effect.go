package podstate

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Effect is one thing to do: one of the types below. Unless its comment says otherwise it is answered by
// exactly one event.
type Effect interface{ effect() }

// MountVolumes makes the pod's volumes ready. Answer: VolumesReady or VolumesFailed.
type MountVolumes struct{}

// UnmountVolumes removes everything of the pod's directory. Answer: VolumesGone or VolumesBusy.
type UnmountVolumes struct{}

// RunSandbox starts the pod's sandbox. Answer: SandboxStarted or SandboxFailed.
type RunSandbox struct{ Attempt uint32 }

// StopSandbox stops a sandbox and what runs in it. Answer: SandboxStopped.
type StopSandbox struct{ ID string }

// RemoveSandbox removes a stopped sandbox and its containers. Answer: SandboxRemoved.
type RemoveSandbox struct{ ID string }

// PullImage makes a container's image present, as the pull policy says. Answer: ImageReady or ImageFailed.
type PullImage struct{ Container string }

// CreateContainer creates an instance in the sandbox. Answer: ContainerCreated or CreateFailed.
type CreateContainer struct {
	Container string
	SandboxID string
	Attempt   uint32
	ImageRef  string
	PodIPs    []string
}

// StartContainer starts a created instance. Answer: ContainerStarted or StartFailed.
type StartContainer struct{ Container, ID string }

// RunPostStart runs the container's postStart hook. Answer: HookDone.
type RunPostStart struct{ Container, ID string }

// StopContainer runs the preStop hook and stops an instance within the grace period, hook included. A second
// one for the same instance replaces the first and has the shorter grace. Answer: StopDone to the last one.
type StopContainer struct {
	Container, ID string
	Grace         time.Duration
}

// RemoveContainer forgets an instance and its log. No answer.
type RemoveContainer struct {
	Container, ID string
	Attempt       uint32
}

// StartProbes starts probes of an instance. Results come as ProbeChanged. No other answer.
type StartProbes struct {
	Container, ID string
	Probes        []Probe
}

// StopProbes ends probes of an instance. No answer.
type StopProbes struct {
	Container, ID string
	Probes        []Probe
}

// WriteStatus writes the pod's status. Only the latest counts. No answer.
type WriteStatus struct{ Status corev1.PodStatus }

// WakeAt asks for a Tick at a time; it replaces earlier ones.
type WakeAt struct{ Time time.Time }

// FinishDeletion deletes the API object with grace 0, after the last status is written. Answer: PodRemoved, in time.
type FinishDeletion struct{}

// Emit records a core/v1 Event about the pod, or about one of its containers. No answer.
type Emit struct {
	Container       string // "" for the pod itself
	Warning         bool
	Reason, Message string
}

func (MountVolumes) effect()    {}
func (UnmountVolumes) effect()  {}
func (RunSandbox) effect()      {}
func (StopSandbox) effect()     {}
func (RemoveSandbox) effect()   {}
func (PullImage) effect()       {}
func (CreateContainer) effect() {}
func (StartContainer) effect()  {}
func (RunPostStart) effect()    {}
func (StopContainer) effect()   {}
func (RemoveContainer) effect() {}
func (StartProbes) effect()     {}
func (StopProbes) effect()      {}
func (WriteStatus) effect()     {}
func (WakeAt) effect()          {}
func (FinishDeletion) effect()  {}
func (Emit) effect()            {}
