package deployment

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

var key = view.Key{Kind: kind.Deployments, Namespace: "default", Name: "web"}

func at(seconds int) time.Time { return time.Unix(1_800_000_000+int64(seconds), 0) }

// deployment makes a Deployment of n pods with a template of the image, as the API server would default it.
func deployment(n int32, image string, change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	limit, deadline := int32(10), int32(600)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "deployment-uid", Generation: 1},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template: template(image),
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{},
			},
			RevisionHistoryLimit:    &limit,
			ProgressDeadlineSeconds: &deadline,
		},
	}
	budget("25%", "25%")(d)
	for _, f := range change {
		f(d)
	}
	return d
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

func budget(surge, unavailable string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		s, u := intstr.Parse(surge), intstr.Parse(unavailable)
		d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &s, MaxUnavailable: &u}
	}
}

func recreating(d *appsv1.Deployment) {
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
}

func paused(d *appsv1.Deployment) { d.Spec.Paused = true }

// set makes the ReplicaSet of an image as the controller made it for d, with size n and that many ready pods.
func set(d *appsv1.Deployment, image string, revision int64, n, ready int32, change ...func(*appsv1.ReplicaSet)) *appsv1.ReplicaSet {
	of := d.DeepCopy()
	of.Spec.Template = template(image)
	s := newSet(of, n, revision)
	s.CreationTimestamp = metav1.NewTime(at(int(revision) - 1000))
	s.Generation = 1
	s.Status = appsv1.ReplicaSetStatus{Replicas: n, ReadyReplicas: ready, AvailableReplicas: ready, ObservedGeneration: 1}
	for _, f := range change {
		f(s)
	}
	return s
}

// name returns the name of the ReplicaSet of an image.
func name(image string) string { return set(deployment(1, image), image, 1, 0, 0).Name }

func decideText(t *testing.T, now time.Time, objects ...kind.Object) (plan.Plan, string) {
	t.Helper()
	p, _ := New().Decide(plantest.New(now, objects...).Snapshot(), key, now, nil)
	text := plantest.Text(p, now)
	for _, image := range []string{"v1", "v2", "v3"} {
		text = strings.ReplaceAll(text, name(image), image)
	}
	return p, strings.ReplaceAll(text, "replicasets.apps/default/", "")
}

// writes returns the lines of a plan that change ReplicaSets.
func writes(text string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "create ") || strings.HasPrefix(line, "update ") || strings.HasPrefix(line, "delete ") {
			out = append(out, line)
		}
	}
	return strings.Join(out, ", ")
}

func statusOf(t *testing.T, p plan.Plan) *appsv1.Deployment {
	t.Helper()
	for _, a := range slices.Backward(p.Actions) {
		if u, ok := a.(plan.UpdateStatus); ok {
			return u.Object.(*appsv1.Deployment)
		}
	}
	t.Fatal("the plan writes no status")
	return nil
}

func reasonOf(d *appsv1.Deployment, ct appsv1.DeploymentConditionType) string {
	for _, c := range d.Status.Conditions {
		if c.Type == ct {
			return c.Reason
		}
	}
	return ""
}

