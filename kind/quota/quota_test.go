package quota

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
)

func TestScopes(t *testing.T) {
	pod := func(change func(*corev1.PodSpec)) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
		if change != nil {
			change(&p.Spec)
		}
		return p
	}
	class := func(name string) *corev1.Pod { return pod(func(s *corev1.PodSpec) { s.PriorityClassName = name }) }
	claim := func(class string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeAttributesClassName: &class}}
	}
	scope := func(names ...corev1.ResourceQuotaScope) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{Scopes: names}
	}
	selector := func(name corev1.ResourceQuotaScope, op corev1.ScopeSelectorOperator, values ...string) corev1.ResourceQuotaSpec {
		return corev1.ResourceQuotaSpec{ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{{ScopeName: name, Operator: op, Values: values}}}}
	}
	deadline := pod(func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = new(int64(5)) })
	abroad := pod(func(s *corev1.PodSpec) {
		s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
			PodAffinityTerm: corev1.PodAffinityTerm{NamespaceSelector: &metav1.LabelSelector{}}}}}}
	})
	asking := pod(func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	})
	near := func(term corev1.PodAffinityTerm, preferred bool) *corev1.Pod {
		return pod(func(s *corev1.PodSpec) {
			if s.Affinity = (&corev1.Affinity{PodAffinity: &corev1.PodAffinity{}}); preferred {
				s.Affinity.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{PodAffinityTerm: term}}
			} else {
				s.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = []corev1.PodAffinityTerm{term}
			}
		})
	}
	far := func(term corev1.PodAffinityTerm) *corev1.Pod {
		return pod(func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}}}
		})
	}
	changing := claim("fast")
	changing.Status.CurrentVolumeAttributesClassName = new("slow")
	changing.Status.ModifyVolumeStatus = &corev1.ModifyVolumeStatus{TargetVolumeAttributesClassName: "gold"}
	for _, c := range []struct {
		name string
		spec corev1.ResourceQuotaSpec
		obj  kind.Object
		want bool
	}{
		{"no scope", scope(), pod(nil), true},
		{"no scope, other kinds", scope(), &corev1.ConfigMap{}, true},
		{"scopes are for pods", scope(corev1.ResourceQuotaScopeNotTerminating), &corev1.ConfigMap{}, false},
		{"with a deadline", scope(corev1.ResourceQuotaScopeTerminating), deadline, true},
		{"without a deadline", scope(corev1.ResourceQuotaScopeTerminating), pod(nil), false},
		{"not terminating", scope(corev1.ResourceQuotaScopeNotTerminating), deadline, false},
		{"without a deadline, not terminating", scope(corev1.ResourceQuotaScopeNotTerminating), pod(nil), true},
		{"a deadline at once", scope(corev1.ResourceQuotaScopeTerminating), pod(func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = new(int64(0)) }), true},
		{"claims by a scope of pods", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpIn, "fast"), claim("fast"), false},
		{"claims of another class", selector(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpIn, "slow"), claim("fast"), false},
		{"asks for nothing", scope(corev1.ResourceQuotaScopeBestEffort), pod(nil), true},
		{"asks for something", scope(corev1.ResourceQuotaScopeBestEffort), asking, false},
		{"asks for nothing, and should", scope(corev1.ResourceQuotaScopeNotBestEffort), pod(nil), false},
		{"asks for something, and should", scope(corev1.ResourceQuotaScopeNotBestEffort), asking, true},
		{"any class, and none", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpExists), class(""), false},
		{"no class, and none", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpDoesNotExist), class(""), true},
		{"another class than its own", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpNotIn, "high"), class("high"), false},
		{"must be near a pod elsewhere", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), near(corev1.PodAffinityTerm{Namespaces: []string{"x"}}, false), true},
		{"must be near a pod here", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), near(corev1.PodAffinityTerm{TopologyKey: "x"}, false), false},
		{"would be near a pod elsewhere", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), near(corev1.PodAffinityTerm{Namespaces: []string{"x"}}, true), true},
		{"would be near a pod here", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), near(corev1.PodAffinityTerm{TopologyKey: "x"}, true), false},
		{"must be far from a pod elsewhere", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), far(corev1.PodAffinityTerm{Namespaces: []string{"x"}}), true},
		{"must be far from a pod here", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), far(corev1.PodAffinityTerm{TopologyKey: "x"}), false},
		{"all scopes must match", scope(corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotBestEffort), deadline, false},
		{"class named", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpIn, "high", "low"), class("high"), true},
		{"class not named", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpIn, "high"), class("usual"), false},
		{"any class", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpExists), class("usual"), true},
		{"no class", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpDoesNotExist), class("usual"), false},
		{"another class", selector(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpNotIn, "high"), class(""), true},
		{"looks into other namespaces", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), abroad, true},
		{"stays in its own", scope(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), pod(nil), false},
		{"claims by class", selector(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpIn, "fast"), claim("fast"), true},
		{"claims by the class that their volume has", selector(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpIn, "slow"), changing, true},
		{"claims by the class on its way", selector(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpIn, "gold"), changing, true},
		{"claims by another class of theirs", selector(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpNotIn, "fast", "slow"), changing, true},
		{"claims without a class", selector(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpNotIn, "fast"), claim(""), true},
		{"pods have no such class", selector(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpExists), pod(nil), false},
	} {
		if got := Selects(&corev1.ResourceQuota{Spec: c.spec}, c.obj); got != c.want {
			t.Errorf("%s: selected %v", c.name, got)
		}
	}
}

func TestPodCostsWhatItAsksFor(t *testing.T) {
	q := resource.MustParse
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		Overhead: corev1.ResourceList{corev1.ResourceCPU: q("10m")},
		InitContainers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceMemory: q("1Gi")}}}},
		Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: q("100m"), corev1.ResourceMemory: q("1Mi"), "example.com/gpu": q("2"), "hugepages-2Mi": q("4Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceCPU: q("1"), "example.com/gpu": q("2"), "hugepages-2Mi": q("4Mi")},
		}}},
	}}
	usage := Usage(kind.Pods, pod, time.Time{})
	for name, want := range map[corev1.ResourceName]string{
		"pods": "1", "count/pods": "1", "cpu": "110m", "requests.cpu": "110m", "limits.cpu": "1010m", "memory": "1Gi", "requests.memory": "1Gi",
		"requests.example.com/gpu": "2", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi",
	} {
		if got := usage[name]; got.Cmp(q(want)) != 0 {
			t.Errorf("%s is %s, want %s", name, got.String(), want)
		}
		delete(usage, name)
	}
	if len(usage) > 0 {
		t.Errorf("it costs %v as well", usage)
	}
	for name := range Usage(kind.Pods, pod, time.Time{}) {
		if !Tracks(kind.Pods, name) {
			t.Errorf("no quota tracks %s", name)
		}
	}
}

func TestContainersMustSayWhatAQuotaCounts(t *testing.T) {
	cpu := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "i"}},
		Containers:     []corev1.Container{{Name: "b"}, {Name: "a", Resources: corev1.ResourceRequirements{Requests: cpu}}},
	}}
	required := []corev1.ResourceName{"pods", "requests.cpu", "requests.example.com/gpu"}
	if got := Unspecified(pod, required); len(got) != 1 || len(got["requests.cpu"]) != 2 || got["requests.cpu"][0] != "b" {
		t.Errorf("unspecified are %v", got)
	}
	pod.Spec.Resources = &corev1.ResourceRequirements{Requests: cpu}
	if got := Unspecified(pod, required); len(got) > 0 {
		t.Errorf("unspecified are %v though the pod as a whole says it", got)
	}
}
