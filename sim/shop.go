package sim

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/kind"
)

// Shop returns a small site: a database in a StatefulSet with claims, a web tier and a cache tier in Deployments,
// each behind a Service.
func Shop() []kind.Object {
	return []kind.Object{
		service("db", true), statefulSet("db", 2),
		service("web", false), deployment("web", 3, "1", "0"),
		service("squid", false), deployment("squid", 4, "25%", "25%"),
	}
}

func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}
}

func service(name string, headless bool) *corev1.Service {
	s := &corev1.Service{ObjectMeta: meta(name), Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": name},
		Ports:    []corev1.ServicePort{{Port: 80}},
	}}
	if headless {
		s.Spec.ClusterIP = corev1.ClusterIPNone
	}
	return s
}

func template(name string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: "v1"}}},
	}
}

func deployment(name string, n int32, surge, unavailable string) *appsv1.Deployment {
	s, u := intstr.Parse(surge), intstr.Parse(unavailable)
	return &appsv1.Deployment{ObjectMeta: meta(name), Spec: appsv1.DeploymentSpec{
		Replicas: &n,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		Template: template(name),
		Strategy: appsv1.DeploymentStrategy{
			Type:          appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &s, MaxUnavailable: &u},
		},
	}}
}

func statefulSet(name string, n int32) *appsv1.StatefulSet {
	t := template(name)
	t.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
	return &appsv1.StatefulSet{ObjectMeta: meta(name), Spec: appsv1.StatefulSetSpec{
		Replicas:    &n,
		ServiceName: name,
		Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		Template:    t,
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{
			ObjectMeta: metav1.ObjectMeta{Name: "data"},
			Spec: corev1.PersistentVolumeClaimSpec{
				AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		}},
	}}
}

// Corners returns workloads of the less usual kinds: Recreate, minReadySeconds, Parallel, several at a time,
// claims that go with their pods.
func Corners() []kind.Object {
	recreate := deployment("recreate", 3, "0", "0")
	recreate.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	patient := deployment("patient", 3, "2", "0")
	patient.Spec.MinReadySeconds = 7
	tight := deployment("tight", 2, "0", "1")

	parallel := statefulSet("parallel", 4)
	two := intstr.FromInt32(2)
	parallel.Spec.PodManagementPolicy = appsv1.ParallelPodManagement
	parallel.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{
		Type:          appsv1.RollingUpdateStatefulSetStrategyType,
		RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: &two},
	}
	tidy := statefulSet("tidy", 2)
	tidy.Spec.MinReadySeconds = 3
	tidy.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: 3}
	tidy.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
		WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
		WhenScaled:  appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
	}
	return []kind.Object{
		recreate, patient, tight,
		service("parallel", true), parallel, service("tidy", true), tidy,
	}
}
