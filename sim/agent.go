package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/controller/volume"
	"sampan/kind"
	"sampan/view"
)

// BrokenImage is an image whose containers never become ready.
const BrokenImage = "broken"

// agent plays the part of a node agent: pods bound to its node start, become ready, and end when they are
// deleted, each after a while. It keeps nothing across a crash: what it did stands in the pods' status.
type agent struct {
	*process
	node string
	busy map[types.UID]bool // pods, and volumes, that are being worked on
	snap *view.Snapshot
}

func newAgent(node string) func(*process) behavior {
	return func(p *process) behavior {
		a := &agent{process: p, node: node, busy: make(map[types.UID]bool)}
		p.after(0, a.renew)
		return a
	}
}

func (a *agent) reset(snap *view.Snapshot)                  { a.snap = snap }
func (a *agent) offer(_ []view.Change, snap *view.Snapshot) { a.snap = snap }

// renew keeps the node's lease.
func (a *agent) renew() {
	now, holder, seconds := metav1.NewMicroTime(a.s.now), a.node, int32(40)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: a.node},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	held, err := a.s.api.Get(context.Background(), view.KeyOf(kind.Leases, lease))
	switch {
	case err == nil:
		lease.ResourceVersion = held.GetResourceVersion()
		_, err = a.s.api.Update(context.Background(), lease, "", metav1.UpdateOptions{})
	case apierrors.IsNotFound(err):
		_, err = a.s.api.Create(context.Background(), lease, metav1.CreateOptions{})
	}
	if err != nil && a.s.err == nil {
		a.s.err = fmt.Errorf("renew the lease of %s: %w", a.node, err)
	}
	a.report()
	a.after(10*time.Second, a.renew)
}

// report says that the node is ready, should anyone think that it is not.
func (a *agent) report() {
	obj, err := a.s.api.Get(context.Background(), view.Key{Kind: kind.Nodes, Name: a.node})
	if err != nil {
		return
	}
	n := obj.(*corev1.Node).DeepCopy()
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		if c.Type == corev1.NodeReady && c.Status != corev1.ConditionTrue {
			*c = corev1.NodeCondition{
				Type: c.Type, Status: corev1.ConditionTrue, Reason: "KubeletReady",
				LastHeartbeatTime: metav1.NewTime(a.s.now), LastTransitionTime: metav1.NewTime(a.s.now),
			}
			_, _ = a.s.api.Update(context.Background(), n, "status", metav1.UpdateOptions{})
		}
	}
}

func (a *agent) pump() {
	for pod := range a.snap.PodsOn(a.node) {
		switch next := nextStep(pod); {
		case a.busy[pod.UID] || next == "":
		default:
			a.work(pod, next)
		}
	}
	for v := range view.All[*corev1.PersistentVolume](a.snap, kind.PersistentVolumes, "") {
		if v.DeletionTimestamp != nil && slices.Contains(v.Finalizers, volume.Finalizer) && !a.busy[v.UID] {
			a.busy[v.UID] = true
			a.clean(v)
		}
	}
}

// nextStep is what has to happen to a pod on its node; "" for nothing.
func nextStep(pod *corev1.Pod) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "stop"
	case pod.Status.Phase == corev1.PodPending:
		return "start"
	case pod.Status.Phase == corev1.PodRunning && !isReady(pod) && pod.Spec.Containers[0].Image != BrokenImage:
		return "ready"
	}
	return ""
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// work takes a pod one step on, after a while.
func (a *agent) work(pod *corev1.Pod, step string) {
	a.busy[pod.UID] = true
	key, uid := view.KeyOf(kind.Pods, pod), pod.UID
	delay := a.r.between(50*time.Millisecond, 3*time.Second)
	a.after(delay, func() {
		var err error
		a.send(func() { err = a.write(key, uid, step) }, func() {
			delete(a.busy, uid)
			if err != nil {
				a.after(100*time.Millisecond, a.pump)
				return
			}
			a.pump()
		})
	})
}

func (a *agent) write(key view.Key, uid types.UID, step string) error {
	ctx := context.Background()
	obj, err := a.s.api.Get(ctx, key)
	if apierrors.IsNotFound(err) || err == nil && obj.GetUID() != uid {
		return nil
	}
	if err != nil {
		return err
	}
	pod := obj.(*corev1.Pod).DeepCopy()
	if nextStep(pod) != step {
		return nil
	}
	now := metav1.NewTime(a.s.now.Truncate(time.Second))
	switch step {
	case "stop":
		none := int64(0)
		_, err = a.api.Delete(ctx, key, metav1.DeleteOptions{GracePeriodSeconds: &none, Preconditions: metav1.NewUIDPreconditions(string(uid))})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	case "start":
		pod.Status.Phase, pod.Status.StartTime = corev1.PodRunning, &now
		pod.Status.PodIP = address(uid)
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
		setReady(pod, corev1.ConditionFalse, now)
	case "ready":
		setReady(pod, corev1.ConditionTrue, now)
	}
	_, err = a.api.Update(ctx, pod, "status", metav1.UpdateOptions{})
	return err
}

func setReady(pod *corev1.Pod, status corev1.ConditionStatus, now metav1.Time) {
	for _, t := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		c := corev1.PodCondition{Type: t, Status: status, LastTransitionTime: now}
		if i := slices.IndexFunc(pod.Status.Conditions, func(x corev1.PodCondition) bool { return x.Type == t }); i >= 0 {
			pod.Status.Conditions[i] = c
		} else {
			pod.Status.Conditions = append(pod.Status.Conditions, c)
		}
	}
}

// address makes an address up; that two pods get one is unlikely and harmless here.
func address(uid types.UID) string {
	h := fnv.New32a()
	h.Write([]byte(uid))
	n := h.Sum32()
	return fmt.Sprintf("10.%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff)
}

// clean removes a volume's directory, so to speak.
func (a *agent) clean(v *corev1.PersistentVolume) {
	key := view.KeyOf(kind.PersistentVolumes, v)
	v = v.DeepCopy()
	v.Finalizers = slices.DeleteFunc(v.Finalizers, func(f string) bool { return f == volume.Finalizer })
	var err error
	a.send(func() { _, err = a.api.Update(context.Background(), v, "", metav1.UpdateOptions{}) }, func() {
		delete(a.busy, v.UID)
		if err != nil && !apierrors.IsNotFound(err) {
			a.s.note("retry", key.String())
			a.after(time.Second, a.pump)
		}
	})
}

// node makes the Node object of an agent.
func node(name string) *corev1.Node {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
}
