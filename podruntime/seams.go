package podruntime

import (
	"context"
	"net/netip"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Images is what the runtime needs of the image store. Package image implements it.
type Images interface {
	// Open resolves an image (a reference or an ID) that is present, and keeps its files until release is
	// called. It returns an error that satisfies errors.Is(err, ErrImageNotPresent) if it is not there.
	Open(ctx context.Context, image string) (Image, error)
}

// Image is an unpacked image.
type Image struct {
	ID string // "sha256:…", the digest of the configuration
	// Layers are the directories of the layers, uppermost first, as overlayfs' lowerdir wants them.
	Layers []string
	Config imagespec.ImageConfig
}

// Network is what the runtime needs of the pod network. Package network implements it.
type Network interface {
	// Attach connects a pod's network namespace and returns its addresses, the primary one first. It brings
	// up the loopback interface too. It is idempotent for one sandbox.
	Attach(ctx context.Context, a Attachment) ([]netip.Addr, error)
	// Detach releases what Attach made for a sandbox, whose namespace may be gone already. It is idempotent.
	Detach(ctx context.Context, sandboxID string) error
}

// Attachment is one pod's connection to the network.
type Attachment struct {
	SandboxID string
	NetNS     string // path of the network namespace, such as /proc/1234/ns/net
	Namespace string // of the pod
	Pod       string
	HostPorts []HostPort
}

// HostPort forwards a port of the node to the pod.
type HostPort struct {
	HostIP        netip.Addr // unspecified: every address of the node
	HostPort      uint16
	ContainerPort uint16
	Protocol      string // "TCP", "UDP", "SCTP"
}
