package admit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/admit"
)

func limitRange(items ...corev1.LimitRangeItem) *corev1.LimitRange {
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: items}}
}

func TestLimitRangeFillsInWhatAContainerLeavesOut(t *testing.T) {
	snap := cluster(limitRange(corev1.LimitRangeItem{
		Type: corev1.LimitTypeContainer, Default: list("cpu=1", "memory=1Gi"), DefaultRequest: list("cpu=100m"),
	}, corev1.LimitRangeItem{Type: corev1.LimitTypePod, Default: list("ephemeral-storage=1Gi"), DefaultRequest: list("ephemeral-storage=1Gi")}))
	p := pod(func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Name: "a"}, {Name: "b", Resources: corev1.ResourceRequirements{
			Requests: list("cpu=2"), Limits: list("cpu=3", "memory=2Gi")}}}
		p.Spec.InitContainers = []corev1.Container{{Name: "i", Resources: corev1.ResourceRequirements{Limits: list("memory=1Mi")}}}
	})
	refused(t, admit.LimitRangeDefaults(request(admit.Create, p, nil), snap), 0, "")
	want := []corev1.ResourceRequirements{
		{Requests: list("cpu=100m"), Limits: list("cpu=1", "memory=1Gi")},
		{Requests: list("cpu=2"), Limits: list("cpu=3", "memory=2Gi")},
		{Requests: list("cpu=100m"), Limits: list("cpu=1", "memory=1Mi")},
	}
	got := []corev1.ResourceRequirements{p.Spec.Containers[0].Resources, p.Spec.Containers[1].Resources, p.Spec.InitContainers[0].Resources}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if note, want := p.Annotations["kubernetes.io/limit-ranger"],
		"LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; cpu request for init container i; cpu limit for init container i"; note != want {
		t.Errorf("the note is %q, want %q", note, want)
	}
}

func TestLimitRangeSaysNothingOfAPodThatItLeavesAlone(t *testing.T) {
	snap := cluster(limitRange(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Default: list("cpu=1"), DefaultRequest: list("cpu=100m")}))
	complete := wants(list("cpu=1"), list("cpu=2"))
	refused(t, admit.LimitRangeDefaults(request(admit.Create, complete, nil), snap), 0, "")
	if len(complete.Annotations) != 0 {
		t.Errorf("a pod that is complete gets the note %v", complete.Annotations)
	}
	noted := wants(nil, nil)
	noted.Annotations = map[string]string{"a": "b"}
	refused(t, admit.LimitRangeDefaults(request(admit.Create, noted, nil), snap), 0, "")
	if len(noted.Annotations) != 2 || noted.Annotations["a"] != "b" {
		t.Errorf("annotations %v", noted.Annotations)
	}
	later := wants(nil, nil)
	refused(t, admit.LimitRangeDefaults(request(admit.Update, later, wants(nil, nil)), snap), 0, "")
	if len(later.Spec.Containers[0].Resources.Limits) != 0 {
		t.Errorf("a pod that is there already gets %v", later.Spec.Containers[0].Resources)
	}
}

