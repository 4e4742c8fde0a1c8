package admit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/admit"
	"sampan/kind"
	"sampan/kind/registry"
	"sampan/view"
)

// cluster is a snapshot with some objects.
func cluster(objects ...kind.Object) *view.Snapshot {
	var w view.World
	for i, obj := range objects {
		w.Put(registry.New().Of(obj).ID, obj, int64(i+1))
	}
	return w.Snapshot()
}

func namespace(name string, phase corev1.NamespacePhase) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NamespaceStatus{Phase: phase}}
}

// request asks for a verb on an object in its namespace.
func request(verb string, obj, old kind.Object) *admit.Request {
	one := obj
	if one == nil {
		one = old
	}
	return &admit.Request{Kind: registry.New().Of(one), Verb: verb, Namespace: one.GetNamespace(), Name: one.GetName(), Object: obj, Old: old}
}

func pod(change func(pod *corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "p"}}
	if change != nil {
		change(p)
	}
	return p
}

// refused checks an error's code and text; code 0 means that there must be none.
func refused(t *testing.T, err error, code int32, text string) {
	t.Helper()
	if code == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	status, ok := err.(apierrors.APIStatus)
	if !ok || status.Status().Code != code || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, want %d with %q", err, code, text)
	}
}

func TestNamespaceLifecycle(t *testing.T) {
	snap := cluster(namespace("ns", corev1.NamespaceActive), namespace("going", corev1.NamespaceTerminating))
	in := func(ns string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "x"}}
	}
	for _, c := range []struct {
		name string
		req  *admit.Request
		code int32
		text string
	}{
		{"create", request(admit.Create, in("ns"), nil), 0, ""},
		{"create nowhere", request(admit.Create, in("missing"), nil), 404, `namespaces "missing" not found`},
		{"create where all ends", request(admit.Create, in("going"), nil), 403, `configmaps "x" is forbidden: unable to create new content in namespace going because it is being terminated`},
		{"evict where all ends", func() *admit.Request {
			r := request(admit.Create, nil, pod(func(p *corev1.Pod) { p.Namespace = "going" }))
			r.Subresource = "eviction"
			return r
		}(), 403, `pods "p" is forbidden: unable to create new content in namespace going because it is being terminated`},
		{"update where all ends", request(admit.Update, in("going"), in("going")), 0, ""},
		{"delete where all ends", request(admit.Delete, nil, in("going")), 0, ""},
		{"create a namespace", request(admit.Create, namespace("new", ""), nil), 0, ""},
		{"delete a namespace", request(admit.Delete, nil, namespace("ns", "")), 0, ""},
		{"delete an immortal one", request(admit.Delete, nil, namespace("kube-system", "")), 403, `namespaces "kube-system" is forbidden: this namespace may not be deleted`},
		{"create a node", request(admit.Create, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, nil), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, admit.NamespaceLifecycle(c.req, snap), c.code, c.text) })
	}
	if err := admit.NamespaceLifecycle(request(admit.Create, in("going"), nil), snap); !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("controllers cannot tell from %v that the namespace terminates", err)
	}
}

func TestPodGetsAnAccount(t *testing.T) {
	secrets := []corev1.LocalObjectReference{{Name: "pull"}}
	snap := cluster(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "robot"}, ImagePullSecrets: secrets})
	named := func(name string) *corev1.Pod {
		return pod(func(p *corev1.Pod) { p.Spec.ServiceAccountName = name })
	}

	p := named("")
	refused(t, admit.ServiceAccount(request(admit.Create, p, nil), snap), 0, "")
	if p.Spec.ServiceAccountName != "default" || p.Spec.DeprecatedServiceAccount != "default" {
		t.Errorf("the account is %q and %q", p.Spec.ServiceAccountName, p.Spec.DeprecatedServiceAccount)
	}

	p = named("robot")
	refused(t, admit.ServiceAccount(request(admit.Create, p, nil), snap), 0, "")
	if d := cmp.Diff(secrets, p.Spec.ImagePullSecrets); d != "" {
		t.Error(d)
	}

	refused(t, admit.ServiceAccount(request(admit.Create, named("stranger"), nil), snap), 403,
		`pods "p" is forbidden: error looking up service account ns/stranger: serviceaccount "stranger" not found`)

	mirror := pod(func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} })
	refused(t, admit.ServiceAccount(request(admit.Create, mirror, nil), snap), 0, "")
	if mirror.Spec.ServiceAccountName != "" {
		t.Error("a mirror pod got an account")
	}
}

