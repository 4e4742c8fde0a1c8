package apiserver

import (
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/kind/scheduling"
)

// systemPriorityClasses returns the two classes of the system's own pods.
func systemPriorityClasses() []kind.Object {
	return []kind.Object{
		&schedulingv1.PriorityClass{
			ObjectMeta:       metav1.ObjectMeta{Name: scheduling.ClusterCritical},
			Value:            scheduling.SystemCritical,
			Description:      "For pods that the cluster cannot do without, but that may run on any node.",
			PreemptionPolicy: new(corev1.PreemptLowerPriority),
		},
		&schedulingv1.PriorityClass{
			ObjectMeta:       metav1.ObjectMeta{Name: scheduling.NodeCritical},
			Value:            scheduling.SystemCritical + 1000,
			Description:      "For pods that their node cannot do without.",
			PreemptionPolicy: new(corev1.PreemptLowerPriority),
		},
	}
}
