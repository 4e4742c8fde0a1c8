package volume

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind/claim"
	"sampan/plan"
)

func decideVolume(i volumeIn, m memory) (plan.Plan, memory) {
	var p plan.Plan
	pv := i.volume
	if pv == nil {
		return p, memory{}
	}
	switch ref := pv.Spec.ClaimRef; {
	case ref == nil || ref.UID == "":
		i.phase(&p, corev1.VolumeAvailable, "")
	case i.claim == nil || i.claim.UID != ref.UID:
		i.reclaim(&p, &m)
	case i.claim.Spec.VolumeName == pv.Name:
		i.phase(&p, corev1.VolumeBound, "")
	case i.claim.Spec.VolumeName != "":
		i.unwanted(&p, &m)
	default: // the claim's side of the binding is about to be written
		p.Say(plan.Reason{About: volumeKey(pv), Message: fmt.Sprintf("waiting for claim %s/%s to be bound", ref.Namespace, ref.Name), Waiting: true})
	}
	if pv.DeletionTimestamp != nil && len(p.Actions) == 0 {
		i.letGo(&p)
	}
	return p, m
}

// phase writes the volume's phase if it differs.
func (i volumeIn) phase(p *plan.Plan, phase corev1.PersistentVolumePhase, message string) {
	if i.volume.Status.Phase == phase && i.volume.Status.Message == message {
		return
	}
	pv := i.volume.DeepCopy()
	if pv.Status.Phase != phase {
		at := metav1.NewTime(i.now.Truncate(time.Second))
		pv.Status.LastPhaseTransitionTime = &at
	}
	pv.Status.Phase, pv.Status.Message, pv.Status.Reason = phase, message, ""
	p.Do(plan.UpdateStatus{Object: pv})
}

// reclaim does with a volume whose claim is gone what its policy says.
func (i volumeIn) reclaim(p *plan.Plan, m *memory) {
	pv := i.volume
	by := pv.Annotations[claim.ProvisionedBy]
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain || by != "" || pv.DeletionTimestamp != nil {
		i.phase(p, corev1.VolumeReleased, "")
		if by == Provisioner && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && pv.DeletionTimestamp == nil {
			p.Do(plan.Delete{Key: volumeKey(pv), UID: pv.UID},
				plan.Reason{About: volumeKey(pv), Message: "deleted: its claim is gone"})
		}
		return
	}
	message, reason := fmt.Sprintf("error getting deleter volume plugin for volume %q: no deletable volume plugin matched", pv.Name), "VolumeFailedDelete"
	if pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		message, reason = "No recycler plugin found for the volume!", "VolumeFailedRecycle"
	}
	i.phase(p, corev1.VolumeFailed, message)
	m.say(p, volumeKey(pv), true, reason, message)
}

// unwanted frees a volume whose claim was bound to another one.
func (i volumeIn) unwanted(p *plan.Plan, m *memory) {
	pv := i.volume
	switch {
	case pv.Annotations[claim.ProvisionedBy] != "" && pv.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete:
		i.reclaim(p, m)
	case pv.Annotations[claim.BoundByController] != "":
		free := pv.DeepCopy()
		delete(free.Annotations, claim.BoundByController)
		free.Spec.ClaimRef = nil
		p.Do(plan.Update{Object: free})
	default: // a user's reference: keep it, but for a claim of that name that does not exist yet
		i.phase(p, corev1.VolumeAvailable, "")
	}
}

// letGo drops the finalizers that nothing needs any more from a volume that is being deleted.
func (i volumeIn) letGo(p *plan.Plan) {
	pv := i.volume.DeepCopy()
	dropped := i.volume.Status.Phase != corev1.VolumeBound && dropFinalizer(pv, volumeProtection)
	if !i.hasNode { // its directory went with the node
		dropped = dropFinalizer(pv, Finalizer) || dropped
	}
	if dropped {
		p.Do(plan.Update{Object: pv})
	}
}
