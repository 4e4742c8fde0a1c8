package place

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"sampan/kind"
	"sampan/kind/claim"
	"sampan/kind/core"
	"sampan/view"
)

// volumes is what a pod's claims demand of its node.
type volumes struct {
	bound   []*corev1.PersistentVolume
	delayed []delayedClaim
	snap    *view.Snapshot
}

// delayedClaim is a claim that gets its volume where the pod goes.
type delayedClaim struct {
	claim    *corev1.PersistentVolumeClaim
	class    *storagev1.StorageClass
	selected string // node that the claim was given before, or ""
}

// volumesOf looks at a pod's claims. A message means that no node can take the pod while they are so.
func volumesOf(snap *view.Snapshot, r *Request) (v *volumes, message string) {
	if !r.volumes {
		return nil, ""
	}
	v = &volumes{snap: snap}
	for _, name := range core.ClaimsOf(r.Pod) {
		pvc, ok := view.Get[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, r.Pod.Namespace, name)
		if !ok {
			return nil, fmt.Sprintf("persistentvolumeclaim %q not found", name)
		}
		if message := v.add(pvc); message != "" {
			return nil, message
		}
	}
	return v, ""
}

func (v *volumes) add(pvc *corev1.PersistentVolumeClaim) (message string) {
	if pvc.Status.Phase == corev1.ClaimLost {
		return fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", pvc.Name, pvc.Spec.VolumeName)
	}
	if pvc.DeletionTimestamp != nil {
		return fmt.Sprintf("persistentvolumeclaim %q is being deleted", pvc.Name)
	}
	if claim.Bound(pvc) {
		pv, ok := view.Get[*corev1.PersistentVolume](v.snap, kind.PersistentVolumes, "", pvc.Spec.VolumeName)
		if !ok {
			return fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", pvc.Name, pvc.Spec.VolumeName)
		}
		v.bound = append(v.bound, pv)
		return ""
	}
	class, _ := view.Get[*storagev1.StorageClass](v.snap, kind.StorageClasses, "", claim.Class(pvc))
	if !claim.Delayed(class) || pvc.Spec.VolumeName != "" {
		return "pod has unbound immediate PersistentVolumeClaims"
	}
	v.delayed = append(v.delayed, delayedClaim{pvc, class, pvc.Annotations[claim.SelectedNode]})
	return ""
}

// excluded returns why a node cannot serve the claims, or "".
func (v *volumes) excluded(node *corev1.Node) string {
	for _, pv := range v.bound {
		if !claim.UsableOn(pv, node) {
			return reasonVolumeNode
		}
	}
	var taken map[string]bool
	for _, d := range v.delayed {
		if d.selected != "" {
			if d.selected != node.Name {
				return reasonVolumeFind
			}
			continue
		}
		pv := claim.Find(d.claim, view.All[*corev1.PersistentVolume](v.snap, kind.PersistentVolumes, ""), node, true, taken)
		switch {
		case pv != nil:
			if taken == nil {
				taken = make(map[string]bool)
			}
			taken[pv.Name] = true
		case d.class.Provisioner == claim.NoProvisioner || !claim.Topology(d.class, node):
			return reasonVolumeFind
		}
	}
	return ""
}

// claims returns the claims that must be bound before the pod can be, and of those the ones that have yet to be
// given a node.
func (v *volumes) claims() (wait, give []view.Key) {
	if v == nil {
		return nil, nil
	}
	for _, d := range v.delayed {
		key := view.KeyOf(kind.PersistentVolumeClaims, d.claim)
		wait = append(wait, key)
		if d.selected == "" {
			give = append(give, key)
		}
	}
	return wait, give
}
