package controller

import (
	"context"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client"
	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// actionTimeout bounds one write. After it the outcome is unknown, which the rules of the loop allow for.
const actionTimeout = 30 * time.Second

// Outcome is what became of a plan.
type Outcome struct {
	Plan plan.Plan
	Mem  any
	// Carried is how many actions were carried out.
	Carried int
	// Revision is that of the last write, 0 if there was none.
	Revision int64
	// Gone is what a deletion with unknown outcome was about and is gone now: the view must show that too.
	Gone Gone
	// Failed is the action that ended the plan, with its error; nil if all were carried out.
	Failed plan.Action
	Err    error
}

// Carry carries a plan out: its actions in order, until one fails.
func Carry(ctx context.Context, c client.Client, p plan.Plan, mem any) Outcome {
	o := Outcome{Plan: p, Mem: mem}
	for _, a := range p.Actions {
		revision, err := Execute(ctx, c, a)
		if err != nil {
			o.Fail(ctx, c, a, err)
			return o
		}
		o.Carried++
		o.Revision = max(o.Revision, revision)
	}
	return o
}

// Gone names an object that is gone from the API.
type Gone struct {
	Key view.Key
	UID types.UID // "": none
}

// Fail notes the action that ended the plan. If its outcome is unknown, it reads what became of it, so that
// the next decision waits for a view that shows it.
func (o *Outcome) Fail(ctx context.Context, c client.Client, a plan.Action, err error) {
	o.Failed, o.Err = a, err
	key, uid, ok := target(a)
	if !ok || known(err) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	obj, err := c.Get(ctx, key)
	switch {
	case apierrors.IsNotFound(err), err == nil && uid != "" && obj.GetUID() != uid:
		o.Gone = Gone{key, uid}
	case err == nil:
		if revision, err := revisionOf(obj, nil); err == nil {
			o.Revision = max(o.Revision, revision)
		}
	}
	// If even that cannot be read, the back-off is all that there is: preconditions and fixed names keep
	// the next try from doing harm.
}

// known reports whether an error says for certain that nothing was written.
func known(err error) bool {
	return apierrors.ReasonForError(err) != metav1.StatusReasonUnknown &&
		!apierrors.IsTimeout(err) && !apierrors.IsServerTimeout(err) && !apierrors.IsInternalError(err)
}

// target returns the object that an action writes, and the UID that it must have, if any.
func target(a plan.Action) (key view.Key, uid types.UID, ok bool) {
	switch a := a.(type) {
	case plan.Delete:
		return a.Key, a.UID, true
	case plan.Evict:
		return a.Pod, a.UID, true
	case plan.Bind:
		return a.Pod, a.UID, true
	}
	return view.Key{}, "", false // an update is conditional on its revision, a create on its name
}

// Execute carries one action out and returns the revision of the write, 0 if nothing was written.
func Execute(ctx context.Context, c client.Client, a plan.Action) (revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, actionTimeout)
	defer cancel()
	switch a := a.(type) {
	case plan.Create:
		obj, err := c.Create(ctx, a.Object, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return 0, nil
		}
		return revisionOf(obj, err)
	case plan.Update:
		return revisionOf(c.Update(ctx, a.Object, "", metav1.UpdateOptions{}))
	case plan.UpdateStatus:
		return revisionOf(c.Update(ctx, a.Object, "status", metav1.UpdateOptions{}))
	case plan.Finalize:
		return revisionOf(c.Update(ctx, a.Object, "finalize", metav1.UpdateOptions{}))
	case plan.Delete:
		obj, err := c.Delete(ctx, a.Key, deleteOptions(a))
		if apierrors.IsNotFound(err) {
			return 0, nil
		}
		return revisionOf(obj, err)
	case plan.Evict:
		err := c.Evict(ctx, a.Pod, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(a.UID))})
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return 0, err
	case plan.Bind:
		return 0, c.Bind(ctx, a.Pod, a.UID, a.Node)
	default:
		return 0, fmt.Errorf("carry out: unknown action %T", a)
	}
}

func deleteOptions(a plan.Delete) metav1.DeleteOptions {
	o := metav1.DeleteOptions{
		Preconditions:      metav1.NewUIDPreconditions(string(a.UID)),
		GracePeriodSeconds: a.GraceSeconds,
	}
	if a.Revision != "" {
		o.Preconditions.ResourceVersion = &a.Revision
	}
	if a.Propagation != "" {
		p := metav1.DeletionPropagation(a.Propagation)
		o.PropagationPolicy = &p
	}
	return o
}

func revisionOf(obj kind.Object, err error) (int64, error) {
	if err != nil || obj == nil {
		return 0, err
	}
	n, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read resourceVersion of %s/%s: %w", obj.GetNamespace(), obj.GetName(), err)
	}
	return n, nil
}
