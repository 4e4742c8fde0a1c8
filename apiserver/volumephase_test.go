package apiserver_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestPhasesOfVolumesHaveTheirTimes(t *testing.T) {
	volumes := kubernetes.NewForConfigOrDie(listen(t, newMemory(t))).CoreV1().PersistentVolumes()
	v, err := volumes.Create(t.Context(), &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: corev1.PersistentVolumeSpec{
		AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/d"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Status.Phase != corev1.VolumePending || !v.Status.LastPhaseTransitionTime.Equal(&v.CreationTimestamp) {
		t.Errorf("new: %+v", v.Status)
	}
	created, long := v.Status.LastPhaseTransitionTime, metav1.NewTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	write := func(phase corev1.PersistentVolumePhase, at *metav1.Time) *metav1.Time {
		t.Helper()
		v.Status.Phase, v.Status.LastPhaseTransitionTime = phase, at
		if v, err = volumes.UpdateStatus(t.Context(), v, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		return v.Status.LastPhaseTransitionTime
	}
	if at := write(corev1.VolumePending, nil); !at.Equal(created) {
		t.Errorf("the same phase began at %v", at)
	}
	if at := write(corev1.VolumeAvailable, &long); !at.Equal(&long) {
		t.Errorf("a writer's time became %v", at)
	}
	if at := write(corev1.VolumeBound, &long); at == nil || at.Equal(&long) {
		t.Errorf("the next phase began at %v", at)
	}
}
