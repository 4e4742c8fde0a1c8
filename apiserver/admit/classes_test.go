package admit_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/admit"
)

func TestPriorityClasses(t *testing.T) {
	class := func(name string, value int32, isDefault bool) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, GlobalDefault: isDefault, PreemptionPolicy: new(corev1.PreemptNever)}
	}
	snap := cluster(class("high", 1000, false), class("usual", 10, true))
	for _, c := range []struct {
		asked, class string
		priority     int32
	}{{"", "usual", 10}, {"high", "high", 1000}} {
		p := pod(func(p *corev1.Pod) { p.Spec.PriorityClassName = c.asked })
		refused(t, admit.Priority(request(admit.Create, p, nil), snap), 0, "")
		if p.Spec.PriorityClassName != c.class || *p.Spec.Priority != c.priority || *p.Spec.PreemptionPolicy != corev1.PreemptNever {
			t.Errorf("%q became %s, %d, %s", c.asked, p.Spec.PriorityClassName, *p.Spec.Priority, *p.Spec.PreemptionPolicy)
		}
	}
	two := cluster(class("b", 20, true), class("low", 5, true), class("z", 30, true), class("none", 1, false))
	p := pod(nil)
	refused(t, admit.Priority(request(admit.Create, p, nil), two), 0, "")
	if p.Spec.PriorityClassName != "low" {
		t.Errorf("of several defaults the pod gets %s, not the lowest", p.Spec.PriorityClassName)
	}
	p = pod(nil)
	refused(t, admit.Priority(request(admit.Create, p, nil), cluster(class("none", 1, false))), 0, "")
	if p.Spec.PriorityClassName != "" || *p.Spec.Priority != 0 {
		t.Errorf("without a default the pod gets %s, %d", p.Spec.PriorityClassName, *p.Spec.Priority)
	}
	kept := pod(nil)
	refused(t, admit.Priority(request(admit.Update, kept, pod(func(p *corev1.Pod) {
		p.Spec.Priority, p.Spec.PreemptionPolicy = new(int32(7)), new(corev1.PreemptNever)
	})), snap), 0, "")
	if kept.Spec.Priority == nil || *kept.Spec.Priority != 7 || kept.Spec.PreemptionPolicy == nil || *kept.Spec.PreemptionPolicy != corev1.PreemptNever {
		t.Errorf("an update that leaves the priority out loses it: %+v", kept.Spec)
	}
	changed := pod(func(p *corev1.Pod) {
		p.Spec.Priority, p.Spec.PreemptionPolicy = new(int32(1)), new(corev1.PreemptLowerPriority)
	})
	refused(t, admit.Priority(request(admit.Update, changed, pod(func(p *corev1.Pod) {
		p.Spec.Priority, p.Spec.PreemptionPolicy = new(int32(7)), new(corev1.PreemptNever)
	})), snap), 0, "")
	if *changed.Spec.Priority != 1 || *changed.Spec.PreemptionPolicy != corev1.PreemptLowerPriority {
		t.Errorf("what an update says of the priority is not left to validation: %+v", changed.Spec)
	}
	refused(t, admit.Priority(request(admit.Update, pod(nil), pod(nil)), snap), 0, "")
	same := pod(func(p *corev1.Pod) {
		p.Spec.PriorityClassName, p.Spec.Priority, p.Spec.PreemptionPolicy = "high", new(int32(1000)), new(corev1.PreemptNever)
	})
	refused(t, admit.Priority(request(admit.Create, same, nil), snap), 0, "")
	for _, name := range []string{"system-cluster-critical", "system-node-critical"} {
		refused(t, admit.Priority(request(admit.Delete, nil, class(name, 2000000000, false)), snap), 403, "this is a system priority class and cannot be deleted")
	}
	refused(t, admit.Priority(request(admit.Create, class("other", 1, true), nil), snap), 403,
		"PriorityClass usual is already marked as default. Only one default can exist")
	refused(t, admit.Priority(request(admit.Update, class("usual", 10, true), class("usual", 10, true)), snap), 0, "")
	refused(t, admit.Priority(request(admit.Delete, nil, class("usual", 10, true)), snap), 0, "")
	refused(t, admit.Priority(request(admit.Delete, nil, class("system-node-critical", 2000001000, false)), snap), 403,
		`priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: this is a system priority class and cannot be deleted`)
}

