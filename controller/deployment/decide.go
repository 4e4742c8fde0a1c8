package deployment

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// selectsAll is shown to users as it stands, as the message of an event.
const selectsAll = "This deployment is selecting all pods. A non-empty selector is required."

// Mem is what a decision leaves to the next: the text of the failed creation of a ReplicaSet, if any.
type Mem struct{ Failure string }

func failed(mem any, f plan.Failure) any {
	if create, ok := f.Action.(plan.Create); ok {
		return Mem{fmt.Sprintf("Failed to create new replica set %q: %v", create.Object.GetName(), f.Err)}
	}
	return mem
}

// rollout is one decision in the making.
type rollout struct {
	in In
	d  *appsv1.Deployment
	p  plan.Plan

	// current has the Deployment's template, or is nil; old are the others, oldest first. They are shallow
	// copies: their size and annotations are as the plan wants them, their status is as seen.
	current *appsv1.ReplicaSet
	old     []*appsv1.ReplicaSet
	seen    map[string]*appsv1.ReplicaSet // by name, as in the view
	create  bool                          // current is to be created

	conditions *conditions
	collisions *int32
	revision   string // of current, for the Deployment's annotation
}

// Decide says what to do about a Deployment.
func Decide(in In, mem Mem) (plan.Plan, Mem) {
	if in.Deployment == nil {
		return plan.Plan{}, Mem{}
	}
	r := &rollout{
		in: in, d: in.Deployment,
		conditions: newConditions(in.Deployment.Status.Conditions, in.Now),
		collisions: in.Deployment.Status.CollisionCount,
		revision:   in.Deployment.Annotations[revisionAnnotation],
	}
	switch {
	case in.Invalid != "":
		r.refuse()
		return r.p, Mem{}
	case len(in.Claim.Adopt)+len(in.Claim.Release) > 0:
		in.Claim.Plan(&r.p) // the sets' revisions change: decide about the rest on the next view
		return r.p, mem
	}
	r.draft()
	if mem.Failure != "" {
		r.reportFailure(mem.Failure)
	}
	pausing(r.d, r.conditions)
	switch {
	case r.d.DeletionTimestamp != nil:
		r.finish(false)
	case r.d.Spec.Paused, r.scaled():
		r.resume()
		r.scale()
		if r.d.Spec.Paused {
			r.cleanUp()
		}
		r.finish(false)
	case rolling(r.d):
		r.roll()
		r.finish(true)
	default:
		r.recreate()
		r.finish(true)
	}
	return r.p, Mem{}
}

// refuse says that the selector cannot be used.
func (r *rollout) refuse() {
	r.p.Say(plan.Reason{About: r.in.Key, EventReason: "SelectingAll", Warning: true, Message: r.in.Invalid})
	if r.d.Status.ObservedGeneration < r.d.Generation {
		d := r.d.DeepCopy()
		d.Status.ObservedGeneration = d.Generation
		r.p.Do(plan.UpdateStatus{Object: d})
	}
}

// reportFailure writes the failed creation into the status before it is tried again.
func (r *rollout) reportFailure(message string) {
	r.p.Say(plan.Reason{About: r.in.Key, EventReason: reasonCreateError, Warning: true, Message: message})
	if !hasDeadline(r.d) {
		return
	}
	r.conditions.set(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonCreateError, "%s", message)
	if !equality.Semantic.DeepEqual(r.conditions.list, r.d.Status.Conditions) {
		d := r.d.DeepCopy()
		d.Status.Conditions = slices.Clone(r.conditions.list)
		r.p.Do(plan.UpdateStatus{Object: d})
	}
}

// draft makes the copies of the sets that the decision works on.
func (r *rollout) draft() {
	current, old := split(r.d, r.in.Claim.Owned)
	r.seen = make(map[string]*appsv1.ReplicaSet)
	copied := func(s *appsv1.ReplicaSet) *appsv1.ReplicaSet {
		r.seen[s.Name] = s
		c := *s
		c.Annotations = maps.Clone(s.Annotations)
		return &c
	}
	if current != nil {
		r.current = copied(current)
	}
	for _, s := range old {
		r.old = append(r.old, copied(s))
	}
}

// all returns the sets, the current one last.
func (r *rollout) all() []*appsv1.ReplicaSet {
	if r.current == nil {
		return r.old
	}
	return append(slices.Clone(r.old), r.current)
}

