package volume

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind/claim"
	"sampan/plan"
)

func decideClaim(cfg Config, i claimIn, m memory) (plan.Plan, memory) {
	var p plan.Plan
	switch {
	case i.claim == nil:
		return p, memory{}
	case i.claim.DeletionTimestamp != nil && i.unprotect(&p):
	case claim.Bound(i.claim):
		i.keep(&p, &m)
	case i.claim.DeletionTimestamp != nil: // in use by a pod, but not bound: it will not be any more
	case i.claim.Spec.VolumeName != "":
		i.bindNamed(&p, &m)
	default:
		i.bindAny(cfg, &p, &m)
	}
	return p, m
}

// unprotect drops the finalizer that keeps a deleted claim for the pods on nodes that use it.
func (i claimIn) unprotect(p *plan.Plan) bool {
	for _, pod := range i.pods {
		if pod.Spec.NodeName != "" {
			p.Say(plan.Reason{About: claimKey(i.claim), Message: fmt.Sprintf("deletion waits for pod %s, which uses the claim", pod.Name), Waiting: true})
			return false
		}
	}
	if pvc := i.claim.DeepCopy(); dropFinalizer(pvc, claimProtection) {
		p.Do(plan.Update{Object: pvc})
	}
	return true
}

func dropFinalizer(obj metav1.Object, name string) bool {
	before := obj.GetFinalizers()
	after := slices.DeleteFunc(slices.Clone(before), func(f string) bool { return f == name })
	obj.SetFinalizers(after)
	return len(after) < len(before)
}

