package volume

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// Names that the parts around local-path volumes share.
const (
	// Provisioner is the name of the built-in provisioner, as in a StorageClass.
	Provisioner = "sampan.dev/local-path"
	// Finalizer keeps a provisioned PersistentVolume until the node agent has removed its directory.
	Finalizer = "sampan.dev/local-path"
)

const (
	claimProtection  = "kubernetes.io/pvc-protection"
	volumeProtection = "kubernetes.io/pv-protection"

	defaultClass = "storageclass.kubernetes.io/is-default-class"
)

// Config is what the volume controllers must know.
type Config struct {
	// Root is the directory, on every node, under which provisioned volumes are made.
	Root string
}

// DefaultStorageClass returns the StorageClass "local-path", for the composition root to create if there is no class.
func DefaultStorageClass() *storagev1.StorageClass {
	reclaim, mode, expansion := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingWaitForFirstConsumer, false
	return &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: "local-path", Annotations: map[string]string{defaultClass: "true"}},
		Provisioner:          Provisioner,
		ReclaimPolicy:        &reclaim,
		VolumeBindingMode:    &mode,
		AllowVolumeExpansion: &expansion,
	}
}

// memory is the last event about a key, so that a decision that is taken again does not say it again.
type memory struct{ said string }

// say adds an event about obj, unless it was the last one; then it only explains. waiting as in plan.Reason.
func (m *memory) say(p *plan.Plan, about view.Key, warning bool, reason, message string) {
	r := plan.Reason{About: about, EventReason: reason, Warning: warning, Message: message, Waiting: true}
	if m.said == reason+message {
		r.EventReason = ""
	}
	m.said = reason + message
	p.Say(r)
}

func claimKey(pvc *corev1.PersistentVolumeClaim) view.Key {
	return view.KeyOf(kind.PersistentVolumeClaims, pvc)
}

func volumeKey(pv *corev1.PersistentVolume) view.Key { return view.KeyOf(kind.PersistentVolumes, pv) }
