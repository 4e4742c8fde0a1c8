package podruntime

import (
	"context"
	"errors"
	"io"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Driver is the operating system under the runtime. The server calls it with IDs that it made itself, and
// never twice at once for one container. Methods that end something are idempotent: they succeed if it is
// gone already.
type Driver interface {
	// Open starts the driver. exited is called, from any goroutine, once for each container whose process
	// ends, and once for each pause process that ends while the driver watches it; it must not block.
	Open(ctx context.Context, exited func(Exit)) error
	// Close lets go of every pod without touching it: pods run on.
	Close() error
	// Facts says what the machine is like.
	Facts() Facts

	// LoadRecords returns the saved records by name. SaveRecord replaces one atomically.
	LoadRecords() (map[string][]byte, error)
	SaveRecord(name string, data []byte) error
	DeleteRecord(name string) error

	// RunSandbox makes the pod's cgroup and namespaces and starts its pause process. When it fails it
	// leaves nothing behind.
	RunSandbox(ctx context.Context, s SandboxSpec) (Sandbox, error)
	// AdoptSandbox finds the pause process of an earlier server and watches it again. It returns
	// [ErrGone] if it is not alive. Exits that nobody has heard of are reported through Open's function
	// before AdoptSandbox returns.
	AdoptSandbox(ctx context.Context, s SandboxSpec, containers []string) (Sandbox, error)
	// LostExits returns the recorded exits of containers of a sandbox whose pause process is gone.
	LostExits(sandbox string, containers []string) []Exit
	// KillSandbox ends every process of the pod, pause included, and gives back its namespaces, mounts and
	// cgroups. Records of exits stay.
	KillSandbox(ctx context.Context, s SandboxSpec) error
	// DestroySandbox is KillSandbox and removes the rest of it from the disk.
	DestroySandbox(ctx context.Context, s SandboxSpec) error

	// CreateContainer prepares the container on disk; nothing runs yet.
	CreateContainer(ctx context.Context, c ContainerSpec) error
	// StartContainer starts it and returns after its process was executed.
	StartContainer(ctx context.Context, c ContainerRef) (Started, error)
	// SignalContainer signals the container's first process.
	SignalContainer(ctx context.Context, c ContainerRef, signal int) error
	// KillContainer kills every process of the container.
	KillContainer(ctx context.Context, c ContainerRef) error
	// DestroyContainer is KillContainer and removes all of it but its log.
	DestroyContainer(ctx context.Context, c ContainerRef) error
	// UpdateContainer changes limits of a running container.
	UpdateContainer(ctx context.Context, c ContainerRef, r *specs.LinuxResources) error
	// ReopenLog closes the log file and opens its path anew.
	ReopenLog(ctx context.Context, c ContainerRef) error
	// Exec runs a process in a running container and returns its exit code. It ends the process when ctx ends.
	Exec(ctx context.Context, c ContainerRef, e ExecSpec) (exitCode int, err error)
	// Attach copies between the container's first process and the streams until it exits or ctx ends.
	Attach(ctx context.Context, c ContainerRef, a Streams) error
	// DialPod connects to a TCP port on the pod's loopback address.
	DialPod(ctx context.Context, s SandboxSpec, port uint16) (io.ReadWriteCloser, error)
	// ContainerStats reads a running container's usage.
	ContainerStats(ctx context.Context, c ContainerRef) (Usage, error)
	// Sweep removes what the driver finds of this instance that belongs to none of the given sandboxes and
	// containers: what is left of a server that was killed, or, with none given, every trace.
	Sweep(ctx context.Context, sandboxes, containers map[string]bool) error
}

// ErrGone says that a pause process or container is not there any more.
var ErrGone = errors.New("process is gone")

// Facts is what [Spec] and the server must know of the machine.
type Facts struct {
	CgroupV2 bool
	// CgroupWritable is false if limits cannot be set here; containers then run only if they ask for none.
	CgroupWritable bool
	CgroupReason   string // why not writable, and how to fix it
	// CgroupRoot is the parent of every pod's cgroup that names no other, "/sampan-<instance>".
	CgroupRoot string
	// Controllers are those of this machine that limits can use: "cpu", "memory", "pids", "cpuset", "hugetlb".
	Controllers map[string]bool
	// Capabilities are the names of those that the runtime may give away, "CAP_CHOWN".
	Capabilities []string
	Seccomp      bool
	// Problem is why pods cannot run here at all, "" if they can.
	Problem string
}

// SandboxSpec is what the driver must make for a pod.
type SandboxSpec struct {
	ID       string
	PodUID   string
	Hostname string // "" keeps the node's
	// CgroupPath is the pod's cgroup, absolute within its hierarchies.
	CgroupPath           string
	HostNetwork, HostIPC bool
	HostPID, SharePID    bool
	Sysctls              map[string]string
	// Resources are the limits of the whole pod, nil for none.
	Resources *specs.LinuxResources
	ShmBytes  int64
	// ResolvConf, Hosts are the contents of the files that containers see in /etc. An empty ResolvConf is
	// the node's own.
	ResolvConf, Hosts string
}

// Sandbox is a running pod: its pause process and where its parts are.
type Sandbox struct {
	PausePID  int
	StartTime uint64 // of the pause process, in clock ticks after boot: with the PID it names one process for good
	// Paths of the namespaces; "" where the pod uses the host's (or, for PIDNS, each container has its own).
	NetNS, IPCNS, UTSNS, PIDNS string
	// Paths of the files and the directory that containers mount.
	ResolvConf, Hosts, Hostname, Shm string
}

// ContainerRef names a container.
type ContainerRef struct {
	ID, Sandbox string
	// CgroupPath is the container's cgroup, absolute within its hierarchies.
	CgroupPath string
	TTY        bool
}

// ContainerSpec is what the driver must make for a container.
type ContainerSpec struct {
	ContainerRef
	OCI *specs.Spec
	// User is "name", "name:group" or numbers as in an image's configuration, resolved in the root file
	// system; empty means that OCI.Process.User holds.
	User string
	// SupplementalGroups are added to those that the image's /etc/group gives; StrictGroups leaves the latter out.
	SupplementalGroups []uint32
	StrictGroups       bool
	Layers             []string // directories, uppermost first
	HostDevices        []HostDevice
	AllHostDevices     bool   // privileged: every device of the node
	SeccompFile        string // a profile in a file of the node instead of OCI.Linux.Seccomp
	LogPath            string // absolute; "" keeps no log
	Stdin, StdinOnce   bool
	// SharedPID says that the end of the first process does not end the others (hostPID or a shared PID
	// namespace), so that the runtime must kill them.
	SharedPID bool
}

// HostDevice is a device of the node that a container may use.
type HostDevice struct{ HostPath, ContainerPath, Permissions string }

// Started says when a container began to run.
type Started struct {
	PID int
	At  time.Time
}

// Exit says how a container ended; an empty Container says that the pause process itself ended.
type Exit struct {
	Sandbox, Container string
	Code               int // 128 plus the signal's number if a signal ended it
	At                 time.Time
	OOMKilled          bool
	// Unknown says that nobody saw the end, so that Code is not known.
	Unknown bool
}

// ExecSpec is a process to run in a container: the container's own process with other arguments.
type ExecSpec struct {
	Args []string
	TTY  bool
	Streams
}

// Streams are a client's ends of standard input, output and error; nil for those that it did not ask for.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resize         <-chan WindowSize
}

// WindowSize is the size of a terminal.
type WindowSize struct{ Width, Height uint16 }

// Usage is what a container has used.
type Usage struct {
	At               time.Time
	CPUNanos         uint64
	MemoryBytes      uint64
	WorkingSetBytes  uint64
	RSSBytes         uint64
	LimitBytes       uint64 // 0: none
	PageFaults       uint64
	MajorPageFaults  uint64
	Processes        uint64
	WritableBytes    uint64
	WritableInodes   uint64
	WritableMeasured bool
}
