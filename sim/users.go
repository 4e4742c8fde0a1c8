package sim

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/view"
)

// user creates an object as a user would: reliably.
func (s *simulation) user(obj kind.Object) {
	if _, err := s.api.Create(context.Background(), obj, metav1.CreateOptions{}); err != nil && s.err == nil {
		s.err = err
	}
}

// startUsers lets users change things at random times until calm.
func (s *simulation) startUsers(calm time.Time) {
	r := newStream(s.cfg.Seed, "users")
	var next func()
	next = func() {
		if s.now.After(calm) {
			return
		}
		s.change(r)
		pause := r.between(time.Second, 15*time.Second)
		if r.chance(0.3) { // in a hurry: before the last change was acted upon
			pause = r.between(time.Millisecond, 100*time.Millisecond)
		}
		s.after(pause, next)
	}
	s.after(r.between(5*time.Second, 20*time.Second), next)
}

// change does one thing to one workload.
func (s *simulation) change(r stream) {
	workloads := s.workloads()
	if len(workloads) == 0 {
		return
	}
	w := pick(r, workloads).DeepCopyObject().(kind.Object)
	template, replicas := partsOf(w)
	what := ""
	switch r.IntN(10) {
	case 0, 1, 2:
		template.Spec.Containers[0].Image = pick(r, []string{"v1", "v2", "v3"})
		what = "rolls to " + template.Spec.Containers[0].Image
	case 3:
		template.Spec.Containers[0].Image = BrokenImage
		what = "breaks"
	case 4, 5:
		*replicas = int32(r.IntN(6))
		what = "scales"
	case 6:
		if d, ok := w.(*appsv1.Deployment); ok {
			d.Spec.Paused = !d.Spec.Paused
			what = "pauses or resumes"
		}
	case 7, 8:
		s.kill(r, w.GetNamespace())
	}
	if what != "" {
		s.note("user", what+" "+w.GetName())
		s.write(w)
	}
}

func (s *simulation) write(w kind.Object) {
	if _, err := s.api.Update(context.Background(), w, "", metav1.UpdateOptions{}); err != nil && s.err == nil {
		s.err = err
	}
}

// kill deletes a pod.
func (s *simulation) kill(r stream, namespace string) {
	var pods []*corev1.Pod
	for p := range view.All[*corev1.Pod](s.api.Snapshot(), kind.Pods, namespace) {
		pods = append(pods, p)
	}
	if len(pods) == 0 {
		return
	}
	p := pick(r, pods)
	s.note("user", "kills "+p.Name)
	s.budget.Excuse(namespace, s.api.Snapshot(), s.now)
	if _, err := s.api.Delete(context.Background(), view.KeyOf(kind.Pods, p), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) && s.err == nil {
		s.err = err
	}
}

// calmUsers leaves everything with a template that works.
func (s *simulation) calmUsers() {
	for _, w := range s.workloads() {
		w = w.DeepCopyObject().(kind.Object)
		template, _ := partsOf(w)
		template.Spec.Containers[0].Image = "v4"
		if d, ok := w.(*appsv1.Deployment); ok {
			d.Spec.Paused = false
		}
		s.note("user", "repairs "+w.GetName())
		s.write(w)
	}
}

func (s *simulation) workloads() []kind.Object {
	var all []kind.Object
	for _, id := range []kind.ID{kind.Deployments, kind.StatefulSets} {
		for w := range s.api.Snapshot().All(id, "") {
			all = append(all, w)
		}
	}
	return all
}

func partsOf(w kind.Object) (*corev1.PodTemplateSpec, *int32) {
	switch w := w.(type) {
	case *appsv1.Deployment:
		return &w.Spec.Template, w.Spec.Replicas
	case *appsv1.StatefulSet:
		return &w.Spec.Template, w.Spec.Replicas
	}
	panic("not a workload")
}
