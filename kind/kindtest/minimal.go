package kindtest

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
)

// signingRequest asks for a certificate for "jane".
const signingRequest = `-----BEGIN CERTIFICATE REQUEST-----
MIGOMEICAQAwDzENMAsGA1UEAxMEamFuZTAqMAUGAytlcAMhAHTmsijX1MCAMCl6
E8OFFHj5h9cQZ5EL1jHrFRIwsh36oAAwBQYDK2VwA0EAOPK05bVsoanc8k8GCZ8S
pfDZIGnd8NG4H9QZ0OwUFVKnKgEzf7cSzI+XMMshwqf0qOAvEvuTFyf9Yw68yt/N
Aw==
-----END CERTIFICATE REQUEST-----
`

// Minimal returns the least that a user can write for each kind that is served: an object "a", as it would be read back.
func Minimal(k *kind.Kind) kind.Object {
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}
	obj := k.New()
	switch o := obj.(type) {
	case *corev1.Pod:
		o.Spec = template.Spec
	case *corev1.Service:
		o.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	case *corev1.PersistentVolume:
		o.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		o.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
		o.Spec.HostPath = &corev1.HostPathVolumeSource{Path: "/data"}
	case *corev1.PersistentVolumeClaim:
		o.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
		o.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	case *corev1.Event:
		o.InvolvedObject = corev1.ObjectReference{Kind: "Pod", Namespace: "ns", Name: "p"}
	case *appsv1.Deployment:
		o.Spec.Selector, o.Spec.Template = selector, template
	case *appsv1.ReplicaSet:
		o.Spec.Selector, o.Spec.Template = selector, template
	case *appsv1.StatefulSet:
		o.Spec.Selector, o.Spec.Template = selector, template
	case *appsv1.ControllerRevision:
		o.Data.Raw = []byte(`{"spec":{}}`)
	case *corev1.PodTemplate:
		o.Template = template
	case *corev1.ReplicationController:
		o.Spec.Template = &template
	case *corev1.LimitRange:
		o.Spec.Limits = []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer}}
	case *appsv1.DaemonSet:
		o.Spec.Selector, o.Spec.Template = selector, template
	case *batchv1.Job:
		o.Spec.Template = template
		o.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	case *batchv1.CronJob:
		o.Spec.Schedule = "*/5 * * * *"
		o.Spec.JobTemplate.Spec.Template = template
		o.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	case *autoscalingv2.HorizontalPodAutoscaler:
		o.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "d"}
		o.Spec.MaxReplicas = 3
	case *networkingv1.Ingress:
		o.Spec.DefaultBackend = &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: "s", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	case *networkingv1.IngressClass:
		o.Spec.Controller = "example.com/controller"
	case *certificatesv1.CertificateSigningRequest:
		o.Spec.Request, o.Spec.SignerName = []byte(signingRequest), "example.com/signer"
		o.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}
	case *storagev1.VolumeAttachment:
		o.Spec = storagev1.VolumeAttachmentSpec{Attacher: "example.com", NodeName: "n", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: new("v")}}
	case *storagev1.CSIStorageCapacity:
		o.StorageClassName = "fast"
	case *rbacv1.RoleBinding:
		o.RoleRef = rbacv1.RoleRef{Kind: "Role", Name: "r"}
	case *rbacv1.ClusterRoleBinding:
		o.RoleRef = rbacv1.RoleRef{Kind: "ClusterRole", Name: "r"}
	case *nodev1.RuntimeClass:
		o.Handler = "runc"
	case *discoveryv1.EndpointSlice:
		o.AddressType = discoveryv1.AddressTypeIPv4
	case *storagev1.StorageClass:
		o.Provisioner = "example.com/disk"
	}
	obj.SetName("a")
	obj.SetUID("u")
	obj.SetResourceVersion("1")
	if k.Namespaced {
		obj.SetNamespace("ns")
	}
	return obj
}
