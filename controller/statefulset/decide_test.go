package statefulset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/controller/pods"
	"sampan/controller/revision"
	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

var key = view.Key{Kind: kind.StatefulSets, Namespace: "default", Name: "db"}

func at(seconds int) time.Time { return time.Unix(1_800_000_000+int64(seconds), 0) }

func set(n int32, image string, change ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	limit := int32(10)
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db", UID: "set-uid", Generation: 1},
		Spec: appsv1.StatefulSetSpec{
			Replicas:             &n,
			ServiceName:          "db",
			Selector:             &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
			Template:             template(image),
			PodManagementPolicy:  appsv1.OrderedReadyPodManagement,
			UpdateStrategy:       appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
			RevisionHistoryLimit: &limit,
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "db"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

func parallel(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement }

func onDelete(s *appsv1.StatefulSet) {
	s.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
}

func partition(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) {
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &n}
	}
}

func unavailable(n int) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) {
		v := intstr.FromInt32(int32(n))
		s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: &v}
	}
}

func claimed(s *appsv1.StatefulSet) {
	s.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
}

func from(image string) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Status.CurrentRevision = revisionName(image) }
}

func rev(image string, number int64) *appsv1.ControllerRevision {
	s := set(1, image)
	return revision.New(revision.Owner{Object: s, GVK: gvk(), Template: &s.Spec.Template}, number)
}

func revisionName(image string) string { return rev(image, 1).Name }

type podOption func(*corev1.Pod)

func pod(ordinal int, image string, options ...podOption) *corev1.Pod {
	s := set(1, image)
	p := newPod(s, &s.Spec.Template, revisionName(image), ordinal)
	p.Spec.NodeName = "n1"
	ready(p)
	for _, o := range options {
		o(p)
	}
	return p
}

func ready(p *corev1.Pod) {
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at(-5))}}
}

func starting(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} }

func failedPod(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodFailed} }

func terminating(p *corev1.Pod) {
	t := metav1.NewTime(at(0))
	p.DeletionTimestamp = &t
}

func decide(objects ...kind.Object) (plan.Plan, string) {
	p, _ := New().Decide(plantest.New(at(0), objects...).Snapshot(), key, at(0), nil)
	text := plantest.Text(p, at(0))
	for _, image := range []string{"v1", "v2", "v3"} {
		text = strings.ReplaceAll(text, revisionName(image), image)
	}
	return p, text
}

// writes returns the lines of a plan that change pods and claims, without their kind.
func writes(text string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		verb, what, _ := strings.Cut(line, " ")
		what, isPod := strings.CutPrefix(what, "pods/default/")
		what, isClaim := strings.CutPrefix(what, "persistentvolumeclaims/default/")
		if isPod || isClaim {
			out = append(out, verb+" "+what)
		}
	}
	return strings.Join(out, ", ")
}

