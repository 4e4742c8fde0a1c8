// Package view is what a decision may look at: the objects of the cluster as they were at one revision.
//
// A [Snapshot] is an immutable value. It is made by a [World], which applies changes one after the other;
// taking a snapshot is cheap, because the trees below it are copied on write. The API server keeps one
// World of everything; the in-process client hands out its snapshots, so every controller, the scheduler
// and the node agent look at the very objects that the API server serves, by pointer, with no second cache.
//
// Objects in a snapshot are shared. Nobody writes to them: copy with DeepCopyObject first.
//
// A World belongs to one goroutine (or one lock); snapshots may be read by any number of goroutines.
package view

import (
	"iter"
	"sort"
	"strings"

	"github.com/tidwall/btree"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind"
)

// Key names one object.
type Key struct {
	Kind      kind.ID
	Namespace string // "" for kinds that are not namespaced
	Name      string
}

// KeyOf returns the key of an object of the kind.
func KeyOf(id kind.ID, obj kind.Object) Key {
	return Key{Kind: id, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// String returns "kind/namespace/name", or "kind/name" when there is no namespace.
func (k Key) String() string {
	if k.Namespace == "" {
		return string(k.Kind) + "/" + k.Name
	}
	return string(k.Kind) + "/" + k.Namespace + "/" + k.Name
}

// Change is one committed write. Old is nil for a creation and New is nil for a removal; both are read-only.
// On a removal Old is the last state of the object.
type Change struct {
	Key      Key
	Old, New kind.Object
	Revision int64
}

// Latest returns New, or Old if the object is gone.
func (c Change) Latest() kind.Object {
	if c.New != nil {
		return c.New
	}
	return c.Old
}

// tree maps a sort key to an object; Copy is O(1) and copies on write.
type tree = btree.Map[string, kind.Object]

// table holds one kind: by name, and by the two indexes that decisions need.
type table struct {
	byName  *tree // namespace/name
	byOwner *tree // owner UID/namespace/name, one entry per owner reference; "" as UID: see Orphans
	byNode  *tree // pods only: spec.nodeName/namespace/name
}

func (t *table) copy() *table {
	return &table{byName: t.byName.Copy(), byOwner: t.byOwner.Copy(), byNode: t.byNode.Copy()}
}

func newTable() *table { return &table{byName: new(tree), byOwner: new(tree), byNode: new(tree)} }

func nameKey(namespace, name string) string { return namespace + "/" + name }

func indexKey(value string, obj kind.Object) string {
	return value + "/" + obj.GetNamespace() + "/" + obj.GetName()
}

func (t *table) insert(obj kind.Object) {
	t.byName.Set(nameKey(obj.GetNamespace(), obj.GetName()), obj)
	for _, ref := range obj.GetOwnerReferences() {
		t.byOwner.Set(indexKey(string(ref.UID), obj), obj)
	}
	if adoptable(obj) {
		t.byOwner.Set(indexKey("", obj), obj)
	}
	if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		t.byNode.Set(indexKey(pod.Spec.NodeName, pod), pod)
	}
}

func (t *table) remove(obj kind.Object) {
	t.byName.Delete(nameKey(obj.GetNamespace(), obj.GetName()))
	for _, ref := range obj.GetOwnerReferences() {
		t.byOwner.Delete(indexKey(string(ref.UID), obj))
	}
	if adoptable(obj) {
		t.byOwner.Delete(indexKey("", obj))
	}
	if pod, ok := obj.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		t.byNode.Delete(indexKey(pod.Spec.NodeName, pod))
	}
}

// adoptable reports whether the object is of a kind that controllers adopt by a selector, and has no controller.
func adoptable(obj kind.Object) bool {
	switch obj.(type) {
	case *corev1.Pod, *appsv1.ReplicaSet, *appsv1.ControllerRevision:
		return metav1.GetControllerOfNoCopy(obj) == nil
	}
	return false
}

// World applies changes and hands out snapshots. The zero value is an empty world at revision 0.
type World struct {
	tables   map[kind.ID]*table
	shared   map[kind.ID]bool // tables that a snapshot also holds: copy before the next write
	revision int64
	snapshot *Snapshot // of the current state, or nil
}

// Put sets an object and returns the one that it replaces, or nil. obj must not be written to afterwards.
// Revision must not be below the world's.
func (w *World) Put(id kind.ID, obj kind.Object, revision int64) (old kind.Object) {
	t := w.writable(id)
	if o, ok := t.byName.Get(nameKey(obj.GetNamespace(), obj.GetName())); ok {
		old = o
		t.remove(o)
	}
	t.insert(obj)
	w.Advance(revision)
	return old
}

// Remove removes an object and returns it, or nil if there was none.
func (w *World) Remove(id kind.ID, namespace, name string, revision int64) (old kind.Object) {
	t := w.writable(id)
	if o, ok := t.byName.Get(nameKey(namespace, name)); ok {
		old = o
		t.remove(o)
	}
	w.Advance(revision)
	return old
}

// Advance moves the revision forward without a change, as bookmarks do. One that is not newer is none.
func (w *World) Advance(revision int64) {
	if revision > w.revision {
		w.revision = revision
		w.snapshot = nil
	}
}

// Revision returns the revision of the last change.
func (w *World) Revision() int64 { return w.revision }

// Snapshot returns the current state as an immutable value. It is O(number of kinds), and free when nothing
// changed since the last one.
func (w *World) Snapshot() *Snapshot {
	if w.snapshot == nil {
		s := &Snapshot{tables: make(map[kind.ID]*table, len(w.tables)), revision: w.revision}
		if w.shared == nil {
			w.shared = make(map[kind.ID]bool, len(w.tables))
		}
		for id, t := range w.tables {
			s.tables[id] = t
			w.shared[id] = true
		}
		w.snapshot = s
	}
	return w.snapshot
}

