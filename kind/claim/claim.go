// Package claim says which PersistentVolumes a PersistentVolumeClaim may be bound to. The scheduler asks it whether
// a node is usable, the volume controller which volume to bind: both must answer alike, so the rules are here once.
//
// Everything is a pure function of its arguments, and objects are only read.
package claim

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Annotations by which the parts that bind a claim tell each other how far it is; users and tools read them too.
const (
	// SelectedNode is set on a claim by the scheduler: the node of its first consumer.
	SelectedNode = "volume.kubernetes.io/selected-node"
	// BindCompleted is set on a claim whose binding is written on both sides.
	BindCompleted = "pv.kubernetes.io/bind-completed"
	// BoundByController is set on whichever side a controller, and not a user, pointed to the other.
	BoundByController = "pv.kubernetes.io/bound-by-controller"
	// ProvisionedBy is set on a volume that a provisioner made.
	ProvisionedBy = "pv.kubernetes.io/provisioned-by"
	// StorageProvisioner is set on a claim that waits for a provisioner; older provisioners look for the beta name.
	StorageProvisioner     = "volume.kubernetes.io/storage-provisioner"
	BetaStorageProvisioner = "volume.beta.kubernetes.io/storage-provisioner"
	// NoProvisioner is the provisioner of classes whose volumes are made by hand.
	NoProvisioner = "kubernetes.io/no-provisioner"
)

// Class returns the name of a claim's storage class, "" for none.
func Class(pvc *corev1.PersistentVolumeClaim) string {
	if class, ok := pvc.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	if pvc.Spec.StorageClassName != nil {
		return *pvc.Spec.StorageClassName
	}
	return ""
}

// VolumeClass returns the name of a volume's storage class, "" for none.
func VolumeClass(pv *corev1.PersistentVolume) string {
	if class, ok := pv.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	return pv.Spec.StorageClassName
}

// Delayed reports whether claims of the class wait for their first consumer. class may be nil.
func Delayed(class *storagev1.StorageClass) bool {
	return class != nil && class.VolumeBindingMode != nil &&
		*class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// Bound reports whether the claim's binding is complete, so that pods may use it.
func Bound(pvc *corev1.PersistentVolumeClaim) bool {
	return pvc.Spec.VolumeName != "" && metav1.HasAnnotation(pvc.ObjectMeta, BindCompleted)
}

// RefersTo reports whether a volume's claimRef names the claim. A reference without UID was written by a user
// and names whichever claim has that name.
func RefersTo(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	ref := pv.Spec.ClaimRef
	return ref != nil && ref.Name == pvc.Name && ref.Namespace == pvc.Namespace &&
		(ref.UID == "" || ref.UID == pvc.UID)
}

// UsableOn reports whether the volume's node affinity admits the node. A malformed affinity admits none.
func UsableOn(pv *corev1.PersistentVolume, node *corev1.Node) bool {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return true
	}
	ok, err := nodeaffinity.NewLazyErrorNodeSelector(pv.Spec.NodeAffinity.Required).Match(node)
	return err == nil && ok
}

// Topology reports whether a class may provision on the node (allowedTopologies). No terms admit every node.
func Topology(class *storagev1.StorageClass, node *corev1.Node) bool {
	if len(class.AllowedTopologies) == 0 {
		return true
	}
	for _, term := range class.AllowedTopologies {
		if len(term.MatchLabelExpressions) > 0 && topologyTerm(term, node.Labels) {
			return true
		}
	}
	return false
}

func topologyTerm(term corev1.TopologySelectorTerm, have map[string]string) bool {
	for _, req := range term.MatchLabelExpressions {
		found := false
		for _, v := range req.Values {
			got, ok := have[req.Key]
			found = found || ok && got == v
		}
		if !found {
			return false
		}
	}
	return true
}

// Fits reports whether the volume is large enough for the claim and has its modes.
func Fits(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	size, want := pv.Spec.Capacity[corev1.ResourceStorage], pvc.Spec.Resources.Requests[corev1.ResourceStorage]
	return size.Cmp(want) >= 0 && mode(pv.Spec.VolumeMode) == mode(pvc.Spec.VolumeMode) &&
		deref(pv.Spec.VolumeAttributesClassName) == deref(pvc.Spec.VolumeAttributesClassName)
}

// SameMode reports whether volume and claim agree on file system or block device.
func SameMode(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	return mode(pv.Spec.VolumeMode) == mode(pvc.Spec.VolumeMode)
}

func mode(m *corev1.PersistentVolumeMode) corev1.PersistentVolumeMode {
	if m == nil {
		return corev1.PersistentVolumeFilesystem
	}
	return *m
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Find returns the volume that the claim should get: one that names it, else the smallest available one that
// fits and, with a node, is usable there; the first by name among equals. Without a node and with delayed true
// only a volume that names the claim is found, because the scheduler has yet to say where. taken volumes are
// passed over. Nil means that there is none.
func Find(pvc *corev1.PersistentVolumeClaim, volumes iter.Seq[*corev1.PersistentVolume], node *corev1.Node,
	delayed bool, taken map[string]bool) *corev1.PersistentVolume {
	selector := labels.Everything()
	if pvc.Spec.Selector != nil {
		s, err := metav1.LabelSelectorAsSelector(pvc.Spec.Selector)
		if err != nil {
			return nil
		}
		selector = s
	}
	class := Class(pvc)
	var best *corev1.PersistentVolume
	for pv := range volumes {
		if taken[pv.Name] || pv.DeletionTimestamp != nil {
			continue
		}
		if pv.Spec.ClaimRef != nil {
			if !RefersTo(pv, pvc) || !Fits(pv, pvc) {
				continue
			}
			if node != nil && !UsableOn(pv, node) {
				return nil // the claim is promised to this volume, and the volume is not usable there
			}
			return pv
		}
		if node == nil && delayed || pv.Status.Phase != corev1.VolumeAvailable || VolumeClass(pv) != class ||
			!Fits(pv, pvc) || !hasModes(pv, pvc) || !selector.Matches(labels.Set(pv.Labels)) ||
			node != nil && !UsableOn(pv, node) {
			continue
		}
		if best == nil || smaller(pv, best) {
			best = pv
		}
	}
	return best
}

func smaller(a, b *corev1.PersistentVolume) bool {
	x, y := a.Spec.Capacity[corev1.ResourceStorage], b.Spec.Capacity[corev1.ResourceStorage]
	return x.Cmp(y) < 0
}

func hasModes(pv *corev1.PersistentVolume, pvc *corev1.PersistentVolumeClaim) bool {
	for _, want := range pvc.Spec.AccessModes {
		found := false
		for _, have := range pv.Spec.AccessModes {
			found = found || have == want
		}
		if !found {
			return false
		}
	}
	return true
}
