package check

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/controller/pods"
	"sampan/kind"
	"sampan/view"
)

// Budget: a Deployment never has more active pods than replicas + maxSurge, nor fewer available ones than
// replicas - maxUnavailable. After its size was changed, or one of its pods was deleted by someone else or
// failed, it has until it is within the budget again.
type Budget struct{ limits map[types.UID]*limits }

// limits are what holds now: they close in on the budget as the Deployment reaches it.
type limits struct {
	most, least int32
	replicas    int32
	excused     time.Time // until when least stays 0
}

// Excuse lifts the lower limit of the Deployments in a namespace until the controllers must have seen it and the
// Deployments are within their budgets again: a user killed a pod there.
func (b *Budget) Excuse(namespace string, snap *view.Snapshot, now time.Time) {
	for d := range view.All[*appsv1.Deployment](snap, kind.Deployments, namespace) {
		if l := b.limits[d.UID]; l != nil {
			l.least, l.excused = 0, now.Add(late)
		}
	}
}

// Change implements Rule.
func (b *Budget) Change(c view.Change, snap *view.Snapshot, now time.Time) error {
	switch c.Key.Kind {
	case kind.Pods, kind.Deployments:
	default:
		return nil
	}
	for d := range view.All[*appsv1.Deployment](snap, kind.Deployments, c.Key.Namespace) {
		if err := b.check(d, snap, now); err != nil {
			return err
		}
	}
	return nil
}

func (b *Budget) check(d *appsv1.Deployment, snap *view.Snapshot, now time.Time) error {
	surge, unavailable := budget(d)
	most, least := *d.Spec.Replicas+surge, max(0, *d.Spec.Replicas-unavailable)
	if b.limits == nil {
		b.limits = make(map[types.UID]*limits)
	}
	l := b.limits[d.UID]
	if l == nil {
		l = &limits{most: most, replicas: *d.Spec.Replicas}
		b.limits[d.UID] = l
	}
	if l.replicas != *d.Spec.Replicas {
		// Scaling in mid-rollout is proportional, as Kubernetes documents it: it looks at sizes only.
		l.most, l.least, l.replicas = max(l.most, most), 0, *d.Spec.Replicas
	}
	active, available := count(d, snap, now)
	// What was decided before the change was seen may still arrive.
	if observed(d, snap) {
		if active <= most {
			l.most = most
		}
		if available >= least && !now.Before(l.excused) {
			l.least = least
		}
	}
	switch {
	case active > l.most:
		return fmt.Errorf("deployment %s/%s has %d pods, more than %d", d.Namespace, d.Name, active, l.most)
	case available < l.least:
		return fmt.Errorf("deployment %s/%s has %d available pods, fewer than %d", d.Namespace, d.Name, available, l.least)
	}
	return nil
}

// observed reports whether the Deployment and its sets have acted on what they were last asked for.
func observed(d *appsv1.Deployment, snap *view.Snapshot) bool {
	if d.Status.ObservedGeneration < d.Generation {
		return false
	}
	for s := range view.OwnedBy[*appsv1.ReplicaSet](snap, kind.ReplicaSets, d.UID) {
		if s.Status.ObservedGeneration < s.Generation {
			return false
		}
	}
	return true
}

// budget resolves maxSurge and maxUnavailable, by the documentation rather than by the controller's code.
func budget(d *appsv1.Deployment) (surge, unavailable int32) {
	n := int(*d.Spec.Replicas)
	ru := d.Spec.Strategy.RollingUpdate
	if ru == nil {
		return 0, *d.Spec.Replicas
	}
	s, _ := intstr.GetScaledValueFromIntOrPercent(ru.MaxSurge, n, true)
	u, _ := intstr.GetScaledValueFromIntOrPercent(ru.MaxUnavailable, n, false)
	if s == 0 && u == 0 {
		u = 1
	}
	return int32(s), int32(u)
}

func count(d *appsv1.Deployment, snap *view.Snapshot, now time.Time) (active, available int32) {
	for s := range view.OwnedBy[*appsv1.ReplicaSet](snap, kind.ReplicaSets, d.UID) {
		for p := range view.OwnedBy[*corev1.Pod](snap, kind.Pods, s.UID) {
			if !controls(s, p) || !pods.Active(p) {
				continue
			}
			active++
			if ok, _ := pods.Available(p, pods.Seconds(d.Spec.MinReadySeconds), now); ok {
				available++
			}
		}
	}
	return active, available
}

func controls(owner, child metav1.Object) bool { return metav1.IsControlledBy(child, owner) }
