package node

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"sampan/node/volume"
)

// releaseLocalPath removes the data of a volume of the built-in provisioner that is being deleted, and then its
// finalizer, if the volume is on this node.
func (a *Agent) releaseLocalPath(ctx context.Context, pv *corev1.PersistentVolume) {
	if pv.DeletionTimestamp == nil || !slices.Contains(pv.Finalizers, volume.LocalPath) || !a.isHere(pv) {
		return
	}
	a.effects.Go(func() {
		for failures := 0; ctx.Err() == nil; failures++ {
			err := a.removeLocalPath(ctx, pv)
			if err == nil || apierrors.IsNotFound(err) {
				return
			}
			if apierrors.IsConflict(err) {
				return // the change that was in the way comes as an event of its own
			}
			if failures == 0 && ctx.Err() == nil {
				a.cfg.Log.Warn("data of a deleted volume not removed, trying again", "volume", pv.Name, "error", err)
			}
			sleep(ctx, min(apiRetryFirst<<min(failures, 10), apiRetryMax))
		}
	})
}

func (a *Agent) removeLocalPath(ctx context.Context, pv *corev1.PersistentVolume) error {
	if err := volume.RemoveLocalPath(pv); err != nil {
		return err
	}
	pv = pv.DeepCopy()
	pv.Finalizers = slices.DeleteFunc(pv.Finalizers, func(f string) bool { return f == volume.LocalPath })
	_, err := a.cfg.Client.Update(ctx, pv, "", metav1.UpdateOptions{})
	return err
}

// isHere reports whether a volume's node affinity selects this node.
func (a *Agent) isHere(pv *corev1.PersistentVolume) bool {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return false
	}
	terms, err := nodeaffinity.NewNodeSelector(pv.Spec.NodeAffinity.Required)
	if err != nil {
		return false
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.cfg.Name}}
	a.setSpec(node)
	return terms.Match(node)
}
