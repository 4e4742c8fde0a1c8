package node

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/client"
	"sampan/kind"
	"sampan/node/podstate"
	"sampan/view"
)

const (
	apiTimeout     = 30 * time.Second
	apiRetryFirst  = 100 * time.Millisecond
	apiRetryMax    = 10 * time.Second
	statusTriesMax = 5 // conflicts in a row, before the write waits like any other failure
)

// statusWriter is the part of a worker that keeps the API up to date: one write at a time, always of the newest
// status.
type statusWriter struct {
	next     *corev1.PodStatus // what to write, nil: nothing
	busy     bool
	waiting  bool // before the next attempt
	failures int
	sent     *corev1.PodStatus
}

func (s *statusWriter) idle() bool { return s.next == nil && !s.busy }

func (s *statusWriter) drop() { s.next, s.waiting = nil, false }

// flush starts the write that is due: of the status, or after the last one the deletion.
func (w *worker) flush(ctx context.Context) {
	s := &w.status
	switch {
	case s.busy || s.waiting:
	case s.next != nil:
		s.sent, s.next, s.busy = s.next, nil, true
		status := s.sent
		w.a.effects.Go(func() { w.post(statusWritten{writeStatus(ctx, w.a.cfg.Client, w.key, w.uid, status)}) })
	case w.finish && !w.finished:
		w.finished = true
		w.a.effects.Go(func() {
			if err := w.deleteObject(ctx); err != nil {
				sleep(ctx, apiRetryMax)
				w.post(deletionFailed{err})
			}
		})
	}
}

func (w *worker) statusWritten(ctx context.Context, err error) {
	s := &w.status
	s.busy = false
	if err == nil || ctx.Err() != nil {
		s.failures = 0
		return
	}
	w.a.cfg.Log.Warn("pod status not written, trying again", "pod", w.key.String(), "error", err)
	if s.next == nil {
		s.next = s.sent
	}
	delay := min(apiRetryFirst<<min(s.failures, 10), apiRetryMax)
	s.failures++
	s.waiting = true
	time.AfterFunc(delay, func() { w.post(statusRetry{}) })
}

// writeStatus writes a status to the pod that has the UID, and keeps what others wrote into it. It is no error if
// the pod is gone.
func writeStatus(ctx context.Context, c client.Client, key view.Key, uid types.UID, status *corev1.PodStatus) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	latest, ok := view.Get[*corev1.Pod](c.Snapshot(), kind.Pods, key.Namespace, key.Name)
	for try := 0; ; try++ {
		if !ok || latest.UID != uid {
			return nil
		}
		pod := latest.DeepCopy()
		mergeStatus(&pod.Status, status)
		_, err := c.Update(ctx, pod, "status", metav1.UpdateOptions{})
		switch {
		case err == nil, apierrors.IsNotFound(err):
			return nil
		case !apierrors.IsConflict(err) || try == statusTriesMax:
			return err
		}
		obj, err := c.Get(ctx, key)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		latest, ok = obj.(*corev1.Pod)
	}
}

// mergeStatus overwrites what the node owns.
func mergeStatus(into, from *corev1.PodStatus) {
	conditions := slices.Clone(from.Conditions)
	for _, c := range into.Conditions {
		if !podstate.Owned(c.Type) {
			conditions = append(conditions, c)
		}
	}
	into.Conditions = conditions
	into.ObservedGeneration = from.ObservedGeneration
	into.Phase, into.Reason, into.Message = from.Phase, from.Reason, from.Message
	into.HostIP, into.HostIPs, into.PodIP, into.PodIPs = from.HostIP, from.HostIPs, from.PodIP, from.PodIPs
	into.StartTime, into.QOSClass = from.StartTime, from.QOSClass
	into.InitContainerStatuses, into.ContainerStatuses = from.InitContainerStatuses, from.ContainerStatuses
}

// deleteObject gives the pod's name free.
func (w *worker) deleteObject(ctx context.Context) error {
	w.removeLogs()
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	zero := int64(0)
	_, err := w.a.cfg.Client.Delete(ctx, w.key, metav1.DeleteOptions{
		GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &w.uid},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) { // gone, or another pod has the name
		return nil
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
