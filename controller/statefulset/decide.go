package statefulset

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sampan/controller/pods"
	"sampan/controller/revision"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// Mem is what a decision leaves to the next: the event of a creation or deletion that failed since, if any.
type Mem struct{ Reason, Message string }

func failed(mem any, f plan.Failure) any {
	m, _ := mem.(Mem)
	var set string
	switch a := f.Action.(type) {
	case plan.Create:
		switch obj := a.Object.(type) {
		case *corev1.Pod:
			set, _, _ = ordinalOf(obj.Name)
			m = Mem{"FailedCreate", fmt.Sprintf("create Pod %s in StatefulSet %s failed error: %v", obj.Name, set, f.Err)}
		case *corev1.PersistentVolumeClaim:
			m = Mem{"FailedCreate", fmt.Sprintf("create Claim %s failed error: %v", obj.Name, f.Err)}
		}
	case plan.Delete:
		set, _, _ = ordinalOf(a.Key.Name)
		m = Mem{"FailedDelete", fmt.Sprintf("delete Pod %s in StatefulSet %s failed error: %v", a.Key.Name, set, f.Err)}
	}
	return m
}

// member is a pod of the set, or the place for one.
type member struct {
	ordinal int
	name    string
	pod     *corev1.Pod // nil: there is none
	ready   bool        // running, ready and not terminating
	usable  bool        // ready for minReadySeconds
}

// turn is one decision in the making.
type turn struct {
	In
	p   plan.Plan
	set *appsv1.StatefulSet

	members   []member // of the ordinals that the set asks for, lowest first
	condemned []member // of other ordinals, highest first

	update, current  *appsv1.ControllerRevision
	currentTemplate  *corev1.PodTemplateSpec
	revisions        []*appsv1.ControllerRevision // sorted
	ordered          bool
	updating         bool // the strategy is RollingUpdate
	partition, limit int
}

// Decide says what to do about a StatefulSet.
func Decide(in In, mem Mem) (plan.Plan, Mem) {
	t := &turn{In: in, set: in.Set}
	switch {
	case in.Set == nil:
		return t.p, Mem{}
	case in.Invalid != nil:
		t.wait("the selector is invalid: %v", in.Invalid)
		return t.p, Mem{}
	}
	in.Pods.Plan(&t.p)
	in.Revisions.Plan(&t.p)
	if len(t.p.Actions) > 0 {
		return t.p, mem // the children's revisions change: decide about the rest on the next view
	}
	if mem.Reason != "" {
		t.p.Say(plan.Reason{About: in.Key, EventReason: mem.Reason, Warning: true, Message: mem.Message})
	}
	t.strategy()
	t.sort()
	if t.set.DeletionTimestamp == nil {
		t.findRevisions()
		t.retention()
		if t.fill() && t.shrink() {
			t.roll()
		}
		t.truncate()
	} else {
		t.existingRevisions()
	}
	t.writeStatus()
	return t.p, Mem{}
}

func (t *turn) wait(format string, args ...any) {
	t.p.Say(plan.Reason{About: t.Key, Waiting: true, Message: fmt.Sprintf(format, args...)})
}

// strategy resolves the set's policies.
func (t *turn) strategy() {
	t.ordered = t.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	t.updating = t.set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType
	t.limit = 1
	ru := t.set.Spec.UpdateStrategy.RollingUpdate
	if ru == nil {
		return
	}
	if ru.Partition != nil {
		t.partition = int(*ru.Partition)
	}
	if ru.MaxUnavailable != nil {
		if n, err := intstr.GetScaledValueFromIntOrPercent(ru.MaxUnavailable, replicas(t.set), false); err == nil {
			t.limit = max(1, n)
		}
	}
}

// sort puts the pods at their ordinals.
func (t *turn) sort() {
	t.members = make([]member, replicas(t.set))
	for i := range t.members {
		ordinal := start(t.set) + i
		t.members[i] = member{ordinal: ordinal, name: podName(t.set, ordinal)}
	}
	minReady := pods.Seconds(t.set.Spec.MinReadySeconds)
	for _, pod := range t.Pods.Owned {
		set, ordinal, ok := ordinalOf(pod.Name)
		if !ok || set != t.set.Name {
			continue
		}
		m := member{ordinal: ordinal, name: pod.Name, pod: pod}
		m.ready = pod.Status.Phase == corev1.PodRunning && pods.Ready(pod) && pod.DeletionTimestamp == nil
		if m.ready {
			var at time.Time
			m.usable, at = pods.Available(pod, minReady, t.Now)
			t.p.Wake(at)
		}
		if i := ordinal - start(t.set); i >= 0 && i < len(t.members) {
			t.members[i] = m
		} else {
			t.condemned = append(t.condemned, m)
		}
	}
	slices.SortFunc(t.condemned, func(a, b member) int { return cmp.Compare(b.ordinal, a.ordinal) })
}