// keep holds a bound claim's status up to date, and says when its volume is lost.
func (i claimIn) keep(p *plan.Plan, m *memory) {
	pv := i.volume
	switch {
	case pv == nil:
		i.lost(p, m, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
	case pv.Spec.ClaimRef == nil:
		i.bind(p, pv) // someone took the volume's side away
	case !claim.RefersTo(pv, i.claim):
		i.lost(p, m, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
	case pv.Spec.ClaimRef.UID == "":
		i.bind(p, pv)
	default:
		i.status(p, pv)
	}
}

func (i claimIn) lost(p *plan.Plan, m *memory, reason, message string) {
	if i.claim.Status.Phase != corev1.ClaimLost {
		pvc := i.claim.DeepCopy()
		pvc.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimLost, Conditions: pvc.Status.Conditions}
		p.Do(plan.UpdateStatus{Object: pvc})
	}
	m.say(p, claimKey(i.claim), true, reason, message)
}

func (i claimIn) status(p *plan.Plan, pv *corev1.PersistentVolume) {
	pvc := i.claim.DeepCopy()
	pvc.Status.Phase = corev1.ClaimBound
	pvc.Status.AccessModes = slices.Clone(pv.Spec.AccessModes)
	pvc.Status.Capacity = maps.Clone(pv.Spec.Capacity)
	if !equality.Semantic.DeepEqual(pvc.Status, i.claim.Status) {
		p.Do(plan.UpdateStatus{Object: pvc})
	}
}

// bind writes both sides of a binding, the volume's first: it is the one that two claims might want.
func (i claimIn) bind(p *plan.Plan, pv *corev1.PersistentVolume) {
	if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != i.claim.UID {
		bound := pv.DeepCopy()
		if ref == nil {
			metav1.SetMetaDataAnnotation(&bound.ObjectMeta, claim.BoundByController, "yes")
		}
		bound.Spec.ClaimRef = i.reference()
		p.Do(plan.Update{Object: bound})
	}
	i.point(p, pv.Name)
}

// point writes the claim's side of a binding.
func (i claimIn) point(p *plan.Plan, volume string) {
	if claim.Bound(i.claim) && i.claim.Spec.VolumeName == volume {
		return
	}
	pvc := i.claim.DeepCopy()
	if pvc.Spec.VolumeName == "" {
		metav1.SetMetaDataAnnotation(&pvc.ObjectMeta, claim.BoundByController, "yes")
	}
	pvc.Spec.VolumeName = volume
	metav1.SetMetaDataAnnotation(&pvc.ObjectMeta, claim.BindCompleted, "yes")
	p.Do(plan.Update{Object: pvc})
}

func (i claimIn) reference() *corev1.ObjectReference {
	return &corev1.ObjectReference{
		Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: i.claim.Namespace, Name: i.claim.Name,
		UID: i.claim.UID, ResourceVersion: i.claim.ResourceVersion,
	}
}

// bindNamed binds a claim to the volume that its user named.
func (i claimIn) bindNamed(p *plan.Plan, m *memory) {
	pv, key := i.volume, claimKey(i.claim)
	switch {
	case pv == nil:
		p.Say(plan.Reason{About: key, Message: fmt.Sprintf("waiting for volume %q to exist", i.claim.Spec.VolumeName), Waiting: true})
	case pv.Spec.ClaimRef != nil && !claim.RefersTo(pv, i.claim):
		m.say(p, key, true, "FailedBinding", fmt.Sprintf("volume %q already bound to a different claim.", pv.Name))
	case pv.Spec.ClaimRef == nil && i.mismatch(pv) != "":
		m.say(p, key, true, "VolumeMismatch", fmt.Sprintf("Cannot bind to requested volume %q: %s", pv.Name, i.mismatch(pv)))
	default:
		i.bind(p, pv)
	}
}

func (i claimIn) mismatch(pv *corev1.PersistentVolume) string {
	switch {
	case !claim.SameMode(pv, i.claim):
		return "incompatible volumeMode"
	case !claim.Fits(pv, i.claim):
		return "requested PV is too small"
	case claim.VolumeClass(pv) != claim.Class(i.claim):
		return "storageClassName does not match"
	}
	for _, want := range i.claim.Spec.AccessModes {
		if !slices.Contains(pv.Spec.AccessModes, want) {
			return "incompatible accessMode"
		}
	}
	return ""
}

// bindAny finds or makes a volume for a claim that names none.
func (i claimIn) bindAny(cfg Config, p *plan.Plan, m *memory) {
	key, delayed := claimKey(i.claim), claim.Delayed(i.class)
	if i.claim.Spec.StorageClassName == nil && claim.Class(i.claim) == "" && i.byName != "" {
		pvc := i.claim.DeepCopy()
		pvc.Spec.StorageClassName = &i.byName // a default class appeared after the claim
		p.Do(plan.Update{Object: pvc})
		return
	}
	selected, chosen := i.claim.Annotations[claim.SelectedNode]
	var node *corev1.Node
	if chosen {
		node = i.node(selected)
		if node == nil {
			i.reselect(p, m, selected)
			return
		}
	}
	if pv := claim.Find(i.claim, slices.Values(i.volumes), node, delayed, nil); pv != nil {
		i.bind(p, pv)
		return
	}
	switch {
	case claim.Class(i.claim) == "":
		m.say(p, key, false, "FailedBinding", "no persistent volumes available for this claim and no storage class is set")
	case i.class == nil:
		m.say(p, key, true, "ProvisioningFailed", fmt.Sprintf("storageclass.storage.k8s.io %q not found", claim.Class(i.claim)))
	case delayed && node == nil:
		i.waitForConsumer(p, m)
	case i.class.Provisioner == Provisioner:
		i.provision(cfg, p, m, node)
	case i.class.Provisioner == claim.NoProvisioner:
		m.say(p, key, true, "ProvisioningFailed", "no volume plugin matched name: "+claim.NoProvisioner)
	default:
		i.external(p, m)
	}
}

func (i claimIn) node(name string) *corev1.Node {
	for _, n := range i.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// reselect gives the choice of node back to the scheduler, because the chosen one is gone.
func (i claimIn) reselect(p *plan.Plan, m *memory, selected string) {
	pvc := i.claim.DeepCopy()
	delete(pvc.Annotations, claim.SelectedNode)
	p.Do(plan.Update{Object: pvc})
	m.say(p, claimKey(i.claim), true, "ProvisioningFailed", fmt.Sprintf("node %q not found", selected))
}

func (i claimIn) waitForConsumer(p *plan.Plan, m *memory) {
	for _, pod := range i.pods {
		if pod.DeletionTimestamp == nil {
			m.say(p, claimKey(i.claim), false, "WaitForPodScheduled", fmt.Sprintf("waiting for pod %s to be scheduled", pod.Name))
			return
		}
	}
	m.say(p, claimKey(i.claim), false, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
}

// external asks another program to provision, by an annotation.
func (i claimIn) external(p *plan.Plan, m *memory) {
	name := i.class.Provisioner
	if i.claim.Annotations[claim.StorageProvisioner] != name {
		pvc := i.claim.DeepCopy()
		metav1.SetMetaDataAnnotation(&pvc.ObjectMeta, claim.StorageProvisioner, name)
		metav1.SetMetaDataAnnotation(&pvc.ObjectMeta, claim.BetaStorageProvisioner, name)
		p.Do(plan.Update{Object: pvc})
	}
	m.say(p, claimKey(i.claim), false, "ExternalProvisioning", fmt.Sprintf(
		"Waiting for a volume to be created either by the external provisioner '%s' or manually by the system administrator. "+
			"If volume creation is delayed, please verify that the provisioner is running and correctly registered.", name))
}
