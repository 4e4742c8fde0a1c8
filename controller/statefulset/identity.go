package statefulset

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/controller/pods"
)

func gvk() schema.GroupVersionKind { return appsv1.SchemeGroupVersion.WithKind("StatefulSet") }

func replicas(set *appsv1.StatefulSet) int {
	if set.Spec.Replicas == nil {
		return 1
	}
	return int(*set.Spec.Replicas)
}

// start is the first ordinal.
func start(set *appsv1.StatefulSet) int {
	if set.Spec.Ordinals == nil {
		return 0
	}
	return int(set.Spec.Ordinals.Start)
}

func podName(set *appsv1.StatefulSet, ordinal int) string {
	return set.Name + "-" + strconv.Itoa(ordinal)
}

// ordinalOf splits the name of a pod into that of its set and its ordinal.
func ordinalOf(pod string) (set string, ordinal int, ok bool) {
	i := strings.LastIndexByte(pod, '-')
	if i <= 0 {
		return "", 0, false
	}
	digits := pod[i+1:]
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != digits {
		return "", 0, false
	}
	return pod[:i], int(n), true
}

func claimName(set *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, ordinal int) string {
	return fmt.Sprintf("%s-%s-%d", template.Name, set.Name, ordinal)
}

// newPod makes the pod of an ordinal, of a revision's template.
func newPod(set *appsv1.StatefulSet, template *corev1.PodTemplateSpec, revision string, ordinal int) *corev1.Pod {
	name := podName(set, ordinal)
	pod := pods.FromTemplate(template, set, gvk(), name)
	pod.Labels = maps.Clone(pod.Labels)
	if pod.Labels == nil {
		pod.Labels = make(map[string]string)
	}
	maps.Copy(pod.Labels, identity(name, ordinal))
	pod.Labels[appsv1.ControllerRevisionHashLabelKey] = revision
	pod.Spec.Hostname = name
	pod.Spec.Subdomain = set.Spec.ServiceName

	// The claims take the place of the template's volumes of the same names.
	templates := set.Spec.VolumeClaimTemplates
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return slices.ContainsFunc(templates, func(t corev1.PersistentVolumeClaim) bool { return t.Name == v.Name })
	})
	for i := range templates {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
			Name: templates[i].Name,
			VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{
				ClaimName: claimName(set, &templates[i], ordinal),
			}},
		})
	}
	return pod
}

// identity is the labels that say which pod of the set it is.
func identity(name string, ordinal int) map[string]string {
	return map[string]string{
		appsv1.StatefulSetPodNameLabel: name,
		appsv1.PodIndexLabel:           strconv.Itoa(ordinal),
	}
}

// newClaim makes the claim of a template and an ordinal.
func newClaim(set *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, ordinal int) *corev1.PersistentVolumeClaim {
	claim := template.DeepCopy()
	claim.Name = claimName(set, template, ordinal)
	claim.Namespace = set.Namespace
	if claim.Labels == nil {
		claim.Labels = make(map[string]string)
	}
	maps.Copy(claim.Labels, set.Spec.Selector.MatchLabels)
	claim.Status = corev1.PersistentVolumeClaimStatus{}
	return claim
}

func revisionOf(pod *corev1.Pod) string { return pod.Labels[appsv1.ControllerRevisionHashLabelKey] }