func TestPodGetsAPriority(t *testing.T) {
	for _, c := range []struct {
		name     string
		spec     corev1.PodSpec
		priority int32
		text     string // of the refusal
	}{
		{"none", corev1.PodSpec{}, 0, ""},
		{"system", corev1.PodSpec{PriorityClassName: "system-node-critical"}, 2000001000, ""},
		{"unknown class", corev1.PodSpec{PriorityClassName: "x"}, 0, "no PriorityClass with name x was found"},
		{"own number", corev1.PodSpec{Priority: new(int32(5))}, 0, "the integer value of priority (5) must not be provided in pod spec"},
		{"own policy", corev1.PodSpec{PreemptionPolicy: new(corev1.PreemptNever)}, 0, "the string value of PreemptionPolicy (Never) must not be provided in pod spec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pod(func(p *corev1.Pod) { p.Spec = c.spec })
			err := admit.Priority(request(admit.Create, p, nil), cluster())
			if c.text != "" {
				refused(t, err, 403, c.text)
				return
			}
			refused(t, err, 0, "")
			if *p.Spec.Priority != c.priority || *p.Spec.PreemptionPolicy != corev1.PreemptLowerPriority {
				t.Errorf("priority %d, policy %s", *p.Spec.Priority, *p.Spec.PreemptionPolicy)
			}
		})
	}

	old := pod(func(p *corev1.Pod) { p.Spec.Priority = new(int32(7)) })
	next := pod(nil)
	refused(t, admit.Priority(request(admit.Update, next, old), cluster()), 0, "")
	if *next.Spec.Priority != 7 || next.Spec.Priority == old.Spec.Priority {
		t.Error("an update lost the priority, or shares it")
	}
}

func TestPodToleratesABriefOutage(t *testing.T) {
	step := admit.TolerationSeconds(300, 60)
	p := pod(func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, TolerationSeconds: new(int64(1)), Effect: corev1.TaintEffectNoExecute}}
	})
	for range 2 { // the second time changes nothing
		refused(t, step(request(admit.Create, p, nil), cluster()), 0, "")
	}
	want := []corev1.Toleration{
		{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(1))},
		{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(60))},
	}
	if d := cmp.Diff(want, p.Spec.Tolerations); d != "" {
		t.Error(d)
	}
	everything := pod(func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} })
	refused(t, step(request(admit.Create, everything, nil), cluster()), 0, "")
	if len(everything.Spec.Tolerations) != 1 {
		t.Error("a pod that tolerates everything got more tolerations")
	}
}

func class(name string, created time.Time, isDefault, grows bool) *storagev1.StorageClass {
	c := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(created)}, AllowVolumeExpansion: &grows}
	if isDefault {
		c.Annotations = map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}
	}
	return c
}

func claim(class *string, size string, phase corev1.PersistentVolumeClaimPhase) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c"},
		Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: class, Resources: corev1.VolumeResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}}},
		Status: corev1.PersistentVolumeClaimStatus{Phase: phase},
	}
}