func TestRuntimeClass(t *testing.T) {
	snap := cluster(&nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: "vm"}, Handler: "vm",
		Overhead: &nodev1.Overhead{PodFixed: list("memory=64Mi")},
		Scheduling: &nodev1.Scheduling{
			NodeSelector: map[string]string{"vm": "yes"}, Tolerations: []corev1.Toleration{{Key: "vm", Operator: corev1.TolerationOpExists}},
		},
	})
	named := func(name string, change func(*corev1.Pod)) *corev1.Pod {
		return pod(func(p *corev1.Pod) {
			if name != "" {
				p.Spec.RuntimeClassName = &name
			}
			if change != nil {
				change(p)
			}
		})
	}
	p := named("vm", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"a": "b"} })
	refused(t, admit.RuntimeClass(request(admit.Create, p, nil), snap), 0, "")
	if d := cmp.Diff(list("memory=64Mi"), p.Spec.Overhead); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"a": "b", "vm": "yes"}, p.Spec.NodeSelector); d != "" || len(p.Spec.Tolerations) != 1 {
		t.Error(d, p.Spec.Tolerations)
	}
	same := named("vm", func(p *corev1.Pod) {
		p.Spec.Overhead, p.Spec.NodeSelector = list("memory=64Mi"), map[string]string{"vm": "yes"}
		p.Spec.Tolerations = []corev1.Toleration{{Key: "other"}, {Key: "vm", Operator: corev1.TolerationOpExists}}
	})
	refused(t, admit.RuntimeClass(request(admit.Create, same, nil), snap), 0, "")
	if len(same.Spec.Tolerations) != 2 || len(same.Spec.NodeSelector) != 1 {
		t.Errorf("a pod that says the same already gets %+v", same.Spec)
	}
	bare := named("vm", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "other"}} })
	refused(t, admit.RuntimeClass(request(admit.Create, bare, nil), snap), 0, "")
	if len(bare.Spec.Tolerations) != 2 || bare.Spec.NodeSelector["vm"] != "yes" {
		t.Errorf("a pod without a node selector gets %+v", bare.Spec)
	}
	later := named("vm", nil)
	refused(t, admit.RuntimeClass(request(admit.Update, later, named("vm", nil)), snap), 0, "")
	if later.Spec.Overhead != nil {
		t.Errorf("a pod that is there already gets %v", later.Spec.Overhead)
	}
	plain := cluster(&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "plain"}, Handler: "p"})
	p = named("plain", nil)
	refused(t, admit.RuntimeClass(request(admit.Create, p, nil), plain), 0, "")
	if p.Spec.Overhead != nil || p.Spec.NodeSelector != nil {
		t.Errorf("a class that asks for nothing gives %+v", p.Spec)
	}
	refused(t, admit.RuntimeClass(request(admit.Create, named("plain", func(p *corev1.Pod) { p.Spec.Overhead = list("cpu=1") }), nil), plain), 403,
		"pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	for text, p := range map[string]*corev1.Pod{
		`pod rejected: RuntimeClass "none" not found`:                                              named("none", nil),
		"pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead":       named("", func(p *corev1.Pod) { p.Spec.Overhead = list("cpu=1") }),
		"pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead":               named("vm", func(p *corev1.Pod) { p.Spec.Overhead = list("cpu=1") }),
		"conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no": named("vm", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"vm": "no"} }),
	} {
		refused(t, admit.RuntimeClass(request(admit.Create, p, nil), snap), 403, text)
	}
}

func TestIngressGetsTheNewestDefaultClass(t *testing.T) {
	class := func(name string, age time.Duration, isDefault string) *networkingv1.IngressClass {
		return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age)),
			Annotations: map[string]string{"ingressclass.kubernetes.io/is-default-class": isDefault}}}
	}
	snap := cluster(class("old", time.Hour, "true"), class("new", 0, "true"), class("other", -time.Hour, "false"))
	ingress := func(class *string, annotations map[string]string) *networkingv1.Ingress {
		return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "i", Annotations: annotations}, Spec: networkingv1.IngressSpec{IngressClassName: class}}
	}
	for _, c := range []struct {
		have *networkingv1.Ingress
		want *string
	}{
		{ingress(nil, nil), new("new")},
		{ingress(new("x"), nil), new("x")},
		{ingress(nil, map[string]string{"kubernetes.io/ingress.class": "y"}), nil},
	} {
		refused(t, admit.DefaultIngressClass(request(admit.Create, c.have, nil), snap), 0, "")
		if d := cmp.Diff(c.want, c.have.Spec.IngressClassName); d != "" {
			t.Error(d)
		}
	}
}
