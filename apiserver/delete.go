package apiserver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"sampan/apiserver/admit"
	"sampan/kind"
	"sampan/store"
)

// delete starts or finishes the deletion of an object. removed says that it is gone; the result is its last state
// then, and otherwise its state while it waits for its grace period, its finalizers or its dependents.
func (s *Server) delete(ctx context.Context, r request, opts metav1.DeleteOptions) (obj kind.Object, removed bool, err error) {
	if err := invalidOptions("DeleteOptions", validation.ValidateDeleteOptions(&opts)); err != nil {
		return nil, false, err
	}
	dry := len(opts.DryRun) > 0
	for {
		snap := s.cache.snapshot()
		cur := snap.Get(r.key)
		if cur == nil {
			return nil, false, r.notFound()
		}
		if err := checkPreconditions(r, cur, opts.Preconditions); err != nil {
			return nil, false, err
		}
		if err := s.admission(r, admit.Delete, nil, cur, snap); err != nil {
			return nil, false, err
		}
		next := s.deletionStep(r.kind, cur, opts)
		switch {
		case next == nil && dry:
			return cur, true, nil
		case next == nil:
			obj, err = s.remove(ctx, r, cur, cur)
			removed = true
		case deletable(next):
			if dry {
				return next, true, nil
			}
			obj, err = s.remove(ctx, r, next, cur)
			removed = true
		default:
			obj, err = s.replace(ctx, r, next, cur, dry)
		}
		var conflict *store.ConflictError
		switch {
		case err == nil:
			return obj, removed, nil
		case !errors.As(err, &conflict):
			return nil, false, err
		case ctx.Err() != nil:
			return nil, false, apierrors.NewTimeoutError("the request ended while other writers kept changing the object", 0)
		}
	}
}

// wrongState is the conflict of a deletion that is meant for another object, or another state of it, than the one that
// is there. It names the kind where other conflicts name the resource, as upstream's does.
func (r request) wrongState(message string) error {
	gvk := r.kind.GVK
	return apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, r.key.Name, errors.New(message))
}

func checkPreconditions(r request, cur kind.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != cur.GetUID() {
		return r.wrongState(fmt.Sprintf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, cur.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != cur.GetResourceVersion() {
		return r.wrongState(fmt.Sprintf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, cur.GetResourceVersion()))
	}
	return nil
}

// deletionStep returns the state that a deletion gives to an object: nil when nothing keeps it, a changed private
// copy when a grace period, finalizers or dependents do, and cur's equal when an earlier deletion already waits.
// It follows upstream's BeforeDelete and deletionFinalizersForGarbageCollection.
func (s *Server) deletionStep(k *kind.Kind, cur kind.Object, opts metav1.DeleteOptions) kind.Object {
	now := apiTime(s.cfg.Now())
	requested := opts.GracePeriodSeconds
	if requested != nil && *requested < 0 {
		requested = new(int64)
		*requested = 1
	}
	if k.NoDependents {
		opts.OrphanDependents, opts.PropagationPolicy = nil, new(metav1.DeletePropagationBackground)
	}
	finalizers := propagationFinalizers(cur.GetFinalizers(), opts, k.OrphanByDefault)
	waits := len(finalizers) > 0 || len(specFinalizers(cur)) > 0

	var grace int64
	if k.GracePeriod != nil {
		grace = k.GracePeriod(cur, requested)
	}
	if cur.GetDeletionTimestamp() == nil {
		if grace == 0 && !waits {
			return nil
		}
		next := private(cur)
		deadline := metav1.NewTime(now.Add(time.Duration(grace) * time.Second))
		next.SetDeletionTimestamp(&deadline)
		next.SetDeletionGracePeriodSeconds(&grace)
		next.SetFinalizers(finalizers)
		if g := next.GetGeneration(); g > 0 {
			next.SetGeneration(g + 1)
		}
		markTerminating(next)
		return next
	}

	pending := cur.GetDeletionGracePeriodSeconds()
	graceful := pending != nil && *pending > 0
	next := private(cur)
	if graceful && (requested == nil || *requested >= *pending) {
		return next // an earlier deletion is pending, and nothing of it can change
	}
	next.SetFinalizers(finalizers)
	if !graceful {
		if !waits {
			return nil
		}
		return next
	}
	// A grace period can only be shortened, and not into the past.
	if *requested == 0 && !waits {
		return nil
	}
	period := *requested
	deadline := metav1.NewTime(cur.GetDeletionTimestamp().Add(time.Duration(period-*pending) * time.Second))
	if deadline.Before(&now) {
		deadline = now
		if period != 0 {
			period = 1
		}
	}
	next.SetDeletionTimestamp(&deadline)
	next.SetDeletionGracePeriodSeconds(&period)
	return next
}

// propagationFinalizers returns the finalizers with those that the garbage collector acts on as the options ask.
// Without a wish, those that are there stay: an object made to be deleted in the foreground is.
func propagationFinalizers(have []string, opts metav1.DeleteOptions, orphanByDefault bool) []string {
	orphan, foreground := slices.Contains(have, metav1.FinalizerOrphanDependents), slices.Contains(have, metav1.FinalizerDeleteDependents)
	switch {
	case opts.OrphanDependents != nil:
		orphan, foreground = *opts.OrphanDependents, false
	case opts.PropagationPolicy != nil:
		orphan = *opts.PropagationPolicy == metav1.DeletePropagationOrphan
		foreground = *opts.PropagationPolicy == metav1.DeletePropagationForeground
	case orphanByDefault && !foreground:
		orphan = true
	}
	var out []string
	for _, f := range have {
		if f != metav1.FinalizerOrphanDependents && f != metav1.FinalizerDeleteDependents {
			out = append(out, f)
		}
	}
	if orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	return out
}

// deletable reports whether nothing keeps an object any more whose deletion has begun.
func deletable(obj kind.Object) bool {
	if obj.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 || len(specFinalizers(obj)) > 0 {
		return false
	}
	grace := obj.GetDeletionGracePeriodSeconds()
	return grace == nil || *grace == 0
}

// remove deletes the object whose published state is cur, with everything that it claims. last is what watchers
// and the caller get as its last state.
func (s *Server) remove(ctx context.Context, r request, last, cur kind.Object) (kind.Object, error) {
	var writes []store.Write
	for _, key := range claimsOf(cur) {
		writes = append(writes, store.Write{Key: key, Expect: store.AnyRevision})
	}
	revision, err := s.commit(ctx, append(writes, store.Write{
		Key: storeKey(r.key), Expect: revisionOf(cur), Hint: published{owner: s.cache, obj: last},
	})...)
	if err != nil {
		return nil, err
	}
	return withRevision(last, revision), nil
}

// deleteCollection deletes the objects that a list selects (the first of them if there is a limit), one after the
// other, and returns them as they were listed. Objects that are gone meanwhile do not matter.
func (s *Server) deleteCollection(ctx context.Context, r request, sel selection, limit int64, opts metav1.DeleteOptions) ([]kind.Object, error) {
	var items []kind.Object
	for obj := range sel.objects(s.cache.snapshot(), r.kind, r.key.Namespace, "") {
		if limit > 0 && int64(len(items)) == limit {
			break
		}
		items = append(items, obj)
	}
	for _, obj := range items {
		one := r
		one.key.Namespace, one.key.Name = obj.GetNamespace(), obj.GetName()
		if _, _, err := s.delete(ctx, one, opts); err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return items, nil
}
