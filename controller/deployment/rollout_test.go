package deployment

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sampan/controller/pods"
	"sampan/controller/replicaset"
	"sampan/kind"
	"sampan/plan"
	"sampan/plan/plantest"
	"sampan/view"
)

// world is a cluster with both controllers and a node agent, whose steps a test takes in any order.
type world struct {
	*plantest.Cluster
	deployments, sets plan.Controller
}

func (w *world) decide(t *rapid.T, c plan.Controller, k view.Key) (wrote bool) {
	p, _ := c.Decide(w.Snapshot(), k, w.Now, nil)
	for _, a := range p.Actions {
		if err := w.Apply(a); err != nil {
			t.Fatalf("%s: %v", plantest.Text(p, w.Now), err)
		}
	}
	return len(p.Actions) > 0
}

func (w *world) setKeys() []view.Key {
	var keys []view.Key
	for s := range w.Snapshot().All(kind.ReplicaSets, "") {
		keys = append(keys, view.KeyOf(kind.ReplicaSets, s))
	}
	return keys
}

func (w *world) allPods() []*corev1.Pod {
	var all []*corev1.Pod
	for p := range view.All[*corev1.Pod](w.Snapshot(), kind.Pods, "") {
		all = append(all, p)
	}
	return all
}

// agent moves one pod a step on: a new one becomes ready, a terminating one goes.
func (w *world) agent(p *corev1.Pod) (moved bool) {
	switch {
	case p.DeletionTimestamp != nil:
		w.Remove(view.KeyOf(kind.Pods, p))
	case !pods.Ready(p):
		p = p.DeepCopy()
		p.Spec.NodeName = "n1"
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(w.Now),
		}}
		w.Put(p)
	default:
		return false
	}
	return true
}

// settle takes all steps until nothing moves.
func (w *world) settle(t *rapid.T, check func()) {
	for round := 0; ; round++ {
		if round > 500 {
			t.Fatal("the rollout does not end")
		}
		moved := w.decide(t, w.deployments, key)
		check()
		for _, k := range w.setKeys() {
			moved = w.decide(t, w.sets, k) || moved
			check()
		}
		for _, p := range w.allPods() {
			moved = w.agent(p) || moved
		}
		if !moved {
			return
		}
	}
}

// TestRolloutStaysWithinItsBudget: whatever the order in which controllers and node agent take their steps,
// and whatever template comes in the middle, there are never more pods than maxSurge allows, nor fewer
// available ones than maxUnavailable allows.
func TestRolloutStaysWithinItsBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budgets := []string{"0", "1", "2", "25%", "50%", "100%"}
		d := deployment(rapid.Int32Range(0, 8).Draw(t, "replicas"), "v1", budget(
			rapid.SampledFrom(budgets).Draw(t, "surge"), rapid.SampledFrom(budgets).Draw(t, "unavailable")))
		w := &world{plantest.New(at(0), d), New(), replicaset.New()}
		w.Grace = true
		w.settle(t, func() {})

		check := func() {
			var live, available int32
			for _, p := range w.allPods() {
				if pods.Active(p) {
					live++
					if pods.Ready(p) {
						available++
					}
				}
			}
			if most := replicas(d) + maxSurge(d); live > most {
				t.Fatalf("%d pods are alive, more than %d", live, most)
			}
			if least := replicas(d) - maxUnavailable(d); available < least {
				t.Fatalf("%d pods are available, fewer than %d", available, least)
			}
		}
		check()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				now, _ := view.Get[*appsv1.Deployment](w.Snapshot(), kind.Deployments, "default", "web")
				next := now.DeepCopy()
				next.Spec.Template = template(rapid.SampledFrom([]string{"v1", "v2", "v3"}).Draw(t, "image"))
				if err := w.Apply(plan.Update{Object: next}); err != nil {
					t.Fatal(err)
				}
			case 1, 2, 3:
				w.decide(t, w.deployments, key)
			case 4, 5, 6:
				if keys := w.setKeys(); len(keys) > 0 {
					w.decide(t, w.sets, rapid.SampledFrom(keys).Draw(t, "set"))
				}
			default:
				if all := w.allPods(); len(all) > 0 {
					w.agent(rapid.SampledFrom(all).Draw(t, "pod"))
				}
			}
			w.Now = w.Now.Add(time.Second)
			check()
		}
		w.settle(t, check)
		end, _ := view.Get[*appsv1.Deployment](w.Snapshot(), kind.Deployments, "default", "web")
		if !complete(end, &end.Status) {
			t.Fatalf("the rollout is not complete: %+v", end.Status)
		}
		for _, p := range w.allPods() {
			if p.Spec.Containers[0].Image != end.Spec.Template.Spec.Containers[0].Image {
				t.Fatalf("pod %s has an old image", p.Name)
			}
		}
	})
}