func TestDecide(t *testing.T) {
	v1, v2 := rev("v1", 1), rev("v2", 2)
	for _, tt := range []struct {
		name    string
		objects []kind.Object
		want    string
	}{
		{"the first pod comes alone", []kind.Object{set(3, "v1")}, "create db-0"},
		{"the next comes when the one below is ready", []kind.Object{set(3, "v1"), v1, pod(0, "v1")}, "create db-1"},
		{"the next waits for the one below", []kind.Object{set(3, "v1"), v1, pod(0, "v1", starting)}, ""},
		{"a hole is filled first", []kind.Object{set(3, "v1"), v1, pod(0, "v1"), pod(2, "v1")}, "create db-1"},
		{"Parallel makes all at once", []kind.Object{set(3, "v1", parallel), pod(1, "v1", starting)}, "create db-0, create db-2"},
		{"ordinals may start elsewhere", []kind.Object{set(1, "v1", func(s *appsv1.StatefulSet) {
			s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: 5}
		})}, "create db-5"},
		{"claims come before their pod", []kind.Object{set(1, "v1", claimed)}, "create data-db-0, create db-0"},
		{"a claim that exists is used", []kind.Object{set(1, "v1", claimed), claim(0)}, "create db-0"},
		{"a claim that is being deleted is waited for", []kind.Object{set(1, "v1", claimed), claim(0, func(c *corev1.PersistentVolumeClaim) {
			now := metav1.NewTime(at(0))
			c.DeletionTimestamp = &now
		})}, ""},
		{"a failed pod is replaced under its name", []kind.Object{set(1, "v1"), v1, pod(0, "v1", failedPod)}, "delete db-0"},
		{"a terminating pod is waited for", []kind.Object{set(2, "v1"), v1, pod(0, "v1", terminating)}, ""},
		{"scaling down begins at the top", []kind.Object{set(1, "v1"), v1, pod(0, "v1"), pod(1, "v1"), pod(2, "v1")}, "delete db-2"},
		{"scaling down goes one by one", []kind.Object{set(1, "v1"), v1, pod(0, "v1"), pod(1, "v1"), pod(2, "v1", terminating)}, ""},
		{"broken pods do not hold scaling down up", []kind.Object{set(1, "v1"), v1, pod(0, "v1"), pod(1, "v1", starting), pod(2, "v1", starting)}, "delete db-2"},
		{"Parallel scales down at once", []kind.Object{set(1, "v1", parallel), v1, pod(0, "v1"), pod(1, "v1"), pod(2, "v1")}, "delete db-2, delete db-1"},
		{"an update begins at the top", []kind.Object{set(3, "v2", from("v1")), v1, v2, pod(0, "v1"), pod(1, "v1"), pod(2, "v1")}, "delete db-2"},
		{"the next is updated when the one above is ready", []kind.Object{set(3, "v2", from("v1")), v1, v2, pod(0, "v1"), pod(1, "v1"), pod(2, "v2")}, "delete db-1"},
		{"the next is not updated before", []kind.Object{set(3, "v2", from("v1")), v1, v2, pod(0, "v1"), pod(1, "v1"), pod(2, "v2", starting)}, ""},
		{"maxUnavailable updates several", []kind.Object{set(3, "v2", from("v1"), unavailable(2)), v1, v2, pod(0, "v1"), pod(1, "v1"), pod(2, "v1")}, "delete db-2, delete db-1"},
		{"maxUnavailable counts the pods that are down", []kind.Object{set(4, "v2", from("v1"), unavailable(2), parallel), v1, v2,
			pod(0, "v1"), pod(1, "v1"), pod(2, "v1"), pod(3, "v2", starting)}, "delete db-2"},
		{"the partition keeps lower pods", []kind.Object{set(3, "v2", from("v1"), partition(2)), v1, v2, pod(0, "v1"), pod(1, "v1"), pod(2, "v2")}, ""},
		{"OnDelete leaves updates to the user", []kind.Object{set(1, "v2", from("v1"), onDelete), v1, v2, pod(0, "v1")}, ""},
		{"a broken revision does not block the correction", []kind.Object{set(3, "v3", from("v1")), v1, v2, rev("v3", 3), pod(0, "v1"), pod(1, "v1"), pod(2, "v2", starting)}, "delete db-2"},
		{"a broken first revision does not block the correction", []kind.Object{set(2, "v2", from("v1")), v1, v2, pod(0, "v1", starting)}, "delete db-0"},
		{"a foreign pod's name is waited for", []kind.Object{set(1, "v1"), v1, pod(0, "v1", func(p *corev1.Pod) {
			p.OwnerReferences, p.Labels = nil, nil
		})}, ""},
		{"an orphan with name and labels is adopted", []kind.Object{set(1, "v1"), v1, pod(0, "v1", func(p *corev1.Pod) { p.OwnerReferences = nil })}, "update db-0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, text := decide(tt.objects...)
			if got := writes(text); got != tt.want {
				t.Errorf("got %q, want %q\n%s", got, tt.want, text)
			}
			plantest.CheckWith(t, New(), key, at(0), agent, tt.objects...)
		})
	}
}

func claim(ordinal int, change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	s := set(1, "v1", claimed)
	c := newClaim(s, &s.Spec.VolumeClaimTemplates[0], ordinal)
	for _, f := range change {
		f(c)
	}
	return c
}

func TestPodHasItsIdentity(t *testing.T) {
	p, _ := decide(set(1, "v1", claimed))
	var got *corev1.Pod
	for _, a := range p.Actions {
		if c, ok := a.(plan.Create); ok {
			if pod, ok := c.Object.(*corev1.Pod); ok {
				got = pod
			}
		}
	}
	if got.Spec.Hostname != "db-0" || got.Spec.Subdomain != "db" {
		t.Errorf("hostname %q, subdomain %q", got.Spec.Hostname, got.Spec.Subdomain)
	}
	want := map[string]string{
		"app": "db", "statefulset.kubernetes.io/pod-name": "db-0", "apps.kubernetes.io/pod-index": "0",
		"controller-revision-hash": revisionName("v1"),
	}
	if fmt.Sprint(got.Labels) != fmt.Sprint(want) {
		t.Errorf("labels are %v", got.Labels)
	}
	if v := got.Spec.Volumes; len(v) != 1 || v[0].PersistentVolumeClaim.ClaimName != "data-db-0" {
		t.Errorf("volumes are %v", v)
	}
}