func (t *turn) owner() revision.Owner {
	return revision.Owner{Object: t.set, GVK: gvk(), Template: &t.set.Spec.Template, Collisions: t.set.Status.CollisionCount}
}

// findRevisions finds or makes the revision to update to, and finds the one to update from.
func (t *turn) findRevisions() {
	t.revisions = slices.Clone(t.Revisions.Owned)
	revision.Sort(t.revisions)
	t.update = revision.Current(&t.p, t.owner(), t.revisions)
	t.findCurrent()
}

// existingRevisions is findRevisions for a set that makes nothing any more.
func (t *turn) existingRevisions() {
	t.revisions = slices.Clone(t.Revisions.Owned)
	revision.Sort(t.revisions)
	t.update = revision.New(t.owner(), 0)
	t.findCurrent()
}

func (t *turn) findCurrent() {
	t.current, t.currentTemplate = t.update, &t.set.Spec.Template
	for _, r := range t.revisions {
		if r.Name != t.set.Status.CurrentRevision || r.Name == t.update.Name {
			continue
		}
		if template, err := revision.Template(r); err == nil { // else: as good as lost
			t.current, t.currentTemplate = r, template
		}
	}
}

// outdated reports whether a rolling update is to replace the pod.
func (t *turn) outdated(m member) bool {
	return t.updating && m.ordinal >= t.partition && revisionOf(m.pod) != t.update.Name
}

// fill makes missing pods and replaces those that ended, from the lowest ordinal up. ok is false if that
// must be waited for before anything else happens.
func (t *turn) fill() (ok bool) {
	ok = true
	for _, m := range t.members {
		switch {
		case m.pod == nil:
			if !t.create(m) || t.ordered {
				return false
			}
			ok = false
		case pods.Finished(m.pod):
			t.replaceFinished(m)
			if t.ordered {
				return false
			}
			ok = false
		case m.pod.DeletionTimestamp != nil:
			if t.ordered {
				t.wait("waiting for pod %s to terminate", m.name)
				return false
			}
		case !m.usable && t.ordered:
			t.claims(m.ordinal)
			if !m.ready && t.outdated(m) {
				t.delete(m)
				return false
			}
			t.wait("waiting for pod %s to become ready", m.name)
			return false
		default:
			t.claims(m.ordinal)
			t.identify(m)
		}
	}
	return ok
}

// create makes the pod of an ordinal and its claims. ok is false if it cannot be made now.
func (t *turn) create(m member) (ok bool) {
	if pod := t.Taken[m.name]; pod != nil {
		t.wait("waiting for pod %s of another owner to go", m.name)
		return false
	}
	if !t.claims(m.ordinal) {
		return false
	}
	template, revision := &t.set.Spec.Template, t.update.Name
	if t.updating && m.ordinal < t.partition {
		template, revision = t.currentTemplate, t.current.Name
	}
	t.p.Do(plan.Create{Object: newPod(t.set, template, revision, m.ordinal)}, plan.Reason{
		About: t.Key, EventReason: "SuccessfulCreate",
		Message: fmt.Sprintf("create Pod %s in StatefulSet %s successful", m.name, t.set.Name),
	})
	return true
}

// claims makes the missing claims of an ordinal. ok is false if an old claim must go first.
func (t *turn) claims(ordinal int) (ok bool) {
	for i := range t.set.Spec.VolumeClaimTemplates {
		template := &t.set.Spec.VolumeClaimTemplates[i]
		name := claimName(t.set, template, ordinal)
		if claim := t.Claims[name]; claim != nil {
			if claim.DeletionTimestamp != nil || t.doomed(claim) {
				t.wait("waiting for claim %s to be deleted", name)
				return false
			}
			continue
		}
		t.p.Do(plan.Create{Object: newClaim(t.set, template, ordinal)}, plan.Reason{
			About: t.Key, EventReason: "SuccessfulCreate",
			Message: fmt.Sprintf("create Claim %s Pod %s in StatefulSet %s success", name, podName(t.set, ordinal), t.set.Name),
		})
	}
	return true
}

func (t *turn) replaceFinished(m member) {
	if m.pod.DeletionTimestamp != nil {
		t.wait("waiting for pod %s to be deleted", m.name)
		return
	}
	r := plan.Reason{
		About: t.Key, EventReason: "RecreatingFailedPod", Warning: true,
		Message: fmt.Sprintf("StatefulSet %s/%s is recreating failed Pod %s", t.set.Namespace, t.set.Name, m.name),
	}
	if m.pod.Status.Phase == corev1.PodSucceeded {
		r.EventReason, r.Warning = "RecreatingTerminatedPod", false
		r.Message = fmt.Sprintf("StatefulSet %s/%s is recreating terminated Pod %s", t.set.Namespace, t.set.Name, m.name)
	}
	t.p.Say(r)
	t.delete(m)
}