func TestDecide(t *testing.T) {
	d3 := deployment(3, "v2", budget("1", "0"))
	d10 := deployment(10, "v2", budget("3", "2"))
	for _, tt := range []struct {
		name    string
		objects []kind.Object
		want    string
	}{
		{"a new Deployment gets a full-size set", []kind.Object{deployment(3, "v1")}, "create v1 replicas=3"},
		{"a new template starts within the surge", []kind.Object{d3, set(d3, "v1", 1, 3, 3)}, "create v2 replicas=1"},
		{"old pods go at once where unavailability allows", []kind.Object{d10, set(d10, "v1", 1, 10, 10)}, "create v2 replicas=3, update v1 replicas=8"},
		{"an old pod goes for each new one that is available", []kind.Object{d3, set(d3, "v1", 1, 3, 3), set(d3, "v2", 2, 1, 1)}, "update v1 replicas=2"},
		{"nothing goes while the new pod is not available", []kind.Object{d3, set(d3, "v1", 1, 3, 3), set(d3, "v2", 2, 1, 0)}, ""},
		{"old pods that serve nothing go first", []kind.Object{
			deployment(3, "v3", budget("1", "1")), set(d3, "v1", 1, 2, 2), set(d3, "v2", 2, 1, 0), set(d3, "v3", 3, 1, 0),
		}, "update v2 replicas=0"},
		{"a status older than the scale-down is not counted twice", []kind.Object{
			deployment(3, "v2", budget("1", "1")),
			set(d3, "v1", 1, 2, 2, func(s *appsv1.ReplicaSet) { s.Status.AvailableReplicas = 3 }), set(d3, "v2", 2, 1, 1),
		}, "update v2 replicas=2, update v1 replicas=1"},
		{"rolling back brings the old set back with a new revision", []kind.Object{
			deployment(3, "v1", budget("1", "0")), set(d3, "v1", 1, 0, 0), set(d3, "v2", 2, 3, 3),
		}, "update v1 replicas=1"},
		{"a paused Deployment rolls nothing out", []kind.Object{deployment(3, "v2", paused), set(d3, "v1", 1, 3, 3)}, ""},
		{"a paused Deployment still scales", []kind.Object{deployment(5, "v2", paused), set(d3, "v1", 1, 3, 3)}, "update v1 replicas=5"},
		{"scaling in mid-rollout is proportional", []kind.Object{
			deployment(20, "v2", budget("3", "2")), set(d10, "v1", 1, 8, 8), set(d10, "v2", 2, 5, 1),
		}, "update v2 replicas=9, update v1 replicas=14"},
		{"Recreate takes the old pods away first", []kind.Object{deployment(3, "v2", recreating), set(d3, "v1", 1, 3, 3)}, "update v1 replicas=0"},
		{"Recreate waits for old pods to end", []kind.Object{deployment(3, "v2", recreating), set(d3, "v1", 1, 0, 0), ownedPod(d3, "v1")}, ""},
		{"Recreate makes new pods when the old ones are gone", []kind.Object{deployment(3, "v2", recreating), set(d3, "v1", 1, 0, 0)}, "create v2 replicas=3"},
		{"history beyond the limit goes", []kind.Object{
			deployment(1, "v3", func(d *appsv1.Deployment) { one := int32(1); d.Spec.RevisionHistoryLimit = &one }),
			set(d3, "v1", 1, 0, 0), set(d3, "v2", 2, 0, 0), set(deployment(1, "v3"), "v3", 3, 1, 1),
		}, "delete v1"},
		{"an orphan with the right labels is adopted first", []kind.Object{d3, set(d3, "v1", 1, 3, 3, func(s *appsv1.ReplicaSet) { s.OwnerReferences = nil })}, "update v1 replicas=3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, text := decideText(t, at(0), tt.objects...)
			if got := writes(text); got != tt.want {
				t.Errorf("got %q, want %q\n%s", got, tt.want, text)
			}
			plantest.CheckWith(t, New(), key, at(0), observe, tt.objects...)
		})
	}
}

// observe stands for the ReplicaSet controller: the sets have seen their sizes.
func observe(c *plantest.Cluster) (changed bool) {
	for s := range view.All[*appsv1.ReplicaSet](c.Snapshot(), kind.ReplicaSets, "") {
		if !observed([]*appsv1.ReplicaSet{s}) {
			s = s.DeepCopy()
			s.Status.ObservedGeneration = s.Generation
			c.Put(s)
			changed = true
		}
	}
	return changed
}

func ownedPod(d *appsv1.Deployment, image string) *corev1.Pod {
	s := set(d, image, 1, 0, 0)
	s.UID = plantest.New(at(0)).Put(s).GetUID()
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: s.Name + "-x", Labels: s.Labels,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))},
	}}
}

func TestFirstRolloutReportsItself(t *testing.T) {
	p, text := decideText(t, at(0), deployment(3, "v1"))
	d := statusOf(t, p)
	if got := d.Annotations[revisionAnnotation]; got != "1" {
		t.Errorf("revision is %q", got)
	}
	if got := reasonOf(d, appsv1.DeploymentProgressing); got != reasonCreated {
		t.Errorf("Progressing has reason %q", got)
	}
	if !strings.Contains(text, "event ScalingReplicaSet: Scaled up replica set v1 from 0 to 3") {
		t.Errorf("no event in:\n%s", text)
	}
	created := p.Actions[0].(plan.Create).Object.(*appsv1.ReplicaSet)
	hash := created.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if created.Name != "web-"+hash || created.Spec.Template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != hash ||
		created.Spec.Selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] != hash {
		t.Errorf("the set does not carry its hash everywhere: %+v", created)
	}
	if created.Annotations[desiredAnnotation] != "3" || created.Annotations[maxAnnotation] != "4" || created.Annotations[revisionAnnotation] != "1" {
		t.Errorf("annotations are %v", created.Annotations)
	}
}

