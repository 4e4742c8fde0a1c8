package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"sampan/kind"
)

// Pod returns the kind Pod.
func Pod() *kind.Kind {
	return GatePods(kind.Typed[*corev1.Pod]{
		ID: kind.Pods, Version: corev1.SchemeGroupVersion, Name: "Pod", Singular: "pod",
		ShortNames: []string{"po"}, Categories: []string{"all"},
		New:           func() *corev1.Pod { return new(corev1.Pod) },
		NewList:       func() runtime.Object { return new(corev1.PodList) },
		ReturnDeleted: true,

		Default:       defaultPod,
		Counted:       func(pod *corev1.Pod) any { return &pod.Spec },
		PrepareCreate: preparePod,
		PrepareUpdate: func(pod, old *corev1.Pod) { pod.Status = *old.Status.DeepCopy() },

		Validate:       validatePod,
		ValidateUpdate: validatePodUpdate,
		Warnings:       newPodWarnings,
		UpdateWarnings: func(pod, old *corev1.Pod) []string { return nil }, // a stored pod is hardly ever changed by hand

		PrepareStatus:  preparePodStatus,
		ValidateStatus: validatePodStatus,
		StatusWarnings: podStatusWarnings,
		Parts:          []kind.TypedPart[*corev1.Pod]{ephemeralPart(), resizePart()},

		GracePeriod: podGracePeriod,
		Columns:     podColumns(),
		Row:         podRow,
		Fields:      podFields,
	}, field.NewPath("spec"), func(pod *corev1.Pod) *corev1.PodSpec { return &pod.Spec }).Kind()
}

// podGracePeriod is the time that a pod gets to stop: what the caller asked for, or else what the pod says.
// A pod that no node runs, or that has finished, needs none. A negative period is an old way to ask for the
// shortest one that still lets the node confirm the end.
func podGracePeriod(pod *corev1.Pod, requested *int64) int64 {
	var period int64
	switch {
	case pod.Spec.NodeName == "", podFinished(pod):
		return 0
	case requested != nil:
		period = *requested
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		period = *pod.Spec.TerminationGracePeriodSeconds
	}
	if period < 0 {
		return 1
	}
	return period
}

func podFinished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// podFields are the fields that the API documents as selectable for pods.
func podFields(pod *corev1.Pod) fields.Set {
	return fields.Set{
		"spec.nodeName":            pod.Spec.NodeName,
		"spec.host":                pod.Spec.NodeName, // what it once was called
		"spec.restartPolicy":       string(pod.Spec.RestartPolicy),
		"spec.schedulerName":       pod.Spec.SchedulerName,
		"spec.serviceAccountName":  pod.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(pod.Spec.HostNetwork),
		"status.phase":             string(pod.Status.Phase),
		"status.podIP":             podIP(pod),
		"status.podIPs":            "", // known, but of no value that could be selected
		"status.nominatedNodeName": pod.Status.NominatedNodeName,
	}
}

func podIP(pod *corev1.Pod) string {
	if len(pod.Status.PodIPs) > 0 {
		return pod.Status.PodIPs[0].IP
	}
	return pod.Status.PodIP
}
