package podstate

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Event is one thing that happened: one of the types below.
type Event interface{ event() }

// Recovered is what the runtime knows of the pod. It must be the first event, and it may come again when
// events of the runtime may have been lost.
type Recovered struct {
	// Sandboxes are the pod's sandboxes, the newest first.
	Sandboxes  []Sandbox
	Containers []Instance
}

// Sandbox is a sandbox as the runtime reports it.
type Sandbox struct {
	ID      string
	Attempt uint32
	Ready   bool
	IPs     []string
}

// Instance is a container as the runtime reports it.
type Instance struct {
	ID        string
	SandboxID string
	Container string // name in the pod
	Attempt   uint32
	State     InstanceState
	StartedAt time.Time
	ImageID   string
	// Image is the image of the container's specification when the instance was created; "" if not known.
	Image string
	Exit  *Exit // of an exited instance
}

// InstanceState is how far an instance is.
type InstanceState string

// The states of an instance.
const (
	InstanceCreated InstanceState = "created"
	InstanceRunning InstanceState = "running"
	InstanceExited  InstanceState = "exited"
)

// Exit says how an instance ended.
type Exit struct {
	Code       int32
	Reason     string // "Completed", "Error", "OOMKilled", …; "" means by the code
	Message    string // the termination message
	StartedAt  time.Time
	FinishedAt time.Time
}

// PodChanged is a new version of the pod's API object.
type PodChanged struct{ Pod *corev1.Pod }

// PodRemoved says that the API object is gone.
type PodRemoved struct{}

// Tick says that the time of the last WakeAt has come.
type Tick struct{}

// Retry says that an object that the pod refers to has changed, so that what failed may work now.
type Retry struct{}

// VolumesReady answers MountVolumes.
type VolumesReady struct{}

// VolumesFailed answers MountVolumes.
type VolumesFailed struct {
	Message string
	// Coming says that what is missing is being made as a rule, like the volume of a claim whose pod was placed this
	// moment. It is no event unless it stays so.
	Coming bool
}

// VolumesGone answers UnmountVolumes.
type VolumesGone struct{}

// VolumesBusy answers UnmountVolumes: something is in the way still.
type VolumesBusy struct{ Message string }

// SandboxStarted answers RunSandbox.
type SandboxStarted struct {
	ID  string
	IPs []string
}

// SandboxFailed answers RunSandbox.
type SandboxFailed struct{ Message string }

// SandboxLost says that a sandbox stopped by itself.
type SandboxLost struct{ ID string }

// SandboxStopped answers StopSandbox.
type SandboxStopped struct {
	ID  string
	Err string // "" if it was stopped
}

// SandboxRemoved answers RemoveSandbox.
type SandboxRemoved struct {
	ID  string
	Err string
}

// ImageReady answers PullImage.
type ImageReady struct {
	Container string
	ImageRef  string // what CreateContainer must be given
	Message   string // for the event "Pulled"
}

// ImageFailed answers PullImage. Reason is one of ErrImagePull, ErrImageNeverPull, InvalidImageName, ImageInspectError.
type ImageFailed struct {
	Container string
	Reason    string
	Message   string
}

// ContainerCreated answers CreateContainer.
type ContainerCreated struct{ Container, ID string }

// CreateFailed answers CreateContainer. Reason is CreateContainerConfigError or CreateContainerError.
type CreateFailed struct {
	Container string
	Reason    string
	Message   string
}

// ContainerStarted answers StartContainer, or is reported by the runtime.
type ContainerStarted struct {
	Container, ID string
	At            time.Time
	ImageID       string
}

// StartFailed answers StartContainer: the instance will not run.
type StartFailed struct {
	Container, ID string
	Message       string
}

// HookDone answers RunPostStart. Err is "" if the hook succeeded.
type HookDone struct {
	Container, ID string
	Err           string
}

// ContainerExited is reported by the runtime, also while StopContainer is carried out.
type ContainerExited struct {
	Container, ID string
	Exit          Exit
}

// StopDone answers StopContainer, after ContainerExited if the runtime knows how the instance ended.
type StopDone struct {
	Container, ID string
	Err           string
}

// ProbeChanged says that a probe has crossed a threshold.
type ProbeChanged struct {
	Container, ID string
	Probe         Probe
	OK            bool
}

// Probe is one of a container's three probes.
type Probe string

// The probes.
const (
	Startup   Probe = "Startup"
	Readiness Probe = "Readiness"
	Liveness  Probe = "Liveness"
)

func (Recovered) event()        {}
func (PodChanged) event()       {}
func (PodRemoved) event()       {}
func (Tick) event()             {}
func (Retry) event()            {}
func (VolumesReady) event()     {}
func (VolumesFailed) event()    {}
func (VolumesGone) event()      {}
func (VolumesBusy) event()      {}
func (SandboxStarted) event()   {}
func (SandboxFailed) event()    {}
func (SandboxLost) event()      {}
func (SandboxStopped) event()   {}
func (SandboxRemoved) event()   {}
func (ImageReady) event()       {}
func (ImageFailed) event()      {}
func (ContainerCreated) event() {}
func (CreateFailed) event()     {}
func (ContainerStarted) event() {}
func (StartFailed) event()      {}
func (HookDone) event()         {}
func (ContainerExited) event()  {}
func (StopDone) event()         {}
func (ProbeChanged) event()     {}
