package apiserver_test

import (
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestApplyWorksInEveryServedVersion(t *testing.T) {
	c := clientset(t, listen(t, newMemory(t)))
	v1, v2 := c.AutoscalingV1().HorizontalPodAutoscalers("default"), c.AutoscalingV2().HorizontalPodAutoscalers("default")
	patch := func(max string) []byte {
		return []byte(`{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"h"},"spec":{
			"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},"minReplicas":1,"maxReplicas":` + max + `,"targetCPUUtilizationPercentage":50}}`)
	}
	made, err := v1.Patch(t.Context(), "h", types.ApplyYAMLPatchType, patch("5"), metav1.PatchOptions{FieldManager: "alice"})
	if err != nil || made.Spec.MaxReplicas != 5 || *made.Spec.TargetCPUUtilizationPercentage != 50 {
		t.Fatalf("%v %+v", err, made)
	}
	got, err := v2.Get(t.Context(), "h", metav1.GetOptions{})
	if err != nil || len(got.Spec.Metrics) != 1 || len(got.ManagedFields) != 1 || got.ManagedFields[0].APIVersion != autoscalingv1.SchemeGroupVersion.String() {
		t.Fatalf("%v %+v", err, got)
	}
	_, err = v2.Patch(t.Context(), "h", types.ApplyYAMLPatchType, []byte(`{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"h"},"spec":{"maxReplicas":7}}`),
		metav1.PatchOptions{FieldManager: "bob"})
	if !apierrors.IsConflict(err) {
		t.Errorf("want a conflict across versions, got %v", err)
	}
	again, err := v1.Patch(t.Context(), "h", types.ApplyYAMLPatchType, patch("6"), metav1.PatchOptions{FieldManager: "alice"})
	if err != nil || again.Spec.MaxReplicas != 6 || *again.Spec.TargetCPUUtilizationPercentage != 50 {
		t.Errorf("%v %+v", err, again)
	}
}
