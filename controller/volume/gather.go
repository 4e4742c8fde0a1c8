package volume

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"sampan/kind"
	"sampan/kind/claim"
	"sampan/kind/core"
	"sampan/plan"
	"sampan/view"
)

// claimIn is everything that a decision about one claim may know.
type claimIn struct {
	claim   *corev1.PersistentVolumeClaim // nil if it is gone
	volumes []*corev1.PersistentVolume    // all of them, by name, while the claim is not bound
	volume  *corev1.PersistentVolume      // that the claim names, or nil
	class   *storagev1.StorageClass       // that the claim names, or nil
	byName  string                        // name of the default class, "" for none
	nodes   []*corev1.Node                // all of them, by name, while the claim is not bound
	pods    []*corev1.Pod                 // that use the claim, by name
}

// NewClaims returns the controller that binds PersistentVolumeClaims.
func NewClaims(cfg Config) plan.Controller {
	return plan.Define("persistentvolume-binder", []plan.Watch{
		{Kind: kind.PersistentVolumeClaims, Keys: plan.Self},
		{Kind: kind.PersistentVolumes, Keys: claimsOfVolume},
		{Kind: kind.StorageClasses, Keys: claimsOfClass},
		{Kind: kind.Pods, Keys: claimsOfPod},
		{Kind: kind.Nodes, Keys: claimsOfNode},
	}, gatherClaim, func(i claimIn, m memory) (plan.Plan, memory) { return decideClaim(cfg, i, m) })
}

func gatherClaim(snap *view.Snapshot, key view.Key, _ time.Time) claimIn {
	var i claimIn
	i.claim, _ = view.Get[*corev1.PersistentVolumeClaim](snap, key.Kind, key.Namespace, key.Name)
	if i.claim == nil {
		return i
	}
	i.volume, _ = view.Get[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "", i.claim.Spec.VolumeName)
	bound := claim.Bound(i.claim)
	if bound && i.claim.DeletionTimestamp == nil {
		return i
	}
	for pod := range view.All[*corev1.Pod](snap, kind.Pods, key.Namespace) {
		if slices.Contains(core.ClaimsOf(pod), key.Name) {
			i.pods = append(i.pods, pod)
		}
	}
	if bound {
		return i
	}
	i.class, _ = view.Get[*storagev1.StorageClass](snap, kind.StorageClasses, "", claim.Class(i.claim))
	i.byName = defaultClassName(snap)
	for pv := range view.All[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "") {
		i.volumes = append(i.volumes, pv)
	}
	for node := range view.All[*corev1.Node](snap, kind.Nodes, "") {
		i.nodes = append(i.nodes, node)
	}
	return i
}

// defaultClassName returns the default class; of several, the newest, as admission does.
func defaultClassName(snap *view.Snapshot) string {
	var best *storagev1.StorageClass
	for class := range view.All[*storagev1.StorageClass](snap, kind.StorageClasses, "") {
		if class.Annotations[defaultClass] == "true" && (best == nil || best.CreationTimestamp.Before(&class.CreationTimestamp)) {
			best = class
		}
	}
	if best == nil {
		return ""
	}
	return best.Name
}

// claimsOfVolume returns the claim that a volume names and the one it named, those that name it, and, if it became
// available, those that may want it.
func claimsOfVolume(snap *view.Snapshot, c view.Change) []view.Key {
	before, _ := c.Old.(*corev1.PersistentVolume)
	after, _ := c.New.(*corev1.PersistentVolume)
	var keys []view.Key
	for _, pv := range []*corev1.PersistentVolume{before, after} {
		if pv != nil && pv.Spec.ClaimRef != nil {
			keys = append(keys, view.Key{Kind: kind.PersistentVolumeClaims, Namespace: pv.Spec.ClaimRef.Namespace, Name: pv.Spec.ClaimRef.Name})
		}
	}
	offered := after != nil && after.Status.Phase == corev1.VolumeAvailable && after.Spec.ClaimRef == nil
	came := before == nil || after == nil
	if offered || came {
		for pvc := range view.All[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, "") {
			if pvc.Spec.VolumeName == c.Key.Name || offered && pvc.Spec.VolumeName == "" && claim.Class(pvc) == claim.VolumeClass(after) {
				keys = append(keys, claimKey(pvc))
			}
		}
	}
	return keys
}

// claimsOfClass returns the unbound claims that name the class, or no class at all.
func claimsOfClass(snap *view.Snapshot, c view.Change) []view.Key {
	return unbound(snap, func(pvc *corev1.PersistentVolumeClaim) bool {
		return pvc.Spec.StorageClassName == nil || claim.Class(pvc) == c.Key.Name
	})
}