func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var out []*appsv1.ReplicaSet
	for _, s := range sets {
		if size(s) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// resize sets a draft's size.
func (r *rollout) resize(s *appsv1.ReplicaSet, n int32) {
	if size(s) != n {
		s.Spec.Replicas = &n
		setSizes(s, r.d)
	}
}

// resume brings revision and annotations of an existing current set up to date.
func (r *rollout) resume() {
	if r.current == nil {
		return
	}
	annotate(r.current, r.d, nextRevision(r.old))
	r.current.Spec.MinReadySeconds = r.d.Spec.MinReadySeconds
	r.revision = r.current.Annotations[revisionAnnotation]
	if hasDeadline(r.d) && r.conditions.get(appsv1.DeploymentProgressing) == nil {
		r.conditions.set(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonFound, "Found new replica set %q", r.current.Name)
	}
}

// ensureCurrent makes the current set if there is none. ok is false if its name belongs to another set: the
// status then asks for another name.
func (r *rollout) ensureCurrent() (ok bool) {
	switch {
	case r.current != nil:
		r.resume()
		return true
	case r.in.Occupied != nil:
		var n int32 = 1
		if r.collisions != nil {
			n = *r.collisions + 1
		}
		r.collisions = &n
		return false
	}
	var n int32
	if !rolling(r.d) || observed(r.old) {
		n = currentSize(r.d, r.old, 0)
	}
	r.create = true
	r.current = newSet(r.d, n, nextRevision(r.old))
	r.revision = r.current.Annotations[revisionAnnotation]
	if hasDeadline(r.d) {
		r.conditions.set(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonCreated, "Created new replica set %q", r.current.Name)
	}
	return true
}

// scaled reports whether the Deployment's size was changed since a set was last sized.
func (r *rollout) scaled() bool {
	sets := active(r.all())
	if !rolling(r.d) && len(sets) > 1 {
		return false // all but one are on their way out anyhow
	}
	for _, s := range sets {
		if desired, ok := annotation(s, desiredAnnotation); ok && desired != replicas(r.d) {
			return true
		}
	}
	return false
}

// scale follows a change of the Deployment's size without rolling anything out.
func (r *rollout) scale() {
	sets := active(r.all())
	switch {
	case len(sets) <= 1:
		one := r.current
		if len(sets) == 1 {
			one = sets[0]
		} else if one == nil && len(r.old) > 0 {
			one = r.old[len(r.old)-1]
		}
		if one != nil {
			r.resize(one, replicas(r.d))
			setSizes(one, r.d)
		}
	case r.saturated():
		for _, s := range r.old {
			r.resize(s, 0)
		}
	case rolling(r.d) && total(sets) < replicas(r.d)+maxSurge(r.d) && !observed(r.all()):
		r.waitForSets()
	case rolling(r.d):
		for _, s := range proportional(r.d, sets) {
			r.resize(s.set, s.size)
			setSizes(s.set, r.d)
		}
	}
}

// saturated reports whether the current set has all pods that the Deployment asks for.
func (r *rollout) saturated() bool {
	if r.current == nil {
		return false
	}
	desired, ok := annotation(r.current, desiredAnnotation)
	n := replicas(r.d)
	return ok && desired == n && size(r.current) == n && r.current.Status.AvailableReplicas == n
}

// roll moves pods from the old sets to the current one, within maxSurge and maxUnavailable.
func (r *rollout) roll() {
	sets := r.all()
	if !r.ensureCurrent() {
		return
	}
	if !observed(sets) {
		r.waitForSets()
		return
	}
	if !r.create {
		r.resize(r.current, currentSize(r.d, r.all(), size(r.current)))
	}
	r.shrinkOld()
	if r.complete() {
		r.cleanUp()
	}
}

func (r *rollout) waitForSets() {
	r.p.Say(plan.Reason{About: r.in.Key, Waiting: true, Message: "waiting for the replica sets to act on their sizes"})
}

// shrinkOld takes away as many old pods as availability allows: first those that serve nothing.
func (r *rollout) shrinkOld() {
	minAvailable := replicas(r.d) - maxUnavailable(r.d)
	currentUnavailable := size(r.current) - available(r.current)
	room := total(r.all()) - minAvailable - currentUnavailable
	if room <= 0 || total(r.old) == 0 {
		return
	}
	for _, s := range r.old {
		// A pod that is ready but not yet available (minReadySeconds) may be by the time that the set acts, so
		// unlike upstream it is not taken for one that serves nothing.
		n := min(room, size(s)-max(s.Status.ReadyReplicas, s.Status.AvailableReplicas))
		if n > 0 {
			r.resize(s, size(s)-n)
			room -= n
		}
	}
	var serving int32
	for _, s := range r.all() {
		serving += available(s)
	}
	for _, s := range r.old {
		n := min(serving-minAvailable, size(s))
		if n > 0 {
			r.resize(s, size(s)-n)
			serving -= n
		}
	}
}

// recreate takes every old pod away before it makes a new one.
func (r *rollout) recreate() {
	if old := active(r.old); len(old) > 0 {
		r.resume()
		for _, s := range old {
			r.resize(s, 0)
		}
		return
	}
	if r.in.OldPodsRun {
		r.resume()
		r.p.Say(plan.Reason{About: r.in.Key, Waiting: true, Message: "waiting for the old pods to end"})
		return
	}
	if !r.ensureCurrent() {
		return
	}
	r.resize(r.current, replicas(r.d))
	if r.complete() {
		r.cleanUp()
	}
}

// complete reports whether the rollout is done, by what is seen.
func (r *rollout) complete() bool {
	s := r.status()
	return complete(r.d, &s)
}

// cleanUp deletes the oldest empty sets beyond the history limit.
func (r *rollout) cleanUp() {
	limit := r.d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == math.MaxInt32 {
		return
	}
	var kept []*appsv1.ReplicaSet
	for _, s := range r.old {
		if s.DeletionTimestamp == nil {
			kept = append(kept, s)
		}
	}
	excess := len(kept) - int(*limit)
	if excess <= 0 {
		return
	}
	slices.SortStableFunc(kept, func(a, b *appsv1.ReplicaSet) int { return cmp.Compare(revisionOf(a), revisionOf(b)) })
	for _, s := range kept[:excess] {
		if s.Status.Replicas != 0 || size(s) != 0 || s.Generation > s.Status.ObservedGeneration {
			continue
		}
		r.p.Do(plan.Delete{Key: view.KeyOf(kind.ReplicaSets, s), UID: s.UID, Revision: s.ResourceVersion})
	}
}

// finish writes the sets and the status down in the plan. rollout says that progress is reported.
func (r *rollout) finish(rollout bool) {
	if r.d.DeletionTimestamp == nil {
		r.writeSets()
	}
	s := r.status()
	if rollout {
		progress(r.d, r.current, &s, r.conditions, r.in.Now)
	}
	availability(r.d, &s, r.conditions)
	failures(r.current, r.old, r.conditions)
	s.Conditions = r.conditions.list
	if at := deadline(r.d, r.conditions); !at.IsZero() && !r.d.Spec.Paused && !complete(r.d, &s) {
		if at = at.Add(time.Second); at.After(r.in.Now) {
			r.p.Wake(at)
		}
	}
	r.p.Say(r.explain(&s))
	if equality.Semantic.DeepEqual(s, r.d.Status) && r.revision == r.d.Annotations[revisionAnnotation] {
		return
	}
	d := r.d.DeepCopy()
	d.Status = s
	if r.revision != "" {
		if d.Annotations == nil {
			d.Annotations = make(map[string]string)
		}
		d.Annotations[revisionAnnotation] = r.revision
	}
	r.p.Do(plan.UpdateStatus{Object: d})
}

// writeSets creates or updates the sets that the decision changed: the current one first, so that the new
// pods are on their way before old ones go.
func (r *rollout) writeSets() {
	if r.create {
		r.p.Do(plan.Create{Object: r.current}, r.event("up", r.current.Name, 0, size(r.current))...)
	}
	sets := r.all()
	slices.Reverse(sets)
	for _, s := range sets {
		was := r.seen[s.Name]
		if was == nil || size(was) == size(s) && was.Spec.MinReadySeconds == s.Spec.MinReadySeconds && maps.Equal(was.Annotations, s.Annotations) {
			continue
		}
		verb := "up"
		if size(s) < size(was) {
			verb = "down"
		}
		r.p.Do(plan.Update{Object: s}, r.event(verb, s.Name, size(was), size(s))...)
	}
}

func (r *rollout) event(verb, name string, from, to int32) []plan.Reason {
	if from == to {
		return nil
	}
	return []plan.Reason{{
		About: r.in.Key, EventReason: "ScalingReplicaSet",
		Message: fmt.Sprintf("Scaled %s replica set %s from %d to %d", verb, name, from, to),
	}}
}

// status adds up what the sets report.
func (r *rollout) status() appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{
		ObservedGeneration: r.d.Generation,
		CollisionCount:     r.collisions,
		Conditions:         r.d.Status.Conditions,
	}
	var asked, terminating int32
	for _, set := range r.all() {
		if r.seen[set.Name] == nil {
			continue
		}
		asked += size(set)
		s.Replicas += set.Status.Replicas
		s.ReadyReplicas += set.Status.ReadyReplicas
		s.AvailableReplicas += set.Status.AvailableReplicas
		if set.Status.TerminatingReplicas != nil {
			terminating += *set.Status.TerminatingReplicas
		}
	}
	if r.current != nil {
		s.UpdatedReplicas = r.current.Status.Replicas
	}
	s.UnavailableReplicas = max(0, asked-s.AvailableReplicas)
	s.TerminatingReplicas = &terminating
	return s
}

// explain says in one line how far the rollout is, for people.
func (r *rollout) explain(s *appsv1.DeploymentStatus) plan.Reason {
	return plan.Reason{
		About:   r.in.Key,
		Waiting: !complete(r.d, s),
		Message: fmt.Sprintf("%d of %d pods are updated, %d old ones remain, %d are available",
			s.UpdatedReplicas, replicas(r.d), s.Replicas-s.UpdatedReplicas, s.AvailableReplicas),
	}
}
