package volume

import (
	storagev1 "k8s.io/api/storage/v1"
	"sampan/plan"
)

// Names that the parts around local-path volumes share.
const (
	// Provisioner is the name of the built-in provisioner, as in a StorageClass.
	Provisioner = "sampan.dev/local-path"
	// Finalizer keeps a provisioned PersistentVolume until the node agent has removed its directory.
	Finalizer = "sampan.dev/local-path"
)

// Config is what the volume controllers must know.
type Config struct {
	// Root is the directory, on every node, under which provisioned volumes are made.
	Root string
}

// DefaultStorageClass returns the StorageClass "local-path", for the composition root to create if there is none.
func DefaultStorageClass() *storagev1.StorageClass { return nil }

// NewClaims returns the controller that binds PersistentVolumeClaims.
func NewClaims(cfg Config) plan.Controller { return plan.Controller{Name: "persistentvolume-binder"} }

// NewVolumes returns the controller that follows PersistentVolumes.
func NewVolumes(cfg Config) plan.Controller {
	return plan.Controller{Name: "persistentvolume-controller"}
}