// claimsOfPod returns the claims of a pod that came, went, or was given a node.
func claimsOfPod(_ *view.Snapshot, c view.Change) []view.Key {
	before, _ := c.Old.(*corev1.Pod)
	after, _ := c.New.(*corev1.Pod)
	if before != nil && after != nil && before.UID == after.UID && before.Spec.NodeName == after.Spec.NodeName {
		return nil
	}
	pod := c.Latest().(*corev1.Pod)
	var keys []view.Key
	for _, name := range core.ClaimsOf(pod) {
		keys = append(keys, view.Key{Kind: kind.PersistentVolumeClaims, Namespace: pod.Namespace, Name: name})
	}
	return keys
}

// claimsOfNode returns the unbound claims when a node comes or goes.
func claimsOfNode(snap *view.Snapshot, c view.Change) []view.Key {
	if c.Old != nil && c.New != nil {
		return nil
	}
	return unbound(snap, func(*corev1.PersistentVolumeClaim) bool { return true })
}

func unbound(snap *view.Snapshot, concerned func(*corev1.PersistentVolumeClaim) bool) []view.Key {
	var keys []view.Key
	for pvc := range view.All[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, "") {
		if !claim.Bound(pvc) && concerned(pvc) {
			keys = append(keys, claimKey(pvc))
		}
	}
	return keys
}

// volumeIn is everything that a decision about one volume may know.
type volumeIn struct {
	volume  *corev1.PersistentVolume      // nil if it is gone
	claim   *corev1.PersistentVolumeClaim // that the volume names, whatever its UID, or nil
	hasNode bool                          // a node exists on which the volume is usable; known only while it is being deleted
	now     time.Time
}

// NewVolumes returns the controller that follows PersistentVolumes.
func NewVolumes(Config) plan.Controller {
	return plan.Define("persistentvolume-controller", []plan.Watch{
		{Kind: kind.PersistentVolumes, Keys: plan.Self},
		{Kind: kind.PersistentVolumeClaims, Keys: volumesOfClaim},
		{Kind: kind.Nodes, Keys: deletedVolumes},
	}, gatherVolume, decideVolume)
}

func gatherVolume(snap *view.Snapshot, key view.Key, now time.Time) volumeIn {
	i := volumeIn{now: now}
	i.volume, _ = view.Get[*corev1.PersistentVolume](snap, key.Kind, "", key.Name)
	if i.volume == nil {
		return i
	}
	if ref := i.volume.Spec.ClaimRef; ref != nil {
		i.claim, _ = view.Get[*corev1.PersistentVolumeClaim](snap, kind.PersistentVolumeClaims, ref.Namespace, ref.Name)
	}
	if i.volume.DeletionTimestamp != nil {
		for node := range view.All[*corev1.Node](snap, kind.Nodes, "") {
			i.hasNode = i.hasNode || claim.UsableOn(i.volume, node)
		}
	}
	return i
}

// volumesOfClaim returns the volume that a claim names, and when the claim came or went, those that name it.
func volumesOfClaim(snap *view.Snapshot, c view.Change) []view.Key {
	var keys []view.Key
	add := func(name string) {
		if name != "" {
			keys = append(keys, view.Key{Kind: kind.PersistentVolumes, Name: name})
		}
	}
	pvc := c.Latest().(*corev1.PersistentVolumeClaim)
	add(pvc.Spec.VolumeName)
	if before, ok := c.Old.(*corev1.PersistentVolumeClaim); ok && c.New != nil && before.UID == pvc.UID {
		if before.Spec.VolumeName != pvc.Spec.VolumeName {
			add(before.Spec.VolumeName)
		}
		return keys
	}
	for pv := range view.All[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "") {
		if ref := pv.Spec.ClaimRef; ref != nil && ref.Namespace == pvc.Namespace && ref.Name == pvc.Name && pv.Name != pvc.Spec.VolumeName {
			add(pv.Name)
		}
	}
	return keys
}

// deletedVolumes returns the volumes being deleted when a node goes: nobody else will finish those that were on it.
func deletedVolumes(snap *view.Snapshot, c view.Change) []view.Key {
	if c.New != nil {
		return nil
	}
	var keys []view.Key
	for pv := range view.All[*corev1.PersistentVolume](snap, kind.PersistentVolumes, "") {
		if pv.DeletionTimestamp != nil {
			keys = append(keys, volumeKey(pv))
		}
	}
	return keys
}