func TestLimitRangeRefuses(t *testing.T) {
	container := func(change func(*corev1.LimitRangeItem)) *corev1.LimitRange {
		item := corev1.LimitRangeItem{Type: corev1.LimitTypeContainer}
		change(&item)
		return limitRange(item)
	}
	two := func(requests, limits corev1.ResourceList) *corev1.Pod {
		p := wants(requests, limits)
		p.Spec.Containers = append(p.Spec.Containers, *p.Spec.Containers[0].DeepCopy())
		return p
	}
	atLeast := container(func(i *corev1.LimitRangeItem) { i.Min = list("cpu=100m") })
	atMost := container(func(i *corev1.LimitRangeItem) { i.Max = list("memory=1Gi") })
	ratio := container(func(i *corev1.LimitRangeItem) { i.MaxLimitRequestRatio = list("cpu=2") })
	whole := limitRange(corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: list("cpu=1")})
	volumes := limitRange(corev1.LimitRangeItem{Type: corev1.LimitTypePersistentVolumeClaim, Min: list("storage=1Gi"), Max: list("storage=10Gi")})
	sub := func(name string, req *admit.Request) *admit.Request { req.Subresource = name; return req }
	going := claim(nil, "20Gi", "")
	going.DeletionTimestamp = &metav1.Time{}
	nothing := claim(nil, "1Gi", "")
	nothing.Spec.Resources.Requests = nil
	for _, c := range []struct {
		name  string
		limit *corev1.LimitRange
		req   *admit.Request
		text  string
	}{
		{"enough", atLeast, request(admit.Create, wants(list("cpu=100m"), nil), nil), ""},
		{"too little", atLeast, request(admit.Create, wants(list("cpu=50m"), nil), nil), `pods "p" is forbidden: minimum cpu usage per Container is 100m, but request is 50m`},
		{"nothing said", atLeast, request(admit.Create, wants(nil, nil), nil), "minimum cpu usage per Container is 100m.  No request is specified"},
		{"limit too low", atLeast, request(admit.Create, wants(list("cpu=1"), list("cpu=50m")), nil), "minimum cpu usage per Container is 100m, but limit is 50m"},
		{"not limited", atMost, request(admit.Create, wants(nil, nil), nil), "maximum memory usage per Container is 1Gi.  No limit is specified"},
		{"limit too high", atMost, request(admit.Create, wants(nil, list("memory=2Gi")), nil), "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
		{"request too high", atMost, request(admit.Create, wants(list("memory=2Gi"), list("memory=1Gi")), nil), "maximum memory usage per Container is 1Gi, but request is 2Gi"},
		{"ratio", ratio, request(admit.Create, wants(list("cpu=100m"), list("cpu=200m")), nil), ""},
		{"ratio too high", ratio, request(admit.Create, wants(list("cpu=100m"), list("cpu=250m")), nil), "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000"},
		{"ratio of nothing", ratio, request(admit.Create, wants(nil, list("cpu=250m")), nil), "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"},
		{"ratio without a limit", ratio, request(admit.Create, wants(list("cpu=100m"), nil), nil), "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"},
		{"as much as there may be", atMost, request(admit.Create, wants(list("memory=1Gi"), list("memory=1Gi")), nil), ""},
		{"limited, nothing asked", atMost, request(admit.Create, wants(nil, list("memory=1Gi")), nil), ""},
		{"as little as there may be", atLeast, request(admit.Create, wants(list("cpu=100m"), list("cpu=100m")), nil), ""},
		{"bounds of claims are not those of pods", volumes, request(admit.Create, wants(nil, nil), nil), ""},
		{"bounds of pods are not those of claims", whole, request(admit.Create, claim(nil, "2Gi", ""), nil), ""},
		{"bounds of containers are not those of claims", atLeast, request(admit.Create, claim(nil, "2Gi", ""), nil), ""},
		{"a resize", atMost, sub("resize", request(admit.Update, wants(nil, list("memory=2Gi")), wants(nil, nil))), "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
		{"a status", atMost, sub("status", request(admit.Update, wants(nil, list("memory=2Gi")), wants(nil, nil))), ""},
		{"a binding", atMost, sub("binding", request(admit.Create, wants(nil, list("memory=2Gi")), nil)), ""},
		{"a claim's status", volumes, sub("status", request(admit.Update, claim(nil, "20Gi", ""), claim(nil, "2Gi", ""))), ""},
		{"a claim that goes", volumes, request(admit.Update, going, claim(nil, "2Gi", "")), ""},
		{"a new claim that goes", volumes, request(admit.Create, going, nil), "maximum storage usage"},
		{"as large as a claim may be", volumes, request(admit.Create, claim(nil, "10Gi", ""), nil), ""},
		{"a claim of nothing", volumes, request(admit.Create, nothing, nil), "[minimum storage usage per PersistentVolumeClaim is 1Gi.  No request is specified, maximum storage usage per PersistentVolumeClaim is 10Gi.  No request is specified]"},
		{"sum too high", whole, request(admit.Create, two(nil, list("cpu=600m")), nil), "maximum cpu usage per Pod is 1, but limit is 1200m"},
		{"pods do not change", whole, request(admit.Update, two(nil, list("cpu=600m")), two(nil, nil)), ""},
		{"claim", volumes, request(admit.Create, claim(nil, "2Gi", ""), nil), ""},
		{"claim too small", volumes, request(admit.Create, claim(nil, "1Mi", ""), nil), "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"},
		{"claim too large", volumes, request(admit.Update, claim(nil, "20Gi", ""), claim(nil, "2Gi", "")), "maximum storage usage per PersistentVolumeClaim is 10Gi, but request is 20Gi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := int32(403)
			if c.text == "" {
				code = 0
			}
			refused(t, admit.LimitRange(c.req, cluster(c.limit)), code, c.text)
		})
	}
}
