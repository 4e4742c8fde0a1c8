// Package bundle is what the linux driver and its helper ocirun say to each other: a file in a container's
// folder. The driver writes it when the container is created; ocirun reads it, and only ocirun acts on it.
package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Names of files in a container's folder.
const (
	File    = "bundle.json"
	Process = "process.json" // the container's process with its user resolved: what exec starts from
	Rootfs  = "rootfs"       // mount point, used in the container's own mount namespace only
)

// Bundle describes one container.
type Bundle struct {
	OCI                *specs.Spec
	User               string
	SupplementalGroups []uint32
	StrictGroups       bool
	HostDevices        []HostDevice
	AllHostDevices     bool
	// Layers, uppermost first, under Upper; Work is overlayfs' own.
	Layers      []string
	Upper, Work string
	// SeccompFile holds a profile to load, "" for the one in OCI.
	SeccompFile string
	// StateRoot is where libcontainer keeps its state.
	StateRoot string
	// Controllers are the cgroup v1 hierarchies that the container joins; it stays where its pod is in the
	// others. Each one costs milliseconds, so only those with a use are named.
	Controllers []string
	// NoCgroup says that no cgroup can be written here.
	NoCgroup bool
}

// HostDevice is a device of the node that the container may use.
type HostDevice struct{ HostPath, ContainerPath, Permissions string }

// Write puts b into a container's folder.
func Write(dir string, b *Bundle) error {
	data, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode bundle: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, File), data, 0o600)
}

// Read reads the bundle of a container's folder.
func Read(dir string) (*Bundle, error) {
	data, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		return nil, err
	}
	b := &Bundle{}
	if err := json.Unmarshal(data, b); err != nil {
		return nil, fmt.Errorf("decode bundle: %w", err)
	}
	return b, nil
}