func TestRevisionPatchBringsTheTemplateBack(t *testing.T) {
	r := rev("v1", 1)
	got, err := revision.Template(r)
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.Containers[0].Image != "v1" || !strings.Contains(string(r.Data.Raw), `"$patch":"replace"`) {
		t.Errorf("revision is %s", r.Data.Raw)
	}
}

func TestTemplateBroughtBackGetsTheHighestRevision(t *testing.T) {
	p, _ := decide(set(1, "v1", from("v2")), rev("v1", 1), rev("v2", 2), pod(0, "v2"))
	u, ok := p.Actions[0].(plan.Update)
	if r, is := u.Object.(*appsv1.ControllerRevision); !ok || !is || r.Name != revisionName("v1") || r.Revision != 3 {
		t.Errorf("the first action is %+v", p.Actions[0])
	}
}

func TestCompleteRolloutMovesTheCurrentRevision(t *testing.T) {
	p, _ := decide(set(2, "v2", from("v1")), rev("v1", 1), rev("v2", 2), pod(0, "v2"), pod(1, "v2"))
	s := p.Actions[len(p.Actions)-1].(plan.UpdateStatus).Object.(*appsv1.StatefulSet).Status
	if s.CurrentRevision != revisionName("v2") || s.UpdateRevision != s.CurrentRevision || s.CurrentReplicas != 2 || s.UpdatedReplicas != 2 || s.AvailableReplicas != 2 {
		t.Errorf("status is %+v", s)
	}
}

func TestHistoryBeyondTheLimitGoes(t *testing.T) {
	s := set(1, "v3", from("v3"), func(s *appsv1.StatefulSet) { one := int32(1); s.Spec.RevisionHistoryLimit = &one })
	_, text := decide(s, rev("v1", 1), rev("v2", 2), rev("v3", 3), pod(0, "v3"))
	if !strings.Contains(text, "delete controllerrevisions.apps/default/v1\n") || strings.Contains(text, "delete controllerrevisions.apps/default/v2") {
		t.Errorf("plan:\n%s", text)
	}
}

func TestClaimsFollowTheRetentionPolicy(t *testing.T) {
	policy := func(s *appsv1.StatefulSet) {
		s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
			WhenScaled:  appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
		}
	}
	p, _ := decide(set(1, "v1", claimed, policy), rev("v1", 1), pod(0, "v1"), pod(1, "v1"), claim(0), claim(1))
	owners := make(map[string]string)
	for _, a := range p.Actions {
		if u, ok := a.(plan.Update); ok {
			if c, ok := u.Object.(*corev1.PersistentVolumeClaim); ok {
				owners[c.Name] = c.OwnerReferences[0].Kind
			}
		}
	}
	if owners["data-db-0"] != "StatefulSet" || owners["data-db-1"] != "Pod" {
		t.Errorf("owners are %v", owners)
	}
}

// agent stands for the node agent: it makes one pod ready, or takes one that terminates away.
func agent(w *plantest.Cluster) (moved bool) {
	for p := range view.All[*corev1.Pod](w.Snapshot(), kind.Pods, "") {
		switch {
		case p.DeletionTimestamp != nil:
			w.Remove(view.KeyOf(kind.Pods, p))
			return true
		case !pods.Ready(p) && !pods.Finished(p):
			p = p.DeepCopy()
			ready(p)
			w.Put(p)
			return true
		}
	}
	return false
}

func TestRolloutReplacesAllPodsInOrder(t *testing.T) {
	w := plantest.New(at(0), set(3, "v2", from("v1"), claimed), rev("v1", 1), pod(0, "v1"), pod(1, "v1"), pod(2, "v1"))
	w.Grace = true
	var order []string
	for moved := true; moved; {
		p, _ := New().Decide(w.Snapshot(), key, at(0), nil)
		for _, a := range p.Actions {
			if d, ok := a.(plan.Delete); ok {
				order = append(order, d.Key.Name)
			}
			if err := w.Apply(a); err != nil {
				t.Fatal(err)
			}
		}
		up := 0
		for p := range view.All[*corev1.Pod](w.Snapshot(), kind.Pods, "") {
			if pods.Ready(p) && p.DeletionTimestamp == nil {
				up++
			}
		}
		if up < 2 {
			t.Fatalf("%d pods serve", up)
		}
		moved = len(p.Actions) > 0
		moved = agent(w) || moved
	}
	if got := strings.Join(order, " "); got != "db-2 db-1 db-0" {
		t.Errorf("pods were replaced in the order %s", got)
	}
}