func TestRollbackRecordsItsHistory(t *testing.T) {
	d := deployment(3, "v1", budget("1", "0"))
	p, _ := decideText(t, at(0), d, set(d, "v1", 1, 0, 0), set(d, "v2", 2, 3, 3))
	s := p.Actions[0].(plan.Update).Object.(*appsv1.ReplicaSet)
	if s.Annotations[revisionAnnotation] != "3" || s.Annotations[historyAnnotation] != "1" {
		t.Errorf("annotations are %v", s.Annotations)
	}
	if got := statusOf(t, p).Annotations[revisionAnnotation]; got != "3" {
		t.Errorf("the Deployment's revision is %q", got)
	}
}

func TestCompleteRolloutSaysSo(t *testing.T) {
	d := deployment(3, "v1")
	p, _ := decideText(t, at(0), d, set(d, "v1", 1, 3, 3))
	got := statusOf(t, p)
	if r := reasonOf(got, appsv1.DeploymentProgressing); r != reasonComplete {
		t.Errorf("Progressing has reason %q", r)
	}
	if r := reasonOf(got, appsv1.DeploymentAvailable); r != reasonEnough {
		t.Errorf("Available has reason %q", r)
	}
	if got.Status.UpdatedReplicas != 3 || got.Status.AvailableReplicas != 3 || got.Status.UnavailableReplicas != 0 {
		t.Errorf("status is %+v", got.Status)
	}
	if !p.WakeAt.IsZero() {
		t.Errorf("a complete rollout wants to be woken at %v", p.WakeAt)
	}
}

func TestProgressDeadline(t *testing.T) {
	d := deployment(3, "v1", func(d *appsv1.Deployment) {
		d.Status.Replicas, d.Status.UpdatedReplicas = 3, 3
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: reasonUpdated,
			LastUpdateTime: metav1.NewTime(at(0)),
		}}
	})
	s := set(d, "v1", 1, 3, 0)
	p, _ := decideText(t, at(10), d, s)
	if want := at(601); !p.WakeAt.Equal(want) {
		t.Errorf("wakes at %v, want %v", p.WakeAt, want)
	}
	p, _ = decideText(t, at(601), d, s)
	if r := reasonOf(statusOf(t, p), appsv1.DeploymentProgressing); r != reasonTimedOut {
		t.Errorf("Progressing has reason %q", r)
	}
	if !p.WakeAt.IsZero() {
		t.Error("a rollout that timed out is not woken by time again")
	}
}

func TestFailedCreationIsReported(t *testing.T) {
	c := New()
	d := deployment(1, "v1")
	mem := c.Failed(nil, plan.Failure{Action: plan.Create{Object: set(d, "v1", 1, 1, 0)}, Err: errors.New("exceeded quota")})
	p, _ := c.Decide(plantest.New(at(0), d).Snapshot(), key, at(0), mem)
	got := p.Actions[0].(plan.UpdateStatus).Object.(*appsv1.Deployment)
	if r := reasonOf(got, appsv1.DeploymentProgressing); r != reasonCreateError {
		t.Errorf("Progressing has reason %q", r)
	}
	if text := plantest.Text(p, at(0)); !strings.Contains(text, "warning ReplicaSetCreateError: Failed to create new replica set") {
		t.Errorf("no event in:\n%s", text)
	}
}

func TestTakenNameLeadsToAnother(t *testing.T) {
	d := deployment(1, "v1")
	foreign := set(d, "v1", 1, 1, 1, func(s *appsv1.ReplicaSet) {
		s.OwnerReferences = nil
		s.Labels = map[string]string{"app": "other"}
	})
	p, text := decideText(t, at(0), d, foreign)
	if got := statusOf(t, p).Status.CollisionCount; got == nil || *got != 1 || writes(text) != "" {
		t.Errorf("collision count is %v, plan:\n%s", got, text)
	}
	plantest.Check(t, New(), key, at(0), d, foreign)
}
