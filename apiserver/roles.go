package apiserver

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/apiserver/auth/rbac"
	"sampan/kind"
	"sampan/store"
	"sampan/view"
)

// bootstrapRoles gives the cluster the roles and bindings that every cluster has, as far as they are missing. New
// ones are one transaction, so that a first start costs one write to the disk.
func (s *Server) bootstrapRoles(ctx context.Context) error {
	for {
		missing, outdated, foreign := rbac.Reconcile(s.cache.snapshot())
		for _, obj := range foreign {
			key := view.KeyOf(kind.ClusterRoleBindings, obj)
			if _, err := s.own().Delete(ctx, key, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("replace the %s, which is to another role than it should be: %w", key, err)
			}
		}
		if len(foreign) > 0 {
			continue // and create them anew
		}
		err := s.createAll(ctx, missing)
		var conflict *store.ConflictError
		if errors.As(err, &conflict) {
			continue // another API server on the same store is starting too
		}
		if err != nil {
			return fmt.Errorf("create the roles of every cluster: %w", err)
		}
		for _, obj := range outdated {
			if _, err := s.own().Update(ctx, obj, "", metav1.UpdateOptions{}); err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				return fmt.Errorf("update the %T %s: %w", obj, obj.GetName(), err)
			}
		}
		return nil
	}
}

// createAll creates objects of this program's own making in one transaction. Those whose kind is not served are
// left out.
func (s *Server) createAll(ctx context.Context, objects []kind.Object) error {
	var writes []store.Write
	for _, obj := range objects {
		k := s.cfg.Kinds.Of(obj)
		if k == nil {
			continue
		}
		r, err := s.own().request(obj, "")
		if err != nil {
			return err
		}
		k.Default(obj)
		s.track(r, obj, nil)
		k.PrepareCreate(obj)
		s.stampNew(r, obj)
		if errs := append(kind.ValidateMeta(k, obj), k.Validate(obj)...); len(errs) > 0 {
			return apierrors.NewInvalid(k.GVK.GroupKind(), obj.GetName(), errs)
		}
		value, err := encodeStored(k, obj)
		if err != nil {
			return err
		}
		writes = append(writes, store.Write{Key: storeKey(r.key), Value: value, Hint: published{owner: s.cache, obj: obj}})
	}
	if len(writes) == 0 {
		return nil
	}
	_, err := s.commit(ctx, writes...)
	return err
}
