package volume

import (
	"fmt"
	"hash/fnv"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind/claim"
	"sampan/plan"
)

// provision makes a volume for a claim on a node, and binds it. Without a node (class with binding mode Immediate) it
// chooses one.
func (i claimIn) provision(cfg Config, p *plan.Plan, m *memory, node *corev1.Node) {
	key := claimKey(i.claim)
	if why := i.unsupported(); why != "" {
		m.say(p, key, true, "ProvisioningFailed", fmt.Sprintf("failed to provision volume with StorageClass %q: %s", i.class.Name, why))
		return
	}
	if node == nil {
		node = i.chooseNode()
	}
	if node == nil {
		m.say(p, key, true, "ProvisioningFailed", fmt.Sprintf("failed to provision volume with StorageClass %q: no node is available", i.class.Name))
		return
	}
	pv := i.localVolume(cfg, node)
	// The volume names the claim, so a crash between the two writes leaves a volume that the next decision finds.
	p.Do(plan.Create{Object: pv}, plan.Reason{About: key, EventReason: "ProvisioningSucceeded", Message: "Successfully provisioned volume " + pv.Name})
	i.point(p, pv.Name)
}

// unsupported says what a claim asks for that a directory on a node cannot give.
func (i claimIn) unsupported() string {
	if i.claim.Spec.Selector != nil {
		return "claim Selector is not supported"
	}
	if i.claim.Spec.VolumeMode != nil && *i.claim.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return "block volumes are not supported"
	}
	if i.claim.Spec.DataSource != nil || i.claim.Spec.DataSourceRef != nil {
		return "data sources are not supported"
	}
	for _, mode := range i.claim.Spec.AccessModes {
		if mode != corev1.ReadWriteOnce && mode != corev1.ReadWriteOncePod {
			return "only the access modes ReadWriteOnce and ReadWriteOncePod are supported"
		}
	}
	return ""
}

// chooseNode spreads claims over the nodes that take pods, by the claim's UID.
func (i claimIn) chooseNode() *corev1.Node {
	var usable []*corev1.Node
	for _, n := range i.nodes {
		if !n.Spec.Unschedulable && n.DeletionTimestamp == nil && claim.Topology(i.class, n) {
			usable = append(usable, n)
		}
	}
	if len(usable) == 0 {
		return nil
	}
	h := fnv.New32a()
	h.Write([]byte(i.claim.UID))
	return usable[int(h.Sum32()%uint32(len(usable)))]
}

func (i claimIn) localVolume(cfg Config, node *corev1.Node) *corev1.PersistentVolume {
	name := "pvc-" + string(i.claim.UID)
	reclaim, mode := corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeFilesystem
	if i.class.ReclaimPolicy != nil {
		reclaim = *i.class.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{claim.ProvisionedBy: Provisioner},
			Finalizers:  []string{Finalizer},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: i.claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   slices.Clone(i.claim.Spec.AccessModes),
			PersistentVolumeReclaimPolicy: reclaim,
			StorageClassName:              i.class.Name,
			VolumeMode:                    &mode,
			MountOptions:                  slices.Clone(i.class.MountOptions),
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path.Join(cfg.Root, name)}},
			NodeAffinity:                  &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{onlyOn(node)}}},
			ClaimRef:                      i.reference(),
		},
	}
}

func onlyOn(node *corev1.Node) corev1.NodeSelectorTerm {
	if hostname := node.Labels[corev1.LabelHostname]; hostname != "" {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{hostname}}}}
	}
	return corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{
		{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node.Name}}}}
}
