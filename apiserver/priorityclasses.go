package apiserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/kind/scheduling"
	"sampan/view"
)

// bootstrapPriorityClasses creates the two classes of the system's own pods.
func bootstrapPriorityClasses(ctx context.Context, c *Local) error {
	for _, class := range []schedulingv1.PriorityClass{
		{
			ObjectMeta:  metav1.ObjectMeta{Name: scheduling.ClusterCritical},
			Value:       scheduling.SystemCritical,
			Description: "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
		},
		{
			ObjectMeta:  metav1.ObjectMeta{Name: scheduling.NodeCritical},
			Value:       scheduling.SystemCritical + 1000,
			Description: "Used for system critical pods that must not be moved from their current node.",
		},
	} {
		class.PreemptionPolicy = new(corev1.PreemptLowerPriority)
		if err := ensure(ctx, c, view.Key{Kind: kind.PriorityClasses, Name: class.Name}, &class); err != nil {
			return err
		}
	}
	return nil
}
