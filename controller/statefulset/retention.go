package statefulset

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/plan"
)

// retention makes the claims' owner references say what becomes of them: with whenDeleted=Delete they go with the
// set, with whenScaled=Delete those of condemned pods go with the pod (KEP-1847). The garbage collector does it.
func (t *turn) retention() {
	for _, m := range slices.Concat(t.members, t.condemned) {
		if m.pod == nil {
			continue
		}
		for i := range t.set.Spec.VolumeClaimTemplates {
			claim := t.Claims[claimName(t.set, &t.set.Spec.VolumeClaimTemplates[i], m.ordinal)]
			if claim == nil || claim.DeletionTimestamp != nil {
				continue
			}
			if refs := t.owners(claim, m); !equality.Semantic.DeepEqual(refs, claim.OwnerReferences) {
				claim = claim.DeepCopy()
				claim.OwnerReferences = refs
				t.p.Do(plan.Update{Object: claim})
			}
		}
	}
}

// owners returns the owner references that a claim of the member should have.
func (t *turn) owners(claim *corev1.PersistentVolumeClaim, m member) []metav1.OwnerReference {
	var withSet, withPod bool
	if r := t.set.Spec.PersistentVolumeClaimRetentionPolicy; r != nil {
		withPod = r.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType && t.isCondemned(m)
		withSet = r.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType && !withPod
	}
	var refs []metav1.OwnerReference
	for _, r := range claim.OwnerReferences {
		switch {
		case r.UID == t.set.UID:
			if withSet {
				refs, withSet = append(refs, r), false
			}
		case r.UID == m.pod.UID:
			if withPod {
				refs, withPod = append(refs, r), false
			}
		default:
			refs = append(refs, r)
		}
	}
	if withSet {
		refs = append(refs, *metav1.NewControllerRef(t.set, gvk()))
	}
	if withPod {
		refs = append(refs, *metav1.NewControllerRef(m.pod, corev1.SchemeGroupVersion.WithKind("Pod")))
	}
	return refs
}

func (t *turn) isCondemned(m member) bool {
	return m.ordinal < start(t.set) || m.ordinal >= start(t.set)+len(t.members)
}

// doomed reports whether the garbage collector is about to delete the claim, since it belongs to a pod that is
// gone or going.
func (t *turn) doomed(claim *corev1.PersistentVolumeClaim) bool {
	for _, r := range claim.OwnerReferences {
		if r.Kind != "Pod" {
			continue
		}
		alive := slices.ContainsFunc(t.members, func(m member) bool { return m.pod != nil && m.pod.UID == r.UID })
		if !alive {
			return true
		}
	}
	return false
}
