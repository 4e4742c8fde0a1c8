package plantest

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
	"sampan/kind/registry"
	"sampan/plan"
	"sampan/view"
)

// Cluster is a world that plans are applied to.
type Cluster struct {
	World view.World
	Now   time.Time
	// Grace makes the deletion of a bound pod leave it terminating, for an agent to finish; without it pods
	// go at once.
	Grace bool

	kinds    *kind.Registry
	revision int64
	made     map[view.Key]int
}

// New makes a cluster with objects, at a time. The objects are copied; missing UIDs are made up.
func New(now time.Time, objects ...kind.Object) *Cluster {
	c := &Cluster{Now: now, kinds: registry.New(), made: make(map[view.Key]int)}
	for _, obj := range objects {
		c.Put(obj)
	}
	return c
}

// Key returns the key of an object.
func (c *Cluster) Key(obj kind.Object) view.Key {
	k := c.kinds.Of(obj)
	if k == nil {
		panic(fmt.Sprintf("plantest: %T is of no registered kind", obj))
	}
	return view.KeyOf(k.ID, obj)
}

// Put sets an object as it is, whatever was there, and returns what was put.
func (c *Cluster) Put(obj kind.Object) kind.Object {
	obj = obj.DeepCopyObject().(kind.Object)
	key := c.Key(obj)
	if obj.GetUID() == "" {
		obj.SetUID(c.uid(key))
	}
	if obj.GetCreationTimestamp().Time.IsZero() {
		obj.SetCreationTimestamp(metav1.NewTime(c.Now))
	}
	if obj.GetGeneration() == 0 {
		obj.SetGeneration(1)
	}
	c.revision++
	obj.SetResourceVersion(strconv.FormatInt(c.revision, 10))
	c.World.Put(key.Kind, obj, c.revision)
	return obj
}

// Remove removes an object, finalizers or not.
func (c *Cluster) Remove(key view.Key) {
	c.revision++
	c.World.Remove(key.Kind, key.Namespace, key.Name, c.revision)
}

// Snapshot returns the view of now.
func (c *Cluster) Snapshot() *view.Snapshot { return c.World.Snapshot() }

// uid makes a UID of the name and of how often that name was made, so that the order of creations of
// different objects does not matter.
func (c *Cluster) uid(key view.Key) types.UID {
	c.made[key]++
	h := fnv.New64a()
	fmt.Fprint(h, key, c.made[key])
	return types.UID(fmt.Sprintf("%016x", h.Sum64()))
}

// Apply carries one action out as the API server would. Errors are its status errors.
func (c *Cluster) Apply(a plan.Action) error {
	switch a := a.(type) {
	case plan.Create:
		key := c.Key(a.Object)
		if c.Snapshot().Get(key) != nil {
			return nil // done, as the shell sees it
		}
		obj := a.Object.DeepCopyObject().(kind.Object)
		obj.SetUID("")
		c.Put(obj)
	case plan.Update:
		return c.update(a.Object, false)
	case plan.UpdateStatus:
		return c.update(a.Object, true)
	case plan.Finalize:
		return c.finalize(a.Object)
	case plan.Delete:
		return c.delete(a)
	case plan.Evict:
		return c.delete(plan.Delete{Key: a.Pod, UID: a.UID})
	case plan.Bind:
		pod, ok := view.Get[*corev1.Pod](c.Snapshot(), kind.Pods, a.Pod.Namespace, a.Pod.Name)
		if !ok || pod.UID != a.UID {
			return apierrors.NewNotFound(kind.Pods.GroupResource(), a.Pod.Name)
		}
		pod = pod.DeepCopy()
		pod.Spec.NodeName = a.Node
		c.Put(pod)
	}
	return nil
}

func (c *Cluster) update(obj kind.Object, status bool) error {
	key := c.Key(obj)
	old := c.Snapshot().Get(key)
	if old == nil {
		return apierrors.NewNotFound(key.Kind.GroupResource(), key.Name)
	}
	if obj.GetResourceVersion() != old.GetResourceVersion() {
		// Within one plan an object may be written more than once, with the revision that the decision saw;
		// the API server refuses the second write, and the next view decides again.
		return apierrors.NewConflict(key.Kind.GroupResource(), key.Name, fmt.Errorf("the object has been modified"))
	}
	next := obj.DeepCopyObject().(kind.Object)
	from, to := reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem()
	if status {
		annotations := next.GetAnnotations()
		s := to.FieldByName("Status")
		next = old.DeepCopyObject().(kind.Object)
		reflect.ValueOf(next).Elem().FieldByName("Status").Set(s)
		next.SetAnnotations(annotations)
	} else {
		if f := to.FieldByName("Status"); f.IsValid() {
			f.Set(from.FieldByName("Status"))
		}
		if f := to.FieldByName("Spec"); f.IsValid() && !equality.Semantic.DeepEqual(f.Interface(), from.FieldByName("Spec").Interface()) {
			next.SetGeneration(old.GetGeneration() + 1)
		}
	}
	if equality.Semantic.DeepEqual(old, next) {
		return nil
	}
	if next.GetDeletionTimestamp() != nil && !held(next) {
		c.Remove(key)
		return nil
	}
	c.Put(next)
	return nil
}

// held reports whether finalizers keep the object.
func held(obj kind.Object) bool {
	namespace, ok := obj.(*corev1.Namespace)
	return len(obj.GetFinalizers()) > 0 || ok && len(namespace.Spec.Finalizers) > 0
}

// finalize takes the spec.finalizers of a namespace; without any a terminating namespace is gone.
func (c *Cluster) finalize(obj kind.Object) error {
	key := c.Key(obj)
	old, ok := c.Snapshot().Get(key).(*corev1.Namespace)
	if !ok {
		return apierrors.NewNotFound(key.Kind.GroupResource(), key.Name)
	}
	next := old.DeepCopy()
	next.Spec.Finalizers = obj.(*corev1.Namespace).Spec.Finalizers
	if next.DeletionTimestamp != nil && len(next.Spec.Finalizers) == 0 {
		c.Remove(key)
		return nil
	}
	c.Put(next)
	return nil
}

func (c *Cluster) delete(a plan.Delete) error {
	old := c.Snapshot().Get(a.Key)
	switch {
	case old == nil:
		return nil
	case old.GetUID() != a.UID, a.Revision != "" && a.Revision != old.GetResourceVersion():
		return apierrors.NewConflict(a.Key.Kind.GroupResource(), a.Key.Name, fmt.Errorf("the precondition does not hold"))
	}
	pod, isPod := old.(*corev1.Pod)
	graceful := c.Grace && isPod && pod.Spec.NodeName != "" && (a.GraceSeconds == nil || *a.GraceSeconds > 0)
	if !graceful && !held(old) {
		c.Remove(a.Key)
		return nil
	}
	if old.GetDeletionTimestamp() == nil {
		next := old.DeepCopyObject().(kind.Object)
		now := metav1.NewTime(c.Now)
		next.SetDeletionTimestamp(&now)
		c.Put(next)
	}
	return nil
}
