package quota

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
)

// costs writes down what an object costs, without the count of its kind.
func costs(id kind.ID, obj kind.Object, now time.Time) string {
	usage := Usage(id, obj, now)
	var parts []string
	for _, name := range Names(usage) {
		q := usage[name]
		if string(name) == "count/"+string(id) && q.Value() == 1 {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s=%s", name, q.String()))
	}
	if len(parts) == len(usage) {
		parts = append(parts, "and is not counted")
	}
	return strings.Join(parts, " ")
}

func TestObjectsCostWhatTheyTake(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	list := func(pairs ...string) corev1.ResourceList {
		out := corev1.ResourceList{}
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			out[corev1.ResourceName(name)] = resource.MustParse(value)
		}
		return out
	}
	pod := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list("cpu=1"), Limits: list("memory=1Gi", "cpu=2")}}}}}
		if change != nil {
			change(p)
		}
		return p
	}
	const runs = "cpu=1 limits.cpu=2 limits.memory=1Gi pods=1 requests.cpu=1"
	asks := func(pairs ...string) *corev1.Pod {
		return pod(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list(pairs...), Limits: list(pairs...)}
		})
	}
	going := func(at time.Time, grace *int64) *corev1.Pod {
		return pod(func(p *corev1.Pod) {
			deleted := metav1.NewTime(at)
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &deleted, grace
		})
	}
	service := func(typ corev1.ServiceType, allocate *bool, nodePorts ...int32) *corev1.Service {
		s := &corev1.Service{Spec: corev1.ServiceSpec{Type: typ, AllocateLoadBalancerNodePorts: allocate}}
		for _, p := range nodePorts {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{NodePort: p})
		}
		return s
	}
	claim := func(class *string, annotation, size, allocated string) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: class}}
		if annotation != "" {
			c.Annotations = map[string]string{corev1.BetaStorageClassAnnotation: annotation}
		}
		if size != "" {
			c.Spec.Resources.Requests = list("storage=" + size)
		}
		if allocated != "" {
			c.Status.AllocatedResources = list("storage=" + allocated)
		}
		return c
	}
	for _, c := range []struct {
		name string
		id   kind.ID
		obj  kind.Object
		want string
	}{
		{"a pod", kind.Pods, pod(nil), runs},
		{"a pod that failed", kind.Pods, pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), ""},
		{"a pod that succeeded", kind.Pods, pod(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), ""},
		{"a pod that goes", kind.Pods, going(now.Add(-30*time.Second), new(int64(30))), runs},
		{"a pod that should be gone", kind.Pods, going(now.Add(-31*time.Second), new(int64(30))), ""},
		{"a pod that goes, nobody knows when", kind.Pods, going(now.Add(-time.Hour), nil), runs},
		{"other resources", kind.Pods, asks("ephemeral-storage=1Gi", "hugepages-2Mi=4Mi", "example.com/gpu=2"),
			"ephemeral-storage=1Gi hugepages-2Mi=4Mi limits.ephemeral-storage=1Gi pods=1 requests.ephemeral-storage=1Gi requests.example.com/gpu=2 requests.hugepages-2Mi=4Mi"},
		{"resources that are Kubernetes' own", kind.Pods, asks("kubernetes.io/x=1", "sub.kubernetes.io/x=1", "plain=1"), "pods=1"},
		{"a service", kind.Services, service(corev1.ServiceTypeClusterIP, nil, 0, 0), "services=1 services.nodeports=0"},
		{"on each node", kind.Services, service(corev1.ServiceTypeNodePort, nil, 30000, 30001), "services=1 services.nodeports=2"},
		{"balanced", kind.Services, service(corev1.ServiceTypeLoadBalancer, nil, 0, 0), "services=1 services.loadbalancers=1 services.nodeports=2"},
		{"balanced, with node ports", kind.Services, service(corev1.ServiceTypeLoadBalancer, new(true), 0, 0), "services=1 services.loadbalancers=1 services.nodeports=2"},
		{"balanced, with those that it names", kind.Services, service(corev1.ServiceTypeLoadBalancer, new(false), 30000, 0), "services=1 services.loadbalancers=1 services.nodeports=1"},
		{"a claim", kind.PersistentVolumeClaims, claim(nil, "", "1Gi", ""), "persistentvolumeclaims=1 requests.storage=1Gi"},
		{"a claim of nothing", kind.PersistentVolumeClaims, claim(new("c"), "", "", ""), "c.storageclass.storage.k8s.io/persistentvolumeclaims=1 persistentvolumeclaims=1"},
		{"a claim of a class", kind.PersistentVolumeClaims, claim(new("c"), "", "1Gi", ""),
			"c.storageclass.storage.k8s.io/persistentvolumeclaims=1 c.storageclass.storage.k8s.io/requests.storage=1Gi persistentvolumeclaims=1 requests.storage=1Gi"},
		{"a claim of no class", kind.PersistentVolumeClaims, claim(new(""), "", "1Gi", ""), "persistentvolumeclaims=1 requests.storage=1Gi"},
		{"a class named in the old way", kind.PersistentVolumeClaims, claim(new("c"), "old", "1Gi", ""),
			"old.storageclass.storage.k8s.io/persistentvolumeclaims=1 old.storageclass.storage.k8s.io/requests.storage=1Gi persistentvolumeclaims=1 requests.storage=1Gi"},
		{"a claim that has grown", kind.PersistentVolumeClaims, claim(nil, "", "1Gi", "2Gi"), "persistentvolumeclaims=1 requests.storage=2Gi"},
		{"a claim that grows", kind.PersistentVolumeClaims, claim(nil, "", "2Gi", "1Gi"), "persistentvolumeclaims=1 requests.storage=2Gi"},
		{"a ConfigMap", kind.ConfigMaps, &corev1.ConfigMap{}, "configmaps=1"},
		{"a Secret", kind.Secrets, &corev1.Secret{}, "secrets=1"},
		{"a ReplicationController", kind.ReplicationControllers, &corev1.ReplicationController{}, "replicationcontrollers=1"},
		{"a ResourceQuota", kind.ResourceQuotas, &corev1.ResourceQuota{}, "resourcequotas=1"},
		{"something else", kind.ServiceAccounts, &corev1.ServiceAccount{}, ""},
	} {
		if got := costs(c.id, c.obj, now); got != c.want {
			t.Errorf("%s costs %q, want %q", c.name, got, c.want)
		}
	}
	if at := Over(pod(nil)); !at.IsZero() {
		t.Errorf("a pod that is not deleted costs nothing from %s", at)
	}
	if at := Over(going(now, new(int64(30)))); !at.Equal(now.Add(30 * time.Second)) {
		t.Errorf("a pod that goes costs nothing from %s", at)
	}
}

