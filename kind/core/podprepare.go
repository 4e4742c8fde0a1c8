package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// preparePod gives a new pod its first status, and what follows from its labels and annotations. A second call
// changes nothing.
func preparePod(pod *corev1.Pod) {
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: QOSClass(&pod.Spec)}
	if len(pod.Spec.SchedulingGates) > 0 {
		pod.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, LastTransitionTime: pod.CreationTimestamp,
			Reason: corev1.PodReasonSchedulingGated, Message: "Scheduling is blocked due to non-empty scheduling gates",
		}}
	}
	selectOwnLabels(pod)
	appArmorFromAnnotations(pod)
}

// selectOwnLabels puts into selectors the values that the pod itself has of the labels that matchLabelKeys and
// mismatchLabelKeys name (KEP-3633, KEP-3243).
func selectOwnLabels(pod *corev1.Pod) {
	add := func(selector *metav1.LabelSelector, keys []string, op metav1.LabelSelectorOperator) {
		if selector == nil || len(keys) == 0 {
			return
		}
		has := make(map[string]bool) // keys with a requirement as ours
		for _, r := range selector.MatchExpressions {
			if r.Operator == op && len(r.Values) == 1 && r.Values[0] == pod.Labels[r.Key] {
				has[r.Key] = true
			}
		}
		for _, key := range keys {
			if value, ok := pod.Labels[key]; ok && !has[key] {
				selector.MatchExpressions = append(selector.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: []string{value}})
				has[key] = true
			}
		}
	}
	term := func(t *corev1.PodAffinityTerm) {
		add(t.LabelSelector, t.MatchLabelKeys, metav1.LabelSelectorOpIn)
		add(t.LabelSelector, t.MismatchLabelKeys, metav1.LabelSelectorOpNotIn)
	}
	terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i := range preferred {
			term(&preferred[i].PodAffinityTerm)
		}
		for i := range required {
			term(&required[i])
		}
	}
	if a := pod.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAntiAffinity != nil {
			terms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		add(c.LabelSelector, c.MatchLabelKeys, metav1.LabelSelectorOpIn)
	}
}

// appArmorFromAnnotations gives containers the profile that an annotation of old names, where no field does (KEP-24).
func appArmorFromAnnotations(pod *corev1.Pod) {
	if len(pod.Annotations) == 0 || windowsOnly(&pod.Spec) {
		return
	}
	var ofPod *corev1.AppArmorProfile
	if pod.Spec.SecurityContext != nil {
		ofPod = pod.Spec.SecurityContext.AppArmorProfile
	}
	eachContainer(&pod.Spec, nil, func(c *corev1.Container, _ containerAt) {
		annotation, ok := pod.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name]
		if !ok || (c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil) {
			return
		}
		profile, ok := appArmorOf(annotation)
		if !ok || profile == nil || len(validateAppArmor(profile, nil)) > 0 || equality.Semantic.DeepEqual(profile, ofPod) {
			return
		}
		if c.SecurityContext == nil {
			c.SecurityContext = &corev1.SecurityContext{}
		}
		c.SecurityContext.AppArmorProfile = profile
	})
}

// preparePodStatus lets a status writer change status, labels and annotations, and nothing else; the node
// agent must not be able to move a pod to another owner. What a writer does not know of the status, it keeps.
func preparePodStatus(pod, old *corev1.Pod) {
	pod.Spec = *old.Spec.DeepCopy()
	pod.DeletionTimestamp = old.DeletionTimestamp.DeepCopy()
	pod.DeletionGracePeriodSeconds = old.DeletionGracePeriodSeconds
	pod.OwnerReferences = old.DeepCopy().OwnerReferences
	status, was := &pod.Status, &old.Status
	dropGatedStatus(status, was)
	if status.QOSClass == "" {
		status.QOSClass = was.QOSClass
	}
	if status.ResourceClaimStatuses == nil {
		status.ResourceClaimStatuses = was.DeepCopy().ResourceClaimStatuses
	}
	if status.ExtendedResourceClaimStatus == nil {
		status.ExtendedResourceClaimStatus = was.ExtendedResourceClaimStatus.DeepCopy()
	}
	if status.NodeAllocatableResourceClaimStatuses == nil {
		status.NodeAllocatableResourceClaimStatuses = was.DeepCopy().NodeAllocatableResourceClaimStatuses
	}
	keepGenerations(status, was)
	// podIP is the first of podIPs. Of two that differ it is the one that counts: who writes it knows no list.
	switch {
	case status.PodIP == "" && len(status.PodIPs) > 0:
		status.PodIP = status.PodIPs[0].IP
	case status.PodIP != "" && (len(status.PodIPs) == 0 || status.PodIPs[0].IP != status.PodIP):
		status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	}
}

// keepGenerations keeps the generations that the status was made from where a writer says none. There may be several
// conditions of a type; they are taken in turn.
func keepGenerations(status, was *corev1.PodStatus) {
	if status.ObservedGeneration == 0 {
		status.ObservedGeneration = was.ObservedGeneration
	}
	if len(was.Conditions) == 0 {
		return
	}
	generations := make(map[corev1.PodConditionType][]int64, len(was.Conditions))
	for i := range was.Conditions {
		c := &was.Conditions[i]
		generations[c.Type] = append(generations[c.Type], c.ObservedGeneration)
	}
	for i := range status.Conditions {
		c := &status.Conditions[i]
		if left := generations[c.Type]; len(left) > 0 {
			if c.ObservedGeneration == 0 {
				c.ObservedGeneration = left[0]
			}
			generations[c.Type] = left[1:]
		}
	}
}