func TestClaimGetsTheNewestDefaultClass(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	snap := cluster(class("a-old", t0, true, false), class("b-new", t0.Add(time.Hour), true, false), class("c-new", t0.Add(time.Hour), true, false), class("d-other", t0.Add(2*time.Hour), false, false))
	for _, c := range []struct {
		name string
		snap *view.Snapshot
		have *string
		want *string
	}{
		{"none named", snap, nil, new("b-new")},
		{"no class wanted", snap, new(""), new("")},
		{"named", snap, new("x"), new("x")},
		{"no default", cluster(), nil, nil},
	} {
		pvc := claim(c.have, "1Gi", "")
		refused(t, admit.DefaultStorageClass(request(admit.Create, pvc, nil), c.snap), 0, "")
		if d := cmp.Diff(c.want, pvc.Spec.StorageClassName); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestClaimGrowsIfItsClassCan(t *testing.T) {
	snap := cluster(class("fixed", time.Time{}, false, false), class("elastic", time.Time{}, false, true))
	for _, c := range []struct {
		name, class, size string
		phase             corev1.PersistentVolumeClaimPhase
		code              int32
		text              string
	}{
		{"same size", "fixed", "1Gi", corev1.ClaimBound, 0, ""},
		{"elastic", "elastic", "2Gi", corev1.ClaimBound, 0, ""},
		{"fixed", "fixed", "2Gi", corev1.ClaimBound, 403, `persistentvolumeclaims "c" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize`},
		{"not bound", "elastic", "2Gi", corev1.ClaimPending, 403, "Only bound persistent volume claims can be expanded"},
	} {
		old := claim(&c.class, "1Gi", c.phase)
		req := request(admit.Update, claim(&c.class, c.size, c.phase), old)
		refused(t, admit.ClaimExpansion(req, snap), c.code, c.text)
		req.Subresource = "status"
		refused(t, admit.ClaimExpansion(req, snap), 0, "")
	}
	old := func(name *string, annotation string) *corev1.PersistentVolumeClaim {
		c := claim(name, "1Gi", corev1.ClaimBound)
		if annotation != "" {
			c.Annotations = map[string]string{corev1.BetaStorageClassAnnotation: annotation}
		}
		return c
	}
	unsaid := class("unsaid", time.Time{}, false, false)
	unsaid.AllowVolumeExpansion = nil
	snap = cluster(class("fixed", time.Time{}, false, false), class("elastic", time.Time{}, false, true), unsaid)
	for name, c := range map[string]struct {
		old  *corev1.PersistentVolumeClaim
		code int32
	}{
		"class named in the old way":            {old(nil, "elastic"), 0},
		"the old way comes first":               {old(new("fixed"), "elastic"), 0},
		"the old way comes first, and is fixed": {old(new("elastic"), "fixed"), 403},
		"no class":                              {old(nil, ""), 403},
		"a class that is gone":                  {old(new("gone"), ""), 403},
		"a class that does not say":             {old(new("unsaid"), ""), 403},
	} {
		t.Log(name)
		refused(t, admit.ClaimExpansion(request(admit.Update, claim(c.old.Spec.StorageClassName, "2Gi", corev1.ClaimBound), c.old), snap), c.code, "only dynamically provisioned pvc can be resized")
	}
}

func TestSubresourcesPassUntouched(t *testing.T) {
	snap := cluster(namespace("ns", corev1.NamespaceActive))
	p := pod(nil)
	req := request(admit.Update, p, pod(nil))
	req.Subresource = "status"
	refused(t, admit.Default(admit.Config{}).Admit(req, snap, nil), 0, "")
	if d := cmp.Diff(pod(nil), p); d != "" {
		t.Error(d)
	}
}

// What is filled in is filled in at creation: an object that is there, and a subresource, stay as they are.
func TestOnlyNewObjectsAreFilledIn(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	snap := cluster(class("c", t0, true, true),
		&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "i", Annotations: map[string]string{"ingressclass.kubernetes.io/is-default-class": "true"}}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelTopologyZone: "z", corev1.LabelTopologyRegion: "r"}}},
		limitRange(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Default: list("cpu=1")}))
	onNode := func(labels map[string]string) *corev1.Pod {
		return pod(func(p *corev1.Pod) {
			p.Labels, p.Spec.NodeName, p.Spec.Containers = labels, "n", []corev1.Container{{Name: "c"}}
		})
	}
	for name, c := range map[string]struct {
		step admit.Step
		obj  func() kind.Object
	}{
		"storage class": {admit.DefaultStorageClass, func() kind.Object { return claim(nil, "1Gi", "") }},
		"ingress class": {admit.DefaultIngressClass, func() kind.Object {
			return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "i"}}
		}},
		"taint":   {admit.NodeTaint, func() kind.Object { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}} }},
		"zone":    {admit.PodTopologyLabels, func() kind.Object { return onNode(nil) }},
		"account": {admit.ServiceAccount, func() kind.Object { return onNode(nil) }},
		"limits":  {admit.LimitRangeDefaults, func() kind.Object { return onNode(nil) }},
	} {
		for _, at := range []struct {
			verb, sub string
			filled    bool
		}{{admit.Create, "", true}, {admit.Update, "", false}, {admit.Create, "status", false}} {
			obj := c.obj()
			req := request(at.verb, obj, nil)
			if at.verb == admit.Update {
				req.Old = c.obj()
			}
			req.Subresource = at.sub
			refused(t, c.step(req, snap), 0, "")
			if changed := cmp.Diff(c.obj(), obj) != ""; changed != at.filled {
				t.Errorf("%s, %s %q: filled in %v", name, at.verb, at.sub, changed)
			}
		}
	}
	labelled := onNode(map[string]string{"a": "b"})
	refused(t, admit.PodTopologyLabels(request(admit.Create, labelled, nil), snap), 0, "")
	if d := cmp.Diff(map[string]string{"a": "b", corev1.LabelTopologyZone: "z", corev1.LabelTopologyRegion: "r"}, labelled.Labels); d != "" {
		t.Error(d)
	}
	tainted := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "other", Effect: corev1.TaintEffectNoSchedule}}}}
	refused(t, admit.NodeTaint(request(admit.Create, tainted, nil), snap), 0, "")
	if len(tainted.Spec.Taints) != 2 {
		t.Errorf("a node with another taint gets %v", tainted.Spec.Taints)
	}
	old := claim(nil, "1Gi", "")
	old.Annotations = map[string]string{corev1.BetaStorageClassAnnotation: "x"}
	refused(t, admit.DefaultStorageClass(request(admit.Create, old, nil), snap), 0, "")
	if old.Spec.StorageClassName != nil {
		t.Errorf("a claim that names its class in the old way gets %s", *old.Spec.StorageClassName)
	}
}

func TestFirstRefusalEndsTheChain(t *testing.T) {
	p := pod(func(p *corev1.Pod) { p.Namespace = "missing" })
	var ruled []string
	err := admit.Default(admit.Config{}).Admit(request(admit.Create, p, nil), cluster(), func(rule *admit.Rule, err error) {
		ruled = append(ruled, fmt.Sprint(rule.Name, " ", rule.Type, " ", err != nil))
	})
	refused(t, err, 404, `namespaces "missing" not found`)
	if d := cmp.Diff([]string{"NamespaceLifecycle admit true"}, ruled); d != "" {
		t.Errorf("what was run: %s", d)
	}
	if p.Spec.ServiceAccountName != "" {
		t.Error("a later step ran")
	}
}