func (w *World) writable(id kind.ID) *table {
	t := w.tables[id]
	switch {
	case t == nil:
		if w.tables == nil {
			w.tables = make(map[kind.ID]*table)
		}
		t = newTable()
		w.tables[id] = t
	case w.shared[id]:
		t = t.copy()
		w.tables[id] = t
		w.shared[id] = false
	}
	w.snapshot = nil
	return t
}

// Snapshot is the objects of the cluster at one revision: immutable, and safe for concurrent use.
// The zero value is an empty cluster.
type Snapshot struct {
	tables   map[kind.ID]*table
	revision int64
}

// Revision returns the store revision that the snapshot shows.
func (s *Snapshot) Revision() int64 { return s.revision }

// Get returns an object, or nil. Use [Get] for a typed result.
func (s *Snapshot) Get(key Key) kind.Object {
	if t := s.tables[key.Kind]; t != nil {
		if obj, ok := t.byName.Get(nameKey(key.Namespace, key.Name)); ok {
			return obj
		}
	}
	return nil
}

// Len returns the number of objects of a kind.
func (s *Snapshot) Len(id kind.ID) int {
	if t := s.tables[id]; t != nil {
		return t.byName.Len()
	}
	return 0
}

// All yields the objects of a kind ordered by namespace and name. An empty namespace means every namespace.
func (s *Snapshot) All(id kind.ID, namespace string) iter.Seq[kind.Object] {
	return s.From(id, namespace, "")
}

// From is [Snapshot.All] beginning behind the object that after names ("namespace/name"; "" for the first),
// for lists that continue.
func (s *Snapshot) From(id kind.ID, namespace, after string) iter.Seq[kind.Object] {
	return func(yield func(kind.Object) bool) {
		t := s.tables[id]
		if t == nil {
			return
		}
		prefix := ""
		if namespace != "" {
			prefix = namespace + "/"
		}
		start := max(prefix, after)
		t.byName.Ascend(start, func(k string, obj kind.Object) bool {
			if k == after && after != "" {
				return true
			}
			if !strings.HasPrefix(k, prefix) {
				return false
			}
			return yield(obj)
		})
	}
}

// LenFrom returns how many objects [Snapshot.From] yields, without a walk over them.
func (s *Snapshot) LenFrom(id kind.ID, namespace, after string) int {
	t := s.tables[id]
	if t == nil {
		return 0
	}
	below := func(above func(key string) bool) int {
		return sort.Search(t.byName.Len(), func(i int) bool {
			key, _, _ := t.byName.GetAt(i)
			return above(key)
		})
	}
	prefix, end := "", t.byName.Len()
	if namespace != "" {
		prefix = namespace + "/"
		end = below(func(key string) bool { return key >= namespace+"0" }) // "0" follows "/"
	}
	start := below(func(key string) bool { return key >= prefix && key > after })
	return max(0, end-start)
}

// OwnedBy yields the objects of a kind that have an owner reference (controller or not) with the UID,
// ordered by namespace and name.
func (s *Snapshot) OwnedBy(id kind.ID, owner types.UID) iter.Seq[kind.Object] {
	return s.indexed(id, func(t *table) *tree { return t.byOwner }, string(owner))
}

// Orphans yields the pods, replica sets or controller revisions (no other kinds) of a namespace that have no
// controller, ordered by name: those that a controller whose selector matches may adopt.
func (s *Snapshot) Orphans(id kind.ID, namespace string) iter.Seq[kind.Object] {
	return s.indexed(id, func(t *table) *tree { return t.byOwner }, "/"+namespace)
}

// PodsOn yields the pods bound to a node, ordered by namespace and name.
func (s *Snapshot) PodsOn(node string) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for obj := range s.indexed(kind.Pods, func(t *table) *tree { return t.byNode }, node) {
			if !yield(obj.(*corev1.Pod)) {
				return
			}
		}
	}
}

func (s *Snapshot) indexed(id kind.ID, index func(*table) *tree, value string) iter.Seq[kind.Object] {
	return func(yield func(kind.Object) bool) {
		t := s.tables[id]
		if t == nil {
			return
		}
		prefix := value + "/"
		index(t).Ascend(prefix, func(k string, obj kind.Object) bool {
			if !strings.HasPrefix(k, prefix) {
				return false
			}
			return yield(obj)
		})
	}
}

// Get returns an object of the snapshot as its Go type; ok is false if it is not there.
//
//	pod, ok := view.Get[*corev1.Pod](snap, kind.Pods, "default", "web-0")
func Get[T kind.Object](s *Snapshot, id kind.ID, namespace, name string) (obj T, ok bool) {
	obj, ok = s.Get(Key{Kind: id, Namespace: namespace, Name: name}).(T)
	return obj, ok
}

// All is [Snapshot.All] with the Go type of the kind.
func All[T kind.Object](s *Snapshot, id kind.ID, namespace string) iter.Seq[T] {
	return typed[T](s.All(id, namespace))
}

// OwnedBy is [Snapshot.OwnedBy] with the Go type of the kind.
func OwnedBy[T kind.Object](s *Snapshot, id kind.ID, owner types.UID) iter.Seq[T] {
	return typed[T](s.OwnedBy(id, owner))
}

func typed[T kind.Object](seq iter.Seq[kind.Object]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for obj := range seq {
			if !yield(obj.(T)) {
				return
			}
		}
	}
}