func TestKindsAreCountedUnderTheirNames(t *testing.T) {
	const class = "gold.storageclass.storage.k8s.io/"
	names := "pods cpu memory ephemeral-storage requests.cpu requests.memory limits.cpu limits.memory limits.ephemeral-storage hugepages-2Mi requests.hugepages-2Mi requests.example.com/gpu " +
		"services services.nodeports services.loadbalancers persistentvolumeclaims requests.storage " + class + "persistentvolumeclaims " + class + "requests.storage " +
		"configmaps secrets replicationcontrollers resourcequotas count/pods count/deployments.apps count/secrets example.com/gpu limits.example.com/gpu requests.kubernetes.io/x serviceaccounts x"
	for id, want := range map[kind.ID]string{
		kind.Pods:                   "pods cpu memory ephemeral-storage requests.cpu requests.memory limits.cpu limits.memory limits.ephemeral-storage hugepages-2Mi requests.hugepages-2Mi requests.example.com/gpu count/pods",
		kind.Services:               "services services.nodeports services.loadbalancers",
		kind.PersistentVolumeClaims: "persistentvolumeclaims requests.storage " + class + "persistentvolumeclaims " + class + "requests.storage",
		kind.ConfigMaps:             "configmaps",
		kind.Secrets:                "secrets count/secrets",
		kind.ReplicationControllers: "replicationcontrollers",
		kind.ResourceQuotas:         "resourcequotas",
		kind.Deployments:            "count/deployments.apps",
		kind.ServiceAccounts:        "",
	} {
		var got []string
		for name := range strings.FieldsSeq(names) {
			if Tracks(id, corev1.ResourceName(name)) {
				got = append(got, name)
			}
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s\nwant %s", id, text, want)
		}
	}
}