func (t *turn) delete(m member) {
	t.p.Do(plan.Delete{Key: view.KeyOf(kind.Pods, m.pod), UID: m.pod.UID}, plan.Reason{
		About: t.Key, EventReason: "SuccessfulDelete",
		Message: fmt.Sprintf("delete Pod %s in StatefulSet %s successful", m.name, t.set.Name),
	})
}

// identify restores the labels that say which pod it is, should someone have removed them.
func (t *turn) identify(m member) {
	want := identity(m.name, m.ordinal)
	same := true
	for k, v := range want {
		same = same && m.pod.Labels[k] == v
	}
	if same {
		return
	}
	pod := m.pod.DeepCopy()
	for k, v := range want {
		pod.Labels[k] = v
	}
	t.p.Do(plan.Update{Object: pod})
}

// shrink removes the pods that the set no longer asks for, from the highest ordinal down. ok is false if
// that must be waited for. Upstream waits for such a pod to become ready first, and is stuck when two never do;
// here it goes as it is, because nothing is gained by waiting.
func (t *turn) shrink() (ok bool) {
	if len(t.condemned) == 0 {
		return true
	}
	for _, m := range t.condemned {
		if m.pod.DeletionTimestamp != nil {
			t.wait("waiting for pod %s to terminate before it scales down", m.name)
			if t.ordered {
				return false
			}
			continue
		}
		t.delete(m)
		if t.ordered {
			return false
		}
	}
	return false
}

// roll replaces outdated pods from the highest ordinal down, as many at a time as may be unavailable. A pod
// that serves nothing costs nothing.
func (t *turn) roll() {
	if !t.updating {
		return
	}
	budget := t.limit
	for _, m := range t.members {
		if !m.usable {
			budget--
		}
	}
	for _, m := range slices.Backward(t.members) {
		switch {
		case m.pod.DeletionTimestamp != nil:
		case !t.outdated(m):
			if !m.usable && budget <= 0 {
				t.wait("waiting for pod %s to become ready before the next is updated", m.name)
			}
		case !m.usable:
			t.delete(m)
		case budget > 0:
			budget--
			t.delete(m)
		}
	}
}

// truncate deletes revisions that nothing needs, beyond the limit.
func (t *turn) truncate() {
	limit := int32(10)
	if t.set.Spec.RevisionHistoryLimit != nil {
		limit = *t.set.Spec.RevisionHistoryLimit
	}
	live := map[string]bool{t.update.Name: true, t.current.Name: true, t.set.Status.CurrentRevision: true}
	for _, pod := range t.Pods.Owned {
		live[revisionOf(pod)] = true
	}
	revision.Truncate(&t.p, t.revisions, live, limit)
}

// writeStatus counts the pods that there are, and completes a rollout.
func (t *turn) writeStatus() {
	s := appsv1.StatefulSetStatus{
		ObservedGeneration: t.set.Generation,
		CurrentRevision:    t.current.Name,
		UpdateRevision:     t.update.Name,
		CollisionCount:     t.set.Status.CollisionCount,
		Conditions:         t.set.Status.Conditions,
	}
	if s.CollisionCount == nil {
		s.CollisionCount = new(int32)
	}
	var updated int32 // of the ordinals that the set asks for
	for _, m := range slices.Concat(t.members, t.condemned) {
		if m.pod == nil {
			continue
		}
		s.Replicas++
		if m.ready {
			s.ReadyReplicas++
		}
		if m.usable {
			s.AvailableReplicas++
		}
		if m.pod.DeletionTimestamp != nil {
			continue
		}
		if revisionOf(m.pod) == t.current.Name {
			s.CurrentReplicas++
		}
		if revisionOf(m.pod) == t.update.Name {
			s.UpdatedReplicas++
			updated++
		}
	}
	if t.updating && s.UpdatedReplicas == s.Replicas && s.ReadyReplicas == s.Replicas && int(updated) == len(t.members) {
		s.CurrentRevision, s.CurrentReplicas = s.UpdateRevision, s.UpdatedReplicas
	}
	t.p.Say(plan.Reason{
		About:   t.Key,
		Waiting: int(s.AvailableReplicas) != len(t.members) || int(s.Replicas) != len(t.members),
		Message: fmt.Sprintf("%d of %d pods exist, %d are ready, %d are of revision %s",
			s.Replicas, len(t.members), s.ReadyReplicas, s.UpdatedReplicas, s.UpdateRevision),
	})
	if equality.Semantic.DeepEqual(s, t.set.Status) {
		return
	}
	set := t.set.DeepCopy()
	set.Status = s
	t.p.Do(plan.UpdateStatus{Object: set})
}
